"""Runs a few worker processes for costly work. Each does one call at a time, within limits of CPU time and memory.

Libraries were tried. pebble 5.2 breaks permanently when one idle worker is killed, because its workers share two pipes
and their locks. Workers here share nothing. `concurrent.futures` has no public way to end a worker before Python 3.14.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar, TypeVarTuple

import structlog

from service_kit.errors import DocumentTooComplex, Unavailable
from service_kit.fair_queue import FairQueue
from service_kit.hotpath import process_tuning
from service_kit.settings import WorkerLimits
from service_kit.workers.process import OUT_OF_MEMORY, Answer, Worker, WorkerEnded

IDLE_SECONDS = 60.0
"""Seconds after which an idle worker ends. A new one takes 0.2 s to start."""
MAX_WAITING = 64
MAX_SECONDS = 30.0
"""Time limit for a waiting call, and again for its work. A worker that takes longer counts as stuck, whatever its CPU
time."""

Args = TypeVarTuple("Args")
Result = TypeVar("Result")

log = structlog.get_logger()


class WorkerLost(Unavailable):
    reason = "WORKER_LOST"

    def __init__(self) -> None:
        super().__init__("The process that worked on the document ended. Nothing was changed.", retry_after=1)


class WorkerPool:
    """Runs functions in worker processes."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        # One principal gets at most half of the workers, so that its costly work does not block others.
        self._queue = FairQueue(max(1, limits.processes // 2), MAX_WAITING, MAX_SECONDS)
        self._threads = ThreadPoolExecutor(limits.processes, "worker")
        self._idle: dict[Worker, asyncio.TimerHandle] = {}
        self._busy: set[Worker] = set()

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in (*self._idle, *self._busy) if worker.pid is not None]

    async def run(self, principal: Hashable, work: Callable[[*Args], Result], *args: *Args) -> Result:
        """Run `work`, a module-level function, in a worker process. Arguments and result are pickled.

        A worker whose caller leaves is killed. Raises what `work` raises, DocumentTooComplex, WorkerLost, or
        TooManyRequests if too many calls already wait.
        """
        await self._queue.enter(principal)
        if any(isinstance(arg, bytes) and len(arg) > process_tuning.MMAP_THRESHOLD_BYTES for arg in args):
            process_tuning.trim_heap_soon()
        worker = self._next_worker()
        self._busy.add(worker)
        try:
            answer = await self._call(worker, work, args)
        except BaseException:
            worker.kill()
            raise
        else:
            self._keep(worker, answer)
        finally:
            self._busy.remove(worker)
            self._queue.leave(principal)
        if not answer.succeeded:
            raise answer.value
        result: Result = answer.value
        return result

    async def _call(self, worker: Worker, work: Callable[..., object], args: tuple[object, ...]) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(MAX_SECONDS):
                return await loop.run_in_executor(self._threads, worker.call, work, args, self._limits.cpu_seconds)
        except WorkerEnded as ended:
            if ended.code in (-signal.SIGPROF, OUT_OF_MEMORY):
                log.warning("work_stopped", work=work.__qualname__, exit_code=ended.code)
                raise self._too_complex() from None
            log.warning("worker_lost", work=work.__qualname__, exit_code=ended.code)
            raise WorkerLost from None
        except (TimeoutError, OSError) as error:
            log.warning("worker_lost", work=work.__qualname__, error=repr(error))
            raise WorkerLost from None

    def _too_complex(self) -> DocumentTooComplex:
        seconds, mebibytes = self._limits.cpu_seconds, self._limits.memory_bytes / (1 << 20)
        return DocumentTooComplex(f"takes more than {seconds:g} seconds of CPU time or {mebibytes:g} MiB of memory")

    def _next_worker(self) -> Worker:
        while self._idle:
            worker, timer = self._idle.popitem()
            timer.cancel()
            if worker.is_alive():
                return worker
            self._threads.submit(worker.end)
        return Worker(self._limits.memory_bytes)

    def _keep(self, worker: Worker, answer: Answer) -> None:
        if answer.is_last:
            self._threads.submit(worker.end)
        else:
            timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire, worker)
            self._idle[worker] = timer

    def _retire(self, worker: Worker) -> None:
        del self._idle[worker]
        self._threads.submit(worker.end)

    def close(self) -> None:
        """Kill all workers and wait until they have ended."""
        for worker in self._busy:
            worker.kill()
        for worker, timer in self._idle.items():
            timer.cancel()
            worker.kill()
            self._threads.submit(worker.end)
        self._idle.clear()
        self._threads.shutdown()


@asynccontextmanager
async def open_workers(limits: WorkerLimits) -> AsyncIterator[WorkerPool]:
    """A pool whose workers start when there is work, and end with the block."""
    pool = WorkerPool(limits)
    try:
        yield pool
    finally:
        await asyncio.to_thread(pool.close)
