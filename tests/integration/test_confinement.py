"""Limits of a flow's code in a replica. Each test tries one rule in a real replica."""

import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from run_service.hosting.settings import FREE_USERS
from run_service.hosting.zygotes import ENVIRONMENT
from run_service.worker import confinement, landlock, seccomp, syscalls
from tests.support.hosting.fixtures import host, host_process, runtime
from tests.support.hosting.flows import PROBES
from tests.support.hosting.host_process import answer, spec_of
from tests.support.paths import ROOT

__all__ = ["host", "host_process", "runtime"]

NUMBER = {name: numbers[syscalls.machine().column] for name, numbers in syscalls.NUMBERS.items()}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only as root does each project have its own user")


def exists(path: str) -> bool:
    return Path(path).exists()


def proc(replica, name: str) -> str:
    return Path(f"/proc/{replica.pid}/{name}").read_text()


@pytest.fixture
async def probe(host, runtime):
    """Runs code in a new replica and returns its result or the class and number of its error."""
    replica = await host.start(spec_of(runtime, PROBES, variables={"KEY": "secret"}))
    async with host.connect(replica.id) as connection:

        async def ask(expression: str, do: str = "") -> object:
            found = await answer(connection, {"is": expression, "do": do})
            return found["value"] if "value" in found else (found["error"], found["errno"])

        ask.replica = replica
        yield ask


NULL = Path("/dev/null").stat().st_rdev
DENIED = ("PermissionError", errno.EACCES)
NOT_PERMITTED = ("PermissionError", errno.EPERM)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/self/mem", "/proc/1/cmdline", "/proc/meminfo",
     str(Path.home() / ".bashrc"), "/sys/kernel/notes", "/dev/mem", "/bin/sh", str(ROOT / "README.md")],
)  # fmt: skip
async def test_a_replica_cannot_read_files_outside_its_folder(probe, path):
    assert await probe(f"open({path!r}, 'rb').read(1)") in (DENIED, ("FileNotFoundError", errno.ENOENT))


@pytest.mark.parametrize("path", ["/", "/proc", "/tmp", "/etc", "/home", "/run"])
async def test_a_replica_cannot_list_folders_outside_its_own(probe, path):
    assert await probe(f"os.listdir({path!r})") == DENIED


async def test_a_replica_cannot_access_another_replicas_folder(host, host_process, runtime, probe):
    other = await host.start(spec_of(runtime, PROBES))
    folder = host_process.folder / "host" / "replicas" / other.id
    (folder / "file").write_text("theirs")

    assert await probe(f"os.listdir({str(folder)!r})") == DENIED
    assert await probe(f"open({str(folder / 'file')!r}).read()") == DENIED
    assert await probe(f"open({str(folder / 'new')!r}, 'w')") == DENIED


@pytest.mark.parametrize("path", ["/tmp/new", "/dev/shm/new", "/var/tmp/new", f"{sys.prefix}/new"])
async def test_a_replica_cannot_write_outside_its_folder(probe, path):
    assert await probe(f"open({path!r}, 'w')") == DENIED
    assert not exists(path)


async def test_a_replicas_folder_is_its_home_and_its_temporary_folder(probe, host_process):
    folder = str(host_process.folder / "host" / "replicas" / probe.replica.id)

    do = "import tempfile; path = tempfile.mkdtemp(); open(path + '/a', 'w').write('b'); os.rename(path + '/a', 'c')"

    assert await probe("[os.getcwd(), os.path.expanduser('~'), os.path.dirname(path), open('c').read()]", do) == [
        folder, folder, folder, "b",
    ]  # fmt: skip


async def test_a_replica_can_read_what_python_needs(probe):
    assert await probe("len(open('/dev/urandom', 'rb').read(4))") == 4
    assert await probe("colorsys.__name__", "import colorsys, sqlite3, xml.dom.minidom") == "colorsys"
    assert await probe("socket.getaddrinfo('localhost', 80)[0][4][1]") == 80
    assert await probe("len(ssl.create_default_context().get_ca_certs()) >= 0", "import ssl") is True


