"""A file that nobody can open for a while, as on a network file system that has gone: by a lease on it (fcntl(2))."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hanging(path: Path) -> Iterator[None]:
    """Until the block ends, whoever opens the file waits. (The kernel ends a lease after 45 seconds by itself.)"""
    usual = signal.signal(signal.SIGIO, signal.SIG_IGN)  # what the holder is sent when somebody waits
    lease = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(lease)
        signal.signal(signal.SIGIO, usual)
