"""The folder of runtimes: one environment per version, and the packages of each."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from flowpin_cli.errors import CannotRun
from service_kit.files import replace_file

FOLDER_VARIABLE = "FLOWPIN_RUNTIMES"
MANIFEST = "flowpin-runtime.json"
LOCK = "requirements.lock"
UNFINISHED = ".unfinished-"
VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){1,3}")


@dataclass(frozen=True)
class Runtime:
    """An installed runtime."""

    version: str
    """The version that deployments name."""
    sdk: str
    """The exact release of the SDK."""
    python: str
    packages: int
    lock_digest: str
    """Hex SHA-256 of the lock. Two runtimes with the same digest have the same packages."""
    installed_at: str


@dataclass(frozen=True)
class Runtimes:
    """The runtimes under `path`."""

    path: Path

    def of(self, version: str) -> Path:
        return self.path / version

    def find(self, version: str) -> Runtime | None:
        """The runtime of a version. None if it is not completely installed."""
        try:
            return Runtime(**json.loads((self.of(version) / MANIFEST).read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError):
            raise CannotRun(f"{self.of(version) / MANIFEST} cannot be read; install this runtime again") from None

    def all(self) -> list[Runtime]:
        """All installed runtimes, the newest version first."""
        names = [each.name for each in self.path.iterdir()] if self.path.is_dir() else []
        found = [self.find(name) for name in names if VERSION.fullmatch(name)]
        return sorted((each for each in found if each), key=lambda each: _numbers(each.version), reverse=True)

    def lock_of(self, version: str) -> str:
        return (self.of(version) / LOCK).read_text()

    def unfinished(self, version: str) -> Path:
        """The folder in which a runtime is built before it is moved to its final path."""
        return self.path / f"{UNFINISHED}{version}"

    def finish(self, runtime: Runtime) -> None:
        """Move the built runtime to its final path in one step."""
        made = self.unfinished(runtime.version)
        replace_file(made / MANIFEST, json.dumps(asdict(runtime), indent=2) + "\n")
        made.rename(self.of(runtime.version))

    def remove(self, version: str) -> None:
        """Remove a runtime. It is renamed first, so that no process sees a part of it."""
        self.of(version).rename(self.unfinished(version))
        shutil.rmtree(self.unfinished(version))

    def remove_unfinished(self) -> None:
        """Remove the files that a killed installation left."""
        for each in self.path.glob(f"{UNFINISHED}*"):
            shutil.rmtree(each)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process. Creates it if needed. Raises CannotRun if another process has the lock."""
        try:
            self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise CannotRun(f"the folder of runtimes {self.path} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise CannotRun(f"another `flowpin runtime` is running in {self.path}; wait for it to end") from None
        finally:
            os.close(lock)


def runtimes_of(data: Path, environ: Mapping[str, str]) -> Runtimes:
    """The folder of runtimes: FLOWPIN_RUNTIMES, which several data folders may share, or a folder in the data
    folder."""
    given = environ.get(FOLDER_VARIABLE)
    return Runtimes(Path(given).absolute() if given else data.absolute() / "runtimes")


def digest_of(lock: str) -> str:
    return hashlib.sha256(lock.encode()).hexdigest()


def check_version(version: str) -> str:
    """Raises CannotRun unless the text is a release number."""
    if not VERSION.fullmatch(version):
        raise CannotRun(f"{version!r} is not a version of the Dynamiq SDK; write one such as 0.69 or 0.69.0")
    return version


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