async def test_the_environment_of_a_replica_has_its_variables_only(probe, host_process):
    folder = str(host_process.folder / "host" / "replicas" / probe.replica.id)

    assert await probe("dict(os.environ)") == {
        "KEY": "secret", "HOME": folder, "TMPDIR": folder, "USER": "app", "LANG": "C.UTF-8",
    }  # fmt: skip
    if os.geteuid() == 0:  # the environment with which the process was started stays in its memory
        started_with = {line.partition("=")[0] for line in proc(probe.replica, "environ").strip("\0").split("\0")}
        assert started_with == {*ENVIRONMENT, "HOME", "TMPDIR", "PWD"}  # PWD comes from the stand-in's shell


async def test_a_replica_has_no_descriptors_except_its_sockets_and_standard_files(probe):
    do = """
found = []
for number in range(1024):
    try:
        found.append((number, oct(os.fstat(number).st_mode)[:-3], os.fstat(number).st_rdev))
    except OSError:
        pass
"""
    found = await probe("found", do)

    assert [number for number, _, _ in found[:3]] == [0, 1, 2]
    assert {device for _, _, device in found[:3]} == {NULL}
    assert [kind for _, kind, _ in found[3:]] == ["0o140", "0o140"]  # its control socket, and the router's connection


async def test_confined_replicas_draw_different_random_numbers(host, runtime):
    drawn = []
    for _ in range(3):
        replica = await host.start(spec_of(runtime, PROBES))
        async with host.connect(replica.id) as connection:
            drawn.append((await answer(connection, {"is": "random.random()", "do": "import random"}))["value"])

    assert len(set(drawn)) == 3


@AS_ROOT
async def test_replicas_of_each_project_run_as_their_own_user(host, runtime):
    users = []
    for project in ("one", "one", "other"):
        replica = await host.start(spec_of(runtime, PROBES, project_id=project))
        async with host.connect(replica.id) as connection:
            value = {"is": "[os.getresuid(), os.getresgid(), os.getgroups()]"}
            ids, groups, more = (await answer(connection, value))["value"]
        assert (len({*ids, *groups}), more) == (1, [])
        users.append(ids[0])

    assert users[0] == users[1] != users[2]
    assert all(user in FREE_USERS for user in users)


