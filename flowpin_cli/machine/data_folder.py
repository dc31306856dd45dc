"""The data folder of one run: its lock, ports and private files."""

import errno
import fcntl
import json
import os
import secrets
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine import ownership
from flowpin_cli.machine.log_writer import make_room
from service_kit.files import replace_file
from service_kit.ports import check_free

LOOPBACK = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - only where --host asks for it
PORT_RANGE = range(20_000, 32_768)  # below the port range of outgoing connections
UNFINISHED_RESTORE = "restore.unfinished"
"""Name of a folder within the data folder, in which a restore works until it is complete."""


@dataclass(frozen=True)
class DataFolder:
    """Paths in the data folder, and how the files there are read and written."""

    path: Path

    @property
    def access_file(self) -> Path:
        return self.path / "access.yaml"

    @property
    def env_file(self) -> Path:
        return self.path / "env"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def tls(self) -> Path:
        """The folder of the authority of `flowpin up --tls`."""
        return self.path / "tls"

    @property
    def mark(self) -> str:
        """A mark that identifies the folder's processes, wherever the folder is mounted or moved."""
        status = self.path.stat()
        return f"{status.st_dev}:{status.st_ino}"

    def fresh_log(self, name: str) -> Path:
        """The path of the current log. Logs of earlier runs are in the same folder, with a number."""
        log = self.path / "logs" / f"{name}.log"
        make_room(str(log))
        return log

    def secret(self, name: str) -> str | None:
        """The content of a private file. None if it does not exist."""
        try:
            return (self.path / name).read_text().strip()
        except FileNotFoundError:
            return None

    def keep_secret(self, name: str, value: str) -> None:
        replace_file(self.path / name, value + "\n")

    def env(self) -> dict[str, str]:
        """The variables that the last run wrote. Empty if there was no run."""
        try:
            lines = self.env_file.read_text().splitlines()
        except FileNotFoundError:
            return {}
        words = (shlex.split(line.removeprefix("export "), comments=True) for line in lines)
        return dict(word[0].split("=", 1) for word in words if word and "=" in word[0])

    def write_env(self, variables: Mapping[str, str]) -> None:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
        replace_file(self.env_file, "".join(lines))


def found(path: Path) -> DataFolder:
    """Check the folder, which need not exist. Raises CannotRun if others own it or can change its content."""
    if not os.path.lexists(path):
        return DataFolder(path.resolve())
    try:
        folder = DataFolder(ownership.check_folder(path))
        _check_content(folder)
    except PermissionError:
        raise CannotRun(f"{path} cannot be read; run this as the user of `flowpin up`") from None
    except OSError as error:
        raise CannotRun(f"the data folder {path} cannot be used: {error.strerror}") from None
    return folder


def _check_content(folder: DataFolder) -> None:
    owners = ownership.postgres_owners()
    unfinished = folder.path / UNFINISHED_RESTORE
    for path in (folder.path, folder.path / "logs", unfinished, unfinished / "logs"):
        if path.is_dir():
            ownership.check_content(path, owners)


