"""Controls a worker process from the service that started it."""

import fcntl
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, NamedTuple, cast

OUT_OF_MEMORY = 3
"""Exit code of a worker that exceeded its memory limit."""
PIPE_BYTES = 1 << 20
"""Size of the pipes. With the usual 64 KB, a document of 5 MB would switch between the processes 80 times."""
END_SECONDS = 0.2


class Answer(NamedTuple):
    succeeded: bool
    value: Any
    """The result of the work, or its exception."""
    is_last: bool
    """Whether the worker ends, because its memory has grown."""


class WorkerEnded(Exception):
    """The worker ended before it answered. `code` is its exit code, or the negative number of a signal."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the worker ended with {code}")
        self.code = code


class Worker:
    """Does one piece of work at a time. Its process starts with the first one."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._is_killed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def call(self, work: Callable[..., Any], args: tuple[Any, ...], cpu_seconds: float) -> Answer:
        """Do the work and wait for the answer. Call it in a thread: it does not copy or pickle documents while it holds
        the GIL.

        Raises WorkerEnded, or OSError when no process can be started. Then the worker cannot be used again.
        """
        process = self._process = self._process or self._started()
        calls, answers = _pipes(process)
        try:
            if self._is_killed:
                process.kill()
            pickle.dump((work, args, cpu_seconds), calls, pickle.HIGHEST_PROTOCOL)
            calls.flush()
            answer: Answer = pickle.load(answers)  # noqa: S301 - from our own process
        except (OSError, EOFError, pickle.UnpicklingError):
            raise WorkerEnded(self.end()) from None
        except BaseException:
            self.end()
            raise
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        flags = ["-P"] if sys.flags.safe_path else []
        command = [sys.executable, *flags, "-m", __package__, str(os.getpid()), str(self._memory_bytes)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own
        for pipe in _pipes(process):
            with suppress(OSError):  # the system's limit for this user is reached
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return process

    def kill(self) -> None:
        """Kill the worker immediately. A call in progress raises WorkerEnded in its thread."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()

    def end(self) -> int:
        """Let the worker end, or kill it if it does not. Waits for its end and returns its exit code."""
        process = self._process
        if process is None:
            return 0
        for pipe in _pipes(process):
            with suppress(OSError):
                pipe.close()
        with suppress(subprocess.TimeoutExpired):  # it may be ending by itself, with an exit code that says why
            process.wait(END_SECONDS)
        process.kill()
        return process.wait()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    return cast("tuple[IO[bytes], IO[bytes]]", (process.stdin, process.stdout))
