"""A small file system for Postgres, which can be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SIZE_MB = 320
CHUNK = bytes(1 << 20)


@dataclass(frozen=True)
class SmallDisk:
    """A separate tmpfs."""

    path: Path

    @property
    def _filler(self) -> Path:
        return self.path / "filler"

    def fill(self) -> None:
        """Fill all free space."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(CHUNK)

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk | None]:
    """Mount the file system until the block ends. Yields None if this user may not mount."""
    if os.geteuid() != 0:
        yield None
        return
    path.mkdir(mode=0o700)
    options = f"size={SIZE_MB}m,mode=0700"
    command = ["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:  # noqa: S603 - no shell, our own words
        yield None
        return
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["/bin/umount", str(path)], capture_output=True, check=False)  # noqa: S603