@AS_ROOT
async def test_a_replica_has_no_capability_except_to_read_closed_folders(probe):
    status = proc(probe.replica, "status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    needed = any(map(confinement.closed_to_others, landlock.runtime_folders()))

    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == (1 << 2 if needed else 0)
    assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0


async def test_a_replica_gains_no_privileges_and_dumps_no_core(probe):
    assert await probe("libc.prctl(39, 0, 0, 0, 0)") == 1  # PR_GET_NO_NEW_PRIVS
    assert await probe("libc.prctl(3, 0, 0, 0, 0)") == 0  # PR_GET_DUMPABLE
    assert await probe("resource.getrlimit(resource.RLIMIT_CORE)") == [0, 0]


async def test_a_replica_cannot_raise_its_limits(probe):
    assert await probe("resource.getrlimit(resource.RLIMIT_NOFILE)") == [1024, 1024]
    assert await probe("resource.getrlimit(resource.RLIMIT_FSIZE)") == [1 << 20, 1 << 20]
    assert await probe("resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))") == ("ValueError", None)


async def test_the_kernel_ends_a_replica_first_when_memory_runs_out(probe):
    assert proc(probe.replica, "oom_score_adj") == "1000\n"


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_PACKET", "AF_VSOCK", "AF_ALG"])
async def test_a_replica_can_create_network_sockets_only(probe, family):
    assert await probe(f"socket.socket(socket.{family}, socket.SOCK_STREAM)") == DENIED


async def test_a_replica_cannot_connect_to_a_unix_socket(probe, host_process):
    assert await probe("None", f"socket.socket(socket.AF_UNIX).connect({str(host_process.socket)!r})") == DENIED
    assert await probe("socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)") == DENIED
    assert await probe("[end.close() for end in socket.socketpair()]") == [None, None]  # asyncio needs them


async def test_a_replica_can_connect_but_not_listen(probe):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert await probe("True", f"socket.create_connection({address!r}, 5).close()") is True

    assert await probe("None", "socket.socket().listen()") == NOT_PERMITTED
    if landlock.abi() >= landlock.NETWORK_ABI:
        assert await probe("None", "socket.socket().bind(('127.0.0.1', 0))") == DENIED


@pytest.mark.parametrize("name", [name for name in seccomp.NEVER if name not in ("setsid", "listen")])
async def test_a_replica_cannot_make_system_calls_on_other_processes_or_the_kernel(probe, name):
    assert await probe("None", f"syscall({NUMBER[name]}, 0, 0, 0, 0, 0, 0)") == NOT_PERMITTED


async def test_a_replica_cannot_leave_its_session(probe):
    assert await probe("[os.getsid(0) == os.getpid()]") == [True]
    child = (
        "pid = os.fork()\nif pid == 0:\n    try: os.setsid()\n    except PermissionError: os._exit(7)\n    os._exit(0)"
    )

    assert await probe("os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])", child) == 7


async def test_a_replica_cannot_signal_other_processes(probe, host_process):
    host_pid = host_process.process.pid
    own = "pid = os.fork()\nif pid == 0:\n    import time; time.sleep(60)\nos.kill(pid, 9)"

    assert await probe(f"os.kill({host_pid}, 0)") == NOT_PERMITTED
    assert await probe("os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])", own) == -9


@pytest.mark.parametrize("name", seccomp.ONLY_ITSELF)
async def test_a_replica_sets_limits_and_priorities_of_itself_only(probe, host_process, name):
    assert await probe("None", f"syscall({NUMBER[name]}, {host_process.process.pid}, 0, 0, 0)") == NOT_PERMITTED
    assert await probe("len(os.sched_getaffinity(0)) > 0 and os.sched_setaffinity(0, os.sched_getaffinity(0))") is None


async def test_a_replica_cannot_create_namespaces(probe):
    new_user = 0x10000000 | 17
    assert await probe("None", f"syscall({NUMBER['clone']}, {new_user}, 0, 0, 0, 0)") == NOT_PERMITTED
    assert (await probe("None", f"syscall({NUMBER['clone3']}, 0, 0)"))[1] == errno.ENOSYS


async def test_system_calls_of_another_abi_are_refused(probe):
    assert (await probe("None", "syscall(0x40000000 | 112)"))[1] == errno.ENOSYS


async def test_threads_and_event_loops_work_in_a_replica(probe):
    do = "import asyncio\nasync def one():\n    return await asyncio.to_thread(lambda: 1)"
    assert await probe("asyncio.run(one())", do) == 1


SHARED_USER = """
import ctypes, os, sys
from pathlib import Path
sys.path.insert(0, {worker!r})
from worker import confinement, seccomp
limits = dict(memory_bytes=1 << 28, file_bytes=1 << 20, files=64, processes=64)
given = confinement.Confinement(folder=Path({folder!r}), user=None, limits=limits, variables=dict())
confinement.confine(given, os.getppid())
seccomp.apply(own_user=False, signals_scoped=False)  # as where Landlock is too old for signals
def tried(what):
    try:
        return what()
    except OSError as error:
        return error.errno
import threading
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
print([tried(os.fork), tried(lambda: os.kill(os.getppid(), 0)), tried(lambda: os.kill(os.getpid(), 0)),
       tried(lambda: os.chmod({file!r}, 0o777)), tried(lambda: os.utime({file!r}, (1, 1))),
       tried(lambda: os.posix_spawn("/bin/true", ["true"], {{}})), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)])
"""


def test_a_replica_with_a_shared_user_starts_no_process_and_changes_no_mode(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(0o600)
    code = SHARED_USER.format(worker=str(ROOT / "run_service"), folder=str(tmp_path), file=str(file))

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True).stdout

    assert said.strip() == str([errno.EPERM, errno.EPERM, None, None, None, errno.EPERM, 0])
    assert oct(file.stat().st_mode)[-3:] == "600"
    assert file.stat().st_mtime > time.time() - 3600


def test_this_machine_can_confine_replicas():
    assert confinement.missing() is None


@pytest.mark.parametrize(
    ("abi", "said"), [(0, "the kernel has no Landlock"), (2, "is of version 2, and replicas need 3")]
)
async def test_a_kernel_that_cannot_confine_replicas_is_reported(monkeypatch, abi, said):
    monkeypatch.setattr(landlock, "abi", lambda: abi)

    assert confinement.missing().startswith("Apps cannot run here: ")
    assert said in confinement.missing()