@contextmanager
def locked(path: Path) -> Iterator[DataFolder]:
    """Lock the folder for this process. Creates the folder if needed.

    Raises CannotRun if another `flowpin up` has locked it, or others own it or can change its content.
    """
    try:
        if not os.path.lexists(path):
            ownership.real_path(next(parent for parent in path.absolute().parents if os.path.lexists(parent)))
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = found(path)
        (folder.path / "logs").mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CannotRun(f"the data folder {path} cannot be used: {error.strerror}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode().strip() or "unknown"
            raise CannotRun(f"flowpin is already up on {folder.path} (pid {holder})") from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield folder
    finally:
        os.close(lock)


@dataclass(frozen=True)
class Ports:
    """The ports of the processes. All gateways share one port; each worker of a service has its own."""

    gateway: int
    workflow: Sequence[int]
    deploy: Sequence[int]
    apps: int = 0
    """The port for calls of apps. 0 if no apps run. The same applies to `run`, the port of the run service's RPCs."""
    run: int = 0
    host: str = LOOPBACK
    """The address on which gateway, apps and console listen. Services always listen on LOOPBACK."""
    console: int = 0
    """0 if there is no console."""
    ca: str = ""
    """The file of the authority that signed the listeners' certificate. Empty without TLS."""

    def url_of(self, port: int) -> str:
        """The URL of a process of this machine."""
        return f"{'https' if self.ca else 'http'}://{reached_at(self.host)}:{port}"


def reached_at(host: str) -> str:
    """The host to connect to from this machine when a process listens on `host`."""
    return LOOPBACK if host == EVERY_ADDRESS else host


def choose_ports(
    folder: DataFolder,
    gateway: int,
    *,
    workflow: int = 1,
    deploy: int = 1,
    apps: int | None = None,
    host: str = LOOPBACK,
    console: int | None = None,
    ca: str = "",
) -> Ports:
    """Choose ports for this number of workers. Reuses those of the last run if they are free.

    0 for `gateway`, `apps` or `console` picks a free port. None for `apps` or `console` leaves them out. Raises
    CannotRun if a given port is taken.
    """
    last = last_ports(folder) or Ports(0, (), ())
    for port, option in ((gateway, "--port"), (apps, "--apps-port"), (console, "--console-port")):
        if port and not _is_free(port, host):
            raise CannotRun(
                f"port {port} is taken by another program; choose another with {option} (0 picks a free one)"
            )
    taken = {gateway, apps or 0, console or 0}
    ports = Ports(
        gateway=gateway or _free_port(last.gateway, taken),
        workflow=_free_ports(workflow, last.workflow, taken),
        deploy=_free_ports(deploy, last.deploy, taken),
        host=host,
        ca=ca,
    )
    if apps is not None:
        ports = replace(ports, apps=apps or _free_port(last.apps, taken), run=_free_port(last.run, taken))
    if console is not None:
        ports = replace(ports, console=console or _free_port(last.console, taken))
    replace_file(folder.path / "ports.json", json.dumps(vars(ports)) + "\n")
    return ports


def _free_ports(count: int, last: Sequence[int], taken: set[int]) -> list[int]:
    return [_free_port(last[place] if place < len(last) else 0, taken) for place in range(count)]


def _free_port(last: int, taken: set[int]) -> int:
    port = last
    while port == 0 or port in taken or not _is_free(port):
        port = secrets.choice(PORT_RANGE)
    taken.add(port)
    return port


def _is_free(port: int, host: str = LOOPBACK) -> bool:
    try:
        check_free(host, port)
    except socket.gaierror as error:
        raise CannotRun(f"--host {host} is not an address of this machine: {error.strerror}") from None
    except PermissionError:
        raise CannotRun(f"port {port} is only for root; choose another with --port") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise CannotRun(f"--host {host} is not an address of this machine") from None
        return False
    return True


def holder(path: Path) -> str | None:
    """The id of the process that has locked the folder. None if it is not locked. Raises CannotRun if that is
    unknown."""
    try:
        lock = os.open(path / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotRun(f"{path} cannot be read: {error.strerror}; run this as the user of `flowpin up`") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(lock, 20, 0).decode().strip() or "unknown"
    finally:
        os.close(lock)
    return None


def last_ports(folder: DataFolder) -> Ports | None:
    """The ports of the current or the last run."""
    try:
        kept = json.loads((folder.path / "ports.json").read_text())
        apps, run, console = (int(kept.get(name, 0)) for name in ("apps", "run", "console"))
        host = str(kept.get("host", LOOPBACK))
        workers = _several(kept["workflow"]), _several(kept["deploy"])
        return Ports(int(kept["gateway"]), *workers, apps, run, host, console, str(kept.get("ca", "")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _several(kept: int | list[int]) -> list[int]:
    """A service's ports. Earlier releases had one worker and stored a number."""
    return [int(port) for port in (kept if isinstance(kept, list) else [kept])]
