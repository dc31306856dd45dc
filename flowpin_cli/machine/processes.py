"""Starts processes that cannot outlive this one, and ends those that an earlier run left behind."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine import log_writer
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.machine.ownership import postgres_owners

MARK_VARIABLE = "FLOWPIN_DATA_MARK"
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """The user that a process runs as."""

    uid: int
    gid: int

    @property
    def is_mine(self) -> bool:
        return self.uid == os.geteuid()


@dataclass(frozen=True)
class Command:
    """A program to run: its arguments, its environment, and the signal that it gets when this process ends."""

    words: Sequence[str]
    env: Mapping[str, str]
    orphan_signal: signal.Signals = signal.SIGKILL
    """The signal that a child gets when its parent dies. It is not a stop signal: a service that stops hands over its
    rollouts, but after a crash they must be taken over."""
    account: Account | None = None
    pass_fds: Sequence[int] = ()
    cwd: str | None = None
    input: str = ""


def start(command: Command, log: Path) -> subprocess.Popen[bytes]:
    """Start the command in its own session, and append its output to `log`. Call from the main thread only.

    (The kernel sends the parent-death signal when the *thread* that forked ends.)
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        return start_into(command, output)
    finally:
        os.close(output)


def start_into(command: Command, output: int) -> subprocess.Popen[bytes]:
    """Like `start`, with the output to an open file or a pipe."""
    with TemporaryFile() as source:
        source.write(command.input.encode())
        source.seek(0)
        return subprocess.Popen(  # noqa: S603 - our own programs
            list(command.words),
            env=dict(command.env),
            stdin=source,
            stdout=output,
            stderr=output,
            cwd=command.cwd,
            pass_fds=command.pass_fds,
            start_new_session=True,
            preexec_fn=_preparation(command.account, command.orphan_signal),
        )


def start_log_writer(source: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the process that writes a pipe to `log` and rotates it, until no process can write to the pipe."""
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-S", log_writer.__file__, log],
        stdin=source,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _preparation(account: Account | None, orphan_signal: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def prepare() -> None:
        if account is not None and not account.is_mine:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
        # Set after setuid, which clears it.
        _libc.prctl(PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before prctl was called

    return prepare


async def run_to_end(command: Command, log: Path) -> int:
    """Run the command to its end and return its exit code. If canceled, it ends all of its processes."""
    process = start(command, log)
    try:
        return await exited(process)
    except asyncio.CancelledError:
        process.kill()
        await exited(process)
        raise


async def exited(process: subprocess.Popen[bytes]) -> int:
    """Wait until the process has ended, end the rest of its session, and return its exit code."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    pidfd = os.pidfd_open(process.pid)
    try:
        loop.add_reader(pidfd, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    # Before wait(), because until then no other process can have this id.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def describe_exit(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def last_lines(log: Path, count: int = 20) -> str:
    """The end of a log, which shows people why a process ended."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64_000))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "(nothing was logged)"
    return "\n".join(printable(line) for line in text.splitlines()[-count:])


def printable(text: str) -> str:
    """The text without control characters, which others may have inserted."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def processes_of(folder: DataFolder) -> set[int]:
    """All processes that a run on this folder started. They are found by the mark, those of Postgres by their working
    folder."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return {pid for pid in pids if pid != os.getpid() and _belongs(pid, folder)}


def end_orphans(folder: DataFolder, patience: float = 2.0) -> None:
    """End processes of an earlier run on this folder: first with a stop signal, then with SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        for pid in processes_of(folder):
            _send(pid, number, folder)
        while processes_of(folder):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return
    raise CannotRun(f"processes of an earlier run cannot be ended: {sorted(processes_of(folder))}")


def _belongs(pid: int, folder: DataFolder) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        environment = (process / "environ").read_bytes().split(b"\0")
        is_marked = f"{MARK_VARIABLE}={folder.mark}".encode() in environment
        # The owner is checked too, because every user can set the variable.
        is_ours = process.stat().st_uid in {os.geteuid(), *postgres_owners()}
    except OSError:  # ended meanwhile, or another user's
        return False
    return is_ours and (is_marked or _is_postgres_of(pid, folder))


def _is_postgres_of(pid: int, folder: DataFolder) -> bool:
    # Postgres overwrites its environment with its process title, but its working folder is its data directory.
    try:
        return (
            Path(f"/proc/{pid}/comm").read_text() == "postgres\n"
            and Path(f"/proc/{pid}/cwd").samefile(folder.postgres)
        )  # fmt: skip
    except OSError:
        return False


def _send(pid: int, number: signal.Signals, folder: DataFolder) -> None:
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            # Checked again after pidfd_open, so that no other process with this id gets the signal.
            if _belongs(pid, folder):
                quits = number is signal.SIGTERM and _is_postgres_of(pid, folder)  # on TERM, Postgres waits for clients
                signal.pidfd_send_signal(pidfd, signal.SIGQUIT if quits else number)
        finally:
            os.close(pidfd)
