"""The embedded Postgres: created once in the data folder, and run as a child process."""

import errno
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.machine.processes import MARK_VARIABLE, Account, Command, describe_exit, last_lines, run_to_end
from flowpin_cli.postgres.install import check_version, postgres_account, programs_for
from flowpin_cli.postgres.passwords import SUPERUSER, ensure_passwords, rules, statements
from flowpin_cli.postgres.socket_folder import socket_folder
from service_kit.files import sync_folder

DATABASE = "flowpin"
SOCKET_PORT = 5432  # used only in the name of the socket
MAX_CONNECTIONS = 200
START_SECONDS = 60.0  # includes a long recovery after a crash
MOST_READ_BYTES = 8_192

IDENT = "# No user of the system is a role.\n"


@dataclass(frozen=True)
class Cluster:
    """An open Postgres data directory, and the data to run it."""

    folder: DataFolder
    programs: Path
    account: Account
    directory_fd: int
    socket_folder: Path
    passwords: Mapping[str, str]
    """Passwords by role."""

    def command(self) -> Command:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_folder),
            "max_connections": str(MAX_CONNECTIONS),
            # Services keep query plans until a table is analyzed, so analyze new tables soon after they grow.
            "autovacuum_naptime": "5s",
            "port": str(SOCKET_PORT),
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return _command(self.folder, self.programs, ["postgres", *words], self.account, self.directory_fd)

    async def is_ready(self, process: subprocess.Popen[bytes] | None) -> bool:
        """Whether this process accepts connections, according to its pid file."""
        try:
            lines = _read(self.directory_fd, "postmaster.pid").splitlines()
        except OSError:
            return False
        return len(lines) > 7 and process is not None and lines[0] == str(process.pid) and lines[7].strip() == "ready"

    def url(self, role: str = SUPERUSER) -> str:
        return socket_url(self.socket_folder, role, self.passwords.get(role))

    def forget_the_dead(self) -> None:
        """Remove the pid file of a server that has ended, because another process may have its id now."""
        with suppress(FileNotFoundError):
            os.unlink("postmaster.pid", dir_fd=self.directory_fd)


@asynccontextmanager
async def open_cluster(folder: DataFolder) -> AsyncIterator[Cluster]:
    """The cluster in the data folder, ready to start. It is created if needed."""
    account = postgres_account(folder)
    programs = programs_for(account)
    passwords = ensure_passwords(folder)
    if data_version(folder) is None:
        await _initialise(folder, programs, account, passwords)
    directory_fd = os.open(folder.postgres, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        check_version(programs, data_version(folder) or "")
        with socket_folder(folder, account) as sockets:
            cluster = Cluster(folder, programs, account, directory_fd, sockets, passwords)
            cluster.forget_the_dead()
            await _ensure_rules(cluster)
            yield cluster
    finally:
        os.close(directory_fd)


def data_version(folder: DataFolder) -> str | None:
    """The major version of the Postgres that wrote the data. None without data. Raises CannotRun if it cannot be
    read."""
    try:
        directory_fd = os.open(folder.postgres, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            return _read(directory_fd, "PG_VERSION").strip()
        finally:
            os.close(directory_fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotRun(f"{folder.postgres} is not as Postgres makes it: {error.filename}: {error.strerror}") from None


def socket_url(sockets: Path, role: str, password: str | None) -> str:
    """The URL of the embedded Postgres. Its passwords need no quoting."""
    who = f"{role}:{password}" if password else role
    return f"postgresql://{who}@/{DATABASE}?host={sockets}&port={SOCKET_PORT}"


async def _ensure_rules(cluster: Cluster) -> None:
    """Make Postgres ask every role for its password, and set the passwords that are not set yet."""
    wanted = rules(cluster.passwords)
    try:
        if _read(cluster.directory_fd, "pg_hba.conf") != wanted:
            # Not over the socket, because no process may connect to it before the passwords are set.
            await _alone(cluster.folder, cluster.programs, cluster.account, cluster.directory_fd, "set-passwords",
                         statements(cluster.passwords))  # fmt: skip
            _write(cluster.directory_fd, "pg_hba.conf", wanted, cluster.account)
        _write(cluster.directory_fd, "pg_ident.conf", IDENT, cluster.account)
    except OSError as error:
        folder = cluster.folder.postgres
        raise CannotRun(f"{folder} is not as Postgres makes it: {error.filename}: {error.strerror}") from None


async def _alone(folder: DataFolder, programs: Path, account: Account, fd: int, name: str, sql: str) -> None:
    """Run SQL, one statement per line, in a Postgres without connections (single-user mode)."""
    words = ["postgres", "--single", "-c", "exit_on_error=on", "-c", "password_encryption=scram-sha-256", "postgres"]
    await _succeed(folder, name, _command(folder, programs, words, account, fd, sql))


async def _initialise(folder: DataFolder, programs: Path, account: Account, passwords: Mapping[str, str]) -> None:
    """Create the cluster under another name first, so that an incomplete one is never used after a crash."""
    unfinished = folder.path / "postgres.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    os.chown(unfinished, account.uid, account.gid, follow_symlinks=False)
    fd = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        initdb = ["initdb", "--username", SUPERUSER, "--encoding", "UTF8", "--no-locale", "--auth-local", "peer"]
        await _succeed(folder, "initdb", _command(folder, programs, initdb, account, fd))
        sql = f"CREATE DATABASE {DATABASE};\n{statements(passwords)}"
        await _alone(folder, programs, account, fd, "create-database", sql)
        _write(fd, "pg_hba.conf", rules(passwords), account)
    finally:
        os.close(fd)
    try:
        unfinished.rename(folder.postgres)
    except OSError:
        raise CannotRun(f"{folder.postgres} is not empty and has no Postgres cluster; remove it") from None
    sync_folder(folder.path)


async def _succeed(folder: DataFolder, name: str, command: Command) -> None:
    log = folder.fresh_log(f"postgres-{name}")
    if code := await run_to_end(command, log):
        raise CannotRun(f"Postgres: {name} {describe_exit(code)}. The end of {log}:\n{last_lines(log)}")


def _command(
    folder: DataFolder, programs: Path, words: Sequence[str], account: Account, directory_fd: int, text: str = ""
) -> Command:
    # By descriptor, because the account may lack access to the folders above, whose modes we do not change.
    return Command(
        [str(programs / words[0]), *words[1:]],
        env={
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C",
            "PGDATA": f"/proc/self/fd/{directory_fd}",
            MARK_VARIABLE: folder.mark,
        },
        orphan_signal=signal.SIGQUIT,
        account=account,
        pass_fds=(directory_fd,),
        cwd="/",
        input=text,
    )


def _read(directory_fd: int, name: str) -> str:
    """Read a small file in a folder of another user, who may have created a link, a pipe or a large file there."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", name)
        return os.read(fd, MOST_READ_BYTES).decode(errors="replace")
    finally:
        os.close(fd)


def _write(directory_fd: int, name: str, text: str, account: Account) -> None:
    """Write by descriptor and never through a link, because root writes to another user's folder here."""
    unfinished = f"{name}.unfinished"
    with suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=directory_fd)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=directory_fd), "w") as file:
        file.write(text)
        os.fchown(file.fileno(), account.uid, account.gid)
    os.rename(unfinished, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
