"""A file that cannot be opened for a while, as on an unreachable network file system, by a lease (fcntl(2))."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hanging(path: Path) -> Iterator[None]:
    """Make opening the file wait until the block ends. The kernel itself ends a lease after 45 seconds."""
    usual = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the signal to the holder when somebody waits
    lease = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(lease)
        signal.signal(signal.SIGIO, usual)
