"""The folder one run keeps everything in: who holds it, its ports, its private files."""

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from service_kit.files import replace_file
from service_kit.local.errors import CannotRun
from service_kit.ports import check_free

LOOPBACK = "127.0.0.1"
PORT_RANGE = range(20_000, 32_768)  # below the range outgoing connections take theirs from


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
    def mark(self) -> str:
        """What processes of this folder are known by, wherever it is mounted or moved."""
        status = self.path.stat()
        return f"{status.st_dev}:{status.st_ino}"

    def fresh_log(self, name: str) -> Path:
        """Where to log now; what the last run logged is kept beside it."""
        log = self.path / "logs" / f"{name}.log"
        if log.exists():
            log.replace(f"{log}.1")
        return log

    def secret(self, name: str) -> str | None:
        """The content of a private file, None when it was never written."""
        try:
            return (self.path / name).read_text().strip()
        except FileNotFoundError:
            return None

    def keep_secret(self, name: str, value: str) -> None:
        replace_file(self.path / name, value + "\n")

    def env(self) -> dict[str, str]:
        """The variables the last run wrote; empty when there was none."""
        try:
            lines = self.env_file.read_text().splitlines()
        except FileNotFoundError:
            return {}
        words = (shlex.split(line.removeprefix("export "), comments=True) for line in lines)
        return dict(word[0].split("=", 1) for word in words if word and "=" in word[0])

    def write_env(self, variables: Mapping[str, str]) -> None:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
        replace_file(self.env_file, "".join(lines))


@contextmanager
def locked(path: Path) -> Iterator[DataFolder]:
    """Hold the folder for this process, making it if need be. CannotRun when another `flowpin up` holds it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = DataFolder(path.resolve())
        (folder.path / "logs").mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
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
    """Where the three processes listen."""

    gateway: int
    workflow: int
    deploy: int


def choose_ports(folder: DataFolder, gateway: int) -> Ports:
    """Those of the last run where still free; `gateway` 0 picks one. CannotRun when the gateway's is taken."""
    last: dict[str, int] = {}
    with suppress(FileNotFoundError, ValueError):
        last = json.loads((folder.path / "ports.json").read_text())
    if gateway and not _is_free(gateway):
        raise CannotRun(f"port {gateway} is taken by another program; choose another with --port (0 picks a free one)")
    taken = {gateway}
    ports = Ports(
        gateway=gateway or _free_port(last.get("gateway"), taken),
        workflow=_free_port(last.get("workflow"), taken),
        deploy=_free_port(last.get("deploy"), taken),
    )
    replace_file(folder.path / "ports.json", json.dumps(vars(ports)) + "\n")
    return ports


def _free_port(last: int | None, taken: set[int]) -> int:
    port = last
    while port is None or port in taken or not _is_free(port):
        port = secrets.choice(PORT_RANGE)
    taken.add(port)
    return port


def _is_free(port: int) -> bool:
    try:
        check_free(LOOPBACK, port)
    except PermissionError:
        raise CannotRun(f"port {port} is only for root; choose another with --port") from None
    except OSError:
        return False
    return True
