"""One of three workflow services stops answering in one of three ways: callers notice it only for a short time."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest

from tests.support.databases import fresh_database
from tests.support.replica_proxy import ReplicaProxy
from tests.support.replicas import Replicas, running_replicas
from tests.support.stack import People
from tests.support.steady_load import READS, READY, SteadyLoad

pytestmark = pytest.mark.load
WHOLE_SECONDS, STUCK_SECONDS, AFTER_SECONDS = 2.0, 8.0, 3.0
NOTICED_SECONDS = 3.0
"""Until all calls go to other replicas: 0.5 s of silence, 1.5 s for the ping, the rest for a busy machine."""
SLOW_SECONDS = 5.0
BLOCK_ON_SIGNAL = """
import signal, time

def block(*_):
    global blocked
    blocked = True
    while blocked:
        time.sleep(0.01)

def go_on(*_):
    global blocked
    blocked = False

signal.signal(signal.SIGUSR1, block)
signal.signal(signal.SIGUSR2, go_on)
"""
"""Blocks the event loop, while gRPC's own threads continue to answer pings."""
OPEN_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '80 ms'
"""
FROZEN, VANISHED, BLOCKED = "frozen", "vanished", "blocked"
TIMED_OUT = "503 DATABASE_UNAVAILABLE"
SIGNALS = {FROZEN: (signal.SIGSTOP, signal.SIGCONT), BLOCKED: (signal.SIGUSR1, signal.SIGUSR2)}


@dataclass
class Story:
    how: str
    load: SteadyLoad
    began: float
    ended: float


@pytest.fixture(scope="module")
async def database(database_urls: Mapping[str, str]) -> AsyncIterator[dict[str, str]]:
    async with fresh_database(database_urls) as urls:
        yield urls


@pytest.fixture(scope="module", params=[FROZEN, VANISHED, BLOCKED])
async def story(
    request: pytest.FixtureRequest, database: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Story]:
    folder = tmp_path_factory.mktemp(request.param)
    people = People(folder / "access.yaml")
    people.write()
    async with AsyncExitStack() as running:
        proxy = await running.enter_async_context(ReplicaProxy().running())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(folder))
            (folder / "sitecustomize.py").write_text(BLOCK_ON_SIGNAL)
            replicas = await running.enter_async_context(running_replicas(3, database, people, folder, proxy))
        load = SteadyLoad(replicas.url, replicas.gateway.env["GATEWAY_WORKFLOW_TARGET"], people)
        async with load.working():
            await asyncio.sleep(WHOLE_SECONDS)
            began = load.now
            await stop_answering(request.param, replicas, proxy, database["admin"])
            await asyncio.sleep(STUCK_SECONDS)
            ended = load.now
            answer_again(request.param, replicas, proxy)
            await asyncio.sleep(AFTER_SECONDS)
        print(f"\n{request.param}:\n{load.summary(began - 0.1, ended)}")  # noqa: T201 - figures, with -s
        yield Story(request.param, load, began, ended)


async def stop_answering(how: str, replicas: Replicas, proxy: ReplicaProxy, admin_url: str) -> None:
    if how == VANISHED:
        proxy.vanish()
    else:
        await stop(replicas.workflow[0].process, *SIGNALS[how], admin_url)


async def stop(
    process: asyncio.subprocess.Process, halt: signal.Signals, go_on: signal.Signals, admin_url: str
) -> None:
    """Stop the process while it has no open transaction, whose locks Postgres would keep for ten seconds."""
    db = await asyncpg.connect(admin_url)
    try:
        while True:
            process.send_signal(halt)
            await asyncio.sleep(0.1)
            if not await db.fetchval(OPEN_TRANSACTIONS):
                return
            process.send_signal(go_on)
            await asyncio.sleep(0.05)
    finally:
        await db.close()


def answer_again(how: str, replicas: Replicas, proxy: ReplicaProxy) -> None:
    if how == VANISHED:
        proxy.come_back()
    else:
        _, go_on = SIGNALS[how]
        replicas.workflow[0].process.send_signal(go_on)


def test_no_read_fails_or_takes_long_while_a_replica_is_stuck(story: Story):
    reads = story.load.of(*READS)

    assert len(reads) > 300
    assert [call for call in reads if call.failed] == []
    assert max(call.seconds for call in reads if call.kind == "rest read") < SLOW_SECONDS


def test_readiness_stays_true_while_a_replica_is_stuck(story: Story):
    assert [call for call in story.load.of(READY) if call.failed] == []


def test_calls_succeed_once_a_stuck_replica_is_detected(story: Story):
    later = story.load.of(since=story.began + NOTICED_SECONDS)

    assert len(later) > 300
    assert [call for call in later if call.failed or call.seconds > SLOW_SECONDS] == []


def test_keyed_writes_and_deploys_succeed_while_a_replica_is_stuck(story: Story):
    safe = story.load.of("rest keyed save", "rest deploy")
    failed = [call for call in safe if call.failed]
    if story.how == BLOCKED:
        # Calls in the blocked replica continue with it after their timeout, and say that nothing was changed.
        failed = [call for call in failed if call.began > story.began + 0.5 or call.outcome != TIMED_OUT]

    assert failed == []


def test_a_stuck_replica_fails_only_the_writes_in_progress(story: Story):
    failed = [call for call in story.load.of() if call.failed]
    expected = {"503 SERVICE_UNAVAILABLE", "UNAVAILABLE SERVICE_UNAVAILABLE"}
    if story.how == BLOCKED:
        expected |= {TIMED_OUT, TIMED_OUT.replace("503", "UNAVAILABLE")}

    assert {call.outcome for call in failed} <= expected
    assert len(failed) <= 8, "at most one call of each writer"
