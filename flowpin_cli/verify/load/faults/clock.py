"""The services' clock, moved through libfaketime where the machine has it."""

from dataclasses import dataclass
from pathlib import Path

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")
READ_SECONDS = 1
"""Seconds between two checks of a process for another clock."""


@dataclass(frozen=True)
class Clock:
    """The time of day of all processes started with `environment`, but not the clock for durations."""

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
        """Ahead of the machine's clock, or behind it."""
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
