"""A folder of encrypted files. Each is bound to its name, so that one cannot replace another."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from service_kit.files import replace_file
from service_kit.sealing import KEY_ID_BYTES, CannotOpen, KeyRing, Sealed

FORMAT = b"flowpin offline copy 1\0"
"""Part of the text that a file is bound to, so that a file of another format cannot be decrypted."""
LEFT_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{16}")
"""Matches the names of files that `replace_file` did not finish."""

log = structlog.get_logger()


class Unusable(Exception):
    """A file was not written by this installation, or is damaged."""


class SealedFolder:
    """Its methods block. The caller chooses names of letters, digits and hyphens."""

    def __init__(self, path: Path, keys: KeyRing, max_bytes: int) -> None:
        """`max_bytes` is the limit of one file, so that no large foreign file is read into memory."""
        self.path = path
        self._keys = keys
        self._max_bytes = max_bytes

    def make(self) -> None:
        """Create the folder, for this user only. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)

    def sizes(self) -> dict[str, int]:
        """The files' sizes by name. Removes half-written files. Raises OSError."""
        found = {}
        for entry in os.scandir(self.path):
            if LEFT_HALF_WRITTEN.fullmatch(entry.name):
                self.remove(entry.name)
            elif entry.is_file(follow_symlinks=False):
                found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return found

    def read(self, name: str) -> tuple[bytes, datetime] | None:
        """The content and when it was written. None if the file does not exist. Raises Unusable or OSError."""
        try:
            with _opened(self.path / name) as (fd, status):
                if not stat.S_ISREG(status.st_mode):
                    raise Unusable("it is not a file")
                if status.st_size > self._max_bytes:
                    raise Unusable("it is too large")
                with os.fdopen(fd, "rb", closefd=False) as file:
                    kept = file.read()
        except FileNotFoundError:
            return None
        sealed = Sealed(kept[:KEY_ID_BYTES], kept[KEY_ID_BYTES:])
        try:
            content = self._keys.open(sealed, FORMAT + name.encode())
        except CannotOpen:
            raise Unusable("it is damaged, not from here, or encrypted with a key that is gone") from None
        return content, datetime.fromtimestamp(status.st_mtime, UTC)

    def write(self, name: str, content: bytes) -> int:
        """Write a file in one step. Returns its size. Raises OSError."""
        sealed = self._keys.seal(content, FORMAT + name.encode())
        kept = sealed.key_id + sealed.content
        replace_file(self.path / name, kept)
        return len(kept)

    def remove(self, name: str) -> None:
        """Raises OSError."""
        (self.path / name).unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Open a file. Does not follow links, and does not wait for the other end of a pipe. Raises Unusable for a link."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(str(error.strerror)) from error
    try:
        yield fd, os.fstat(fd)
    finally:
        os.close(fd)
