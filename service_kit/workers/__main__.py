"""The program of a worker process: reads calls from stdin and writes answers to stdout, both pickled.

`service_kit.workers.process` runs it. It ends at the end of stdin, together with its parent, or when a call exceeds its
limits: by SIGPROF for CPU time, with the exit code OUT_OF_MEMORY for memory.
"""

import ctypes
import gc
import os
import pickle
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

from service_kit.errors import ServiceError
from service_kit.workers.process import OUT_OF_MEMORY, Answer

PR_SET_PDEATHSIG = 1
NICENESS = 10
"""Nice value of workers, so that services and Postgres have priority."""
LARGEST_KEPT_KB = 200 << 10
"""A worker whose resident memory was larger ends, because CPython returns little of it."""


def main(parent_pid: int, memory_bytes: int) -> None:
    _end_with(parent_pid)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # ignored, because the service drains first and then ends this process
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    Path("/proc/self/oom_score_adj").write_text("1000")  # out of memory, the kernel kills this process, not Postgres
    # Parsed documents contain no cycles, and the collector takes as long to look for them as parsing does.
    gc.disable()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # printed text must not be read as an answer
    try:
        _serve(sys.stdin.buffer, answers)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _end_with(parent_pid: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)  # the parent ended before prctl was called


def _serve(calls: BinaryIO, answers: BinaryIO) -> None:
    while True:
        try:
            work, args, cpu_seconds = pickle.load(calls)  # noqa: S301 - from our own process
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            succeeded, value = True, work(*args)
        except ServiceError as error:
            succeeded, value = False, error
        except MemoryError:
            raise
        except Exception:
            succeeded, value = False, RuntimeError(f"work failed in a worker process\n{traceback.format_exc()}")
        is_last = _peak_kb() > LARGEST_KEPT_KB
        pickle.dump(Answer(succeeded, value, is_last), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()
        if is_last:
            return
        signal.setitimer(signal.ITIMER_PROF, 0)
        del work, args, value


def _peak_kb() -> int:
    """Peak resident memory. (`ru_maxrss` starts with that of the parent process.)"""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


main(int(sys.argv[1]), int(sys.argv[2]))
