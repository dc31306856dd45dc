"""Changes the services' clock with libfaketime, if the machine has it."""

from dataclasses import dataclass
from pathlib import Path

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")
READ_SECONDS = 1
"""Seconds after which processes notice a changed clock."""


@dataclass(frozen=True)
class Clock:
    """The time of day of all processes with `environment`. Their monotonic clock does not change."""

    library: Path
    file: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": str(READ_SECONDS),
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def move(self, seconds: float) -> None:
        """Set the clock ahead of the machine's clock, or behind it."""
        self.file.write_text(f"{seconds:+.0f}\n")


def clock(folder: Path) -> Clock | None:
    """None without libfaketime."""
    root = Path("/")
    libraries = [path for pattern in LIBRARIES for path in sorted(root.glob(pattern.removeprefix("/")))]
    if not libraries:
        return None
    found = Clock(libraries[0], folder / "clock")
    found.move(0)
    return found
