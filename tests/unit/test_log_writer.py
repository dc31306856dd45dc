"""The log writer rotates files as it writes: their size is limited, and no line is lost or cut."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from flowpin_cli.machine.log_writer import FILE_BYTES, FILES, READ_BYTES
from flowpin_cli.machine.processes import start_log_writer


class Pipe:
    """A log writer, and the pipe it reads."""

    def __init__(self, log: Path) -> None:
        self._log = log
        source, self.fd = os.pipe()
        self.process = start_log_writer(source, log)
        os.close(source)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.fd, data) :]

    def end(self) -> None:
        os.close(self.fd)
        assert self.process.wait(20) == 0

    def written(self) -> list[bytes]:
        """The files, oldest first."""
        numbered = [Path(f"{self._log}.{number}") for number in range(FILES, 0, -1)]
        return [path.read_bytes() for path in (*numbered, self._log) if path.exists()]


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "a.log")


def test_the_log_writer_keeps_the_newest_lines_whole_within_its_size_limit(pipe: Pipe):
    count = FILES * FILE_BYTES // 100
    lines = b"".join(b"%099d\n" % number for number in range(count))

    pipe.write(lines + lines)
    pipe.end()

    files = pipe.written()
    assert len(files) == FILES
    assert max(map(len, files)) <= FILE_BYTES
    kept = b"".join(files)
    assert (lines + lines).endswith(kept)
    assert len(kept) > (FILES - 1) * (FILE_BYTES - READ_BYTES)
    assert all(file.endswith(b"\n") for file in files)


def test_a_log_line_longer_than_a_file_stays_within_the_size_limit(pipe: Pipe):
    line = b"x" * (FILE_BYTES // 2)

    for _ in range(3 * FILES):
        pipe.write(line)
    pipe.end()

    files = pipe.written()
    assert len(files) == FILES
    assert max(map(len, files)) <= FILE_BYTES


def test_the_log_writer_appends_to_an_existing_file_and_counts_its_size(tmp_path: Path):
    (tmp_path / "a.log").write_bytes(b"before\n" + b"x" * (FILE_BYTES - 10) + b"\n")
    pipe = Pipe(tmp_path / "a.log")

    pipe.write(b"a\n")
    pipe.write(b"now it is full\n")
    pipe.end()

    older, newest = pipe.written()
    assert older.startswith(b"before\n")
    assert newest.endswith(b"now it is full\n")


def test_the_log_writer_writes_everything_before_a_signal_ends_it(pipe: Pipe):
    pipe.write(b"before\n")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        eventually_ignores(pipe.process, number)
        pipe.process.send_signal(number)
    pipe.write(b"after\n")
    pipe.end()

    assert pipe.written() == [b"before\nafter\n"]


def eventually_ignores(process: subprocess.Popen[bytes], number: int) -> None:
    while not int(Path(f"/proc/{process.pid}/status").read_text().split("SigIgn:\t")[1][:16], 16) >> (number - 1) & 1:
        assert process.poll() is None


def bytes_in(pipe_fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe_fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_full_disk_does_not_block_logging_and_lost_lines_are_reported(pipe: Pipe):
    unlimited = resource.prlimit(pipe.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pipe.process.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))  # fails as a full disk does
    pipe.write(b"lost\n" * 1_000_000)
    while bytes_in(pipe.fd):
        assert pipe.process.poll() is None
    resource.prlimit(pipe.process.pid, resource.RLIMIT_FSIZE, unlimited)
    pipe.write(b"there is room again\n")
    pipe.end()

    text = b"".join(pipe.written())
    assert b'"event":"log_lost"' in text
    assert text.endswith(b"there is room again\n")


def test_the_log_writer_does_not_follow_a_symbolic_link(tmp_path: Path):
    (tmp_path / "a.log").symlink_to(tmp_path / "elsewhere")
    pipe = Pipe(tmp_path / "a.log")

    pipe.write(b"a line\n")
    pipe.end()

    assert not (tmp_path / "elsewhere").exists()
