"""Writes the output of one process to its log file and rotates the file. This is a separate program, run by its path.

It reads a pipe to its end. So the logging process never reopens its log, and no line is lost. It is not part of
`flowpin up`, because that can be stopped (Ctrl-Z) or wait for its terminal. The logging process would then wait too. It
imports only fast modules of the standard library.
"""

import fcntl
import os
import signal
import sys
import time
from contextlib import suppress

FILES = 5
FILE_BYTES = 16 << 20
READ_BYTES = 1 << 20  # the largest pipe without privileges
PAUSE_SECONDS = 0.01
"""Pause after each read, so that many lines need only one write. A pipe of 1 MiB still allows 100 MB/s."""


def make_room(path: str) -> None:
    """Rename `path` to `path.1` and so on. Removes the oldest of `FILES` files."""
    if not os.path.lexists(path):
        return
    for number in range(FILES - 1, 0, -1):
        with suppress(FileNotFoundError):
            newer = f"{path}.{number - 1}" if number > 1 else path
            os.rename(newer, f"{path}.{number}")  # noqa: PTH104 - importing pathlib takes 8 ms of 17


class RotatingLog:
    """A log of at most `FILES` files of `FILE_BYTES`. Lines of up to `READ_BYTES` are not split."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._room = 0
        self._is_within_line = False
        self._lost_bytes = 0

    def write(self, data: bytes) -> None:
        """Never raises, because a full disk must not stop the logging process. Lost bytes are counted and reported
        later."""
        try:
            if self._lost_bytes:
                self._write_all(b'{"event":"log_lost","bytes":%d}\n' % self._lost_bytes)
                self._lost_bytes = 0
            self._write_all(data)
        except OSError:
            self._lost_bytes += len(data)

    def _write_all(self, data: bytes) -> None:
        while data:
            size = self._fitting(data)
            if size == 0:
                self._rotate()
                continue
            written = os.write(self._fd, data[:size])
            self._room -= written
            self._is_within_line = data[written - 1 : written] != b"\n"
            data = data[written:]

    def _fitting(self, data: bytes) -> int:
        if self._room - len(data) >= READ_BYTES:  # leaves space for the rest of an incomplete last line
            return len(data)
        whole_lines = data.rfind(b"\n", 0, self._room) + 1
        return whole_lines or (min(self._room, len(data)) if self._is_within_line else 0)

    def _rotate(self) -> None:
        if self._fd >= 0:
            make_room(self._path)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._room = fd, max(0, FILE_BYTES - os.fstat(fd).st_size)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the process ends when the pipe is closed, not by these signals
    with suppress(OSError):
        fcntl.fcntl(sys.stdin.fileno(), fcntl.F_SETPIPE_SZ, READ_BYTES)
    log = RotatingLog(sys.argv[1])
    while data := os.read(sys.stdin.fileno(), READ_BYTES):
        log.write(data)
        if len(data) < READ_BYTES:
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
