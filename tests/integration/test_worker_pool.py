"""Costly work runs in worker processes with limits and a fair queue. Stopped work leaves no process."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service_kit.errors import DocumentTooComplex, InvalidFields, TooManyRequests
from service_kit.settings import WorkerLimits
from service_kit.workers import pool as workers
from service_kit.workers.pool import WorkerLost, WorkerPool, open_workers
from tests.support import work
from tests.support.stack import FLOW
from tests.support.up_process import alive
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

LIMITS = WorkerLimits(processes=2, cpu_seconds=1, memory_bytes=256 << 20)
ADA, BOB = "ada", "bob"


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    async with open_workers(LIMITS) as pool:
        yield pool


async def gone(pids: list[int]) -> bool:
    return not alive(set(pids))


async def test_a_worker_returns_the_result_or_the_error_of_its_work(pool: WorkerPool):
    large = os.urandom(5 << 20)

    assert await pool.run(ADA, work.echo, large) == large
    with pytest.raises(InvalidFields) as refused:
        await pool.run(ADA, work.refuse, "name")
    assert (refused.value.fields, refused.value.reason) == ({"name": "must be another"}, "INVALID_REQUEST")
    with pytest.raises(RuntimeError, match="no such thing"):
        await pool.run(ADA, work.fail)


async def test_a_worker_starts_with_the_first_work_and_is_reused(pool: WorkerPool):
    assert pool.pids == []

    found = [await pool.run(ADA, work.process_id) for _ in range(3)]

    assert found == [pool.pids[0]] * 3
    assert os.getpid() not in found


async def test_a_worker_uses_little_memory_and_has_low_priority(pool: WorkerPool):
    libraries, megabytes = await pool.run(ADA, work.check_and_look, FLOW)

    assert libraries == []
    assert megabytes < 40
    assert await pool.run(ADA, work.niceness) >= min(os.nice(0) + 10, 19)


@pytest.mark.parametrize(
    ("too_much", "amount"), [(work.compute, 60.0), (work.fill, 1 << 30)], ids=["CPU time", "memory"]
)
async def test_work_beyond_a_limit_is_stopped_and_the_next_work_succeeds(pool: WorkerPool, too_much, amount):
    began = time.monotonic()

    with pytest.raises(DocumentTooComplex) as stopped:
        await pool.run(ADA, too_much, amount)

    assert time.monotonic() - began < 20
    assert stopped.value.message == (
        "The document is too complex: it takes more than 1 seconds of CPU time or 256 MiB of memory."
    )
    assert await pool.run(ADA, work.echo, b"next") == b"next"


async def test_a_killed_worker_fails_its_own_call_only(pool: WorkerPool, tmp_path: Path):
    idle = await pool.run(ADA, work.process_id)
    os.kill(idle, signal.SIGKILL)
    await eventually(lambda: gone([idle]), 5)
    assert await pool.run(ADA, work.echo, b"one") == b"one"

    lost = asyncio.create_task(pool.run(ADA, work.sleep_until, str(tmp_path / "done")))
    other = asyncio.create_task(pool.run(BOB, work.sleep_until, str(tmp_path / "done")))
    await asyncio.sleep(0.5)
    os.kill(pool.pids[0], signal.SIGKILL)
    done, _ = await asyncio.wait([lost, other], timeout=5, return_when=asyncio.FIRST_COMPLETED)

    assert len(done) == 1
    with pytest.raises(WorkerLost) as failure:
        await done.pop()
    assert "ended. Nothing was changed." in failure.value.message
    assert await pool.run(ADA if lost.done() else BOB, work.echo, b"two") == b"two"
    (tmp_path / "done").touch()
    await asyncio.wait([lost, other], timeout=5)


async def test_a_worker_that_does_not_respond_is_killed(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch):
    pid = await pool.run(ADA, work.process_id)
    os.kill(pid, signal.SIGSTOP)

    with monkeypatch.context() as impatient:
        impatient.setattr(workers, "MAX_SECONDS", 1.0)  # for this work only, as a process may take longer to start
        with pytest.raises(WorkerLost):
            await pool.run(ADA, work.echo, os.urandom(5 << 20))

    await eventually(lambda: gone([pid]), 5)
    assert await pool.run(ADA, work.echo, b"next") == b"next"


async def test_a_canceled_call_ends_its_work(pool: WorkerPool, tmp_path: Path):
    call = asyncio.create_task(pool.run(ADA, work.sleep_until, str(tmp_path / "never")))
    await eventually(lambda: started(pool), 5)
    pids = pool.pids

    call.cancel()

    await eventually(lambda: gone(pids), 5)
    assert await pool.run(ADA, work.echo, b"next") == b"next"


async def started(pool: WorkerPool) -> bool:
    return bool(pool.pids)


async def test_one_principal_cannot_use_all_workers(pool: WorkerPool, tmp_path: Path):
    held = [asyncio.create_task(pool.run(ADA, work.sleep_until, str(tmp_path / "done"))) for _ in range(5)]
    await asyncio.sleep(0.1)

    assert await asyncio.wait_for(pool.run(BOB, work.echo, b"mine"), 10) == b"mine"

    assert not any(call.done() for call in held)
    assert len(pool.pids) == 2
    (tmp_path / "done").touch()
    assert len(await asyncio.gather(*held)) == 5


async def test_work_beyond_the_queue_of_workers_is_refused(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(workers, "MAX_WAITING", 3)
    async with open_workers(LIMITS) as pool:
        calls = [asyncio.create_task(pool.run(ADA, work.sleep_until, str(tmp_path / "done"))) for _ in range(4)]
        await asyncio.sleep(0.1)

        with pytest.raises(TooManyRequests):
            await pool.run(ADA, work.process_id)

        (tmp_path / "done").touch()
        assert len(await asyncio.gather(*calls)) == 4


async def test_an_idle_worker_ends(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.2)

    pid = await pool.run(ADA, work.process_id)

    await eventually(lambda: gone([pid]), 5)
    assert pool.pids == []
    assert await pool.run(ADA, work.process_id) != pid


async def test_a_worker_that_uses_too_much_memory_is_replaced():
    async with open_workers(WorkerLimits(processes=2, cpu_seconds=10, memory_bytes=1 << 30)) as pool:
        pid = await pool.run(ADA, work.process_id)

        await pool.run(ADA, work.fill, 300 << 20)

        await eventually(lambda: gone([pid]), 5)
        assert await pool.run(ADA, work.process_id) != pid


async def test_a_worker_pool_that_closes_leaves_no_process(tmp_path: Path):
    async with open_workers(LIMITS) as pool:
        await pool.run(BOB, work.process_id)
        call = asyncio.create_task(pool.run(ADA, work.sleep_until, str(tmp_path / "never")))
        await asyncio.sleep(0.5)
        pids = pool.pids

    assert await gone(pids)
    with pytest.raises(WorkerLost):
        await call


SERVICE = """
import asyncio
from service_kit.settings import WorkerLimits
from service_kit.workers.pool import open_workers
from tests.support import work

async def main():
    async with open_workers(WorkerLimits(2, 60, 1 << 30)) as pool:
        print(await pool.run("ada", work.process_id), flush=True)
        await pool.run("ada", work.compute, 60.0)

asyncio.run(main())
"""


async def test_workers_end_with_a_service_that_is_killed():
    service = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVICE, stdout=asyncio.subprocess.PIPE)
    assert service.stdout
    worker = int(await service.stdout.readline())
    assert alive({worker})

    service.kill()
    await service.wait()

    await eventually(lambda: gone([worker]), 5)
