"""Replicas, zygotes and hosts that are killed, loop, fork or use too much memory affect no other replica."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from run_service.hosting.client import HostGone
from tests.support.hosting.fixtures import host, host_process, own_host, runtime
from tests.support.hosting.flows import DISK_EATER, DOES_AS_TOLD, FORK_BOMB, MEMORY_EATER, SHARED_MEMORY_EATER
from tests.support.hosting.host_process import alive, answer, ended, spec_of, standin_runtime
from tests.support.waiting import wait_until

__all__ = ["host", "host_process", "own_host", "runtime"]

pytestmark = pytest.mark.slow


async def first_end(host):
    return await asyncio.wait_for(anext(host.ended()), 5)


async def test_a_run_beyond_its_deadline_is_canceled_and_its_replica_stays(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {"wait": 30}, deadline_seconds=0.2)

        assert (end.status, end.error) == ("timed_out", "The run did not end within its deadline.")
        assert (await answer(connection, {"echo": 1}))["pid"] == replica.pid


async def test_an_endless_loop_ends_its_own_replica_only(host, runtime):
    looping = await host.start(spec_of(runtime, DOES_AS_TOLD))
    beside = await host.start(spec_of(runtime, DOES_AS_TOLD))

    async with host.connect(looping.id) as one, host.connect(beside.id) as other:
        loop = asyncio.create_task(ended(one, {"loop": True}, deadline_seconds=0.3))
        waiting = asyncio.create_task(ended(one, {"wait": 30}))
        await asyncio.sleep(0.4)
        assert (await answer(other, {"echo": 1}))["echo"] == 1
        loop_end, waiting_end, told = await loop, await waiting, await first_end(host)

    assert loop_end.status == "timed_out"
    assert (waiting_end.status, waiting_end.error) == ("failed", told.message)
    assert (told.replica.id, told.reason) == (looping.id, "RUN_STUCK")
    assert [replica.id for replica in await host.list()] == [beside.id]


async def test_the_replica_of_a_loop_ends_after_its_router_has_disconnected(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))
    async with host.connect(replica.id) as connection:
        run = asyncio.create_task(ended(connection, {"loop": True}))
        await asyncio.sleep(0.1)

    told = await first_end(host)

    assert (await run).status == "failed"
    assert (told.replica.id, told.reason) == (replica.id, "RUN_STUCK")


@pytest.mark.parametrize(("value", "reason"), [({"exit": 0}, "EXITED"), ({"exit": 9}, "EXITED")])
async def test_a_flow_that_ends_its_process_fails_its_runs(host, runtime, value, reason):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))

    async with host.connect(replica.id) as connection:
        end, told = await ended(connection, value), await first_end(host)

    assert (end.status, end.error) == ("failed", "The flow ended its own process.")
    assert (told.replica.id, told.reason) == (replica.id, reason)


async def test_a_killed_replica_is_reported(host, host_process, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))
    async with host.connect(replica.id) as connection:
        run = asyncio.create_task(ended(connection, {"wait": 30}))
        await asyncio.sleep(0.1)

        os.kill(replica.pid, signal.SIGKILL)

        told = await first_end(host)
        assert (await run).error == told.message
    assert told.reason == "KILLED"
    assert list((host_process.folder / "host" / "replicas").iterdir()) == []


async def test_processes_that_a_replica_started_end_with_it(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))
    async with host.connect(replica.id) as connection:
        await answer(connection, {"child": True})
        assert len(session_of(replica.pid)) == 2

        os.kill(replica.pid, signal.SIGKILL)

        await first_end(host)
    assert session_of(replica.pid) == []


async def test_a_fork_bomb_is_limited_and_ends_with_its_replica(host, runtime):
    replica = await host.start(spec_of(runtime, FORK_BOMB))

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {}, deadline_seconds=0.5)
        told = await first_end(host)

    assert end.status == "timed_out"
    assert told.reason == "RUN_STUCK"
    assert session_of(replica.pid) == []


async def test_the_memory_of_a_replica_is_limited(host, runtime):
    replica = await host.start(spec_of(runtime, MEMORY_EATER))

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {"bytes": 300 << 20})

        assert (end.status, end.error) == ("failed", "MemoryError: ")
        assert await answer(connection, {"bytes": 1 << 20}) == 1 << 20


async def test_shared_memory_counts_towards_the_memory_limit_of_a_replica(host, runtime):
    replica = await host.start(spec_of(runtime, SHARED_MEMORY_EATER))

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {})

    assert (end.status, end.error) == ("failed", "The replica exceeded its memory limit.")


async def test_a_replica_cannot_fill_the_disk(host, runtime):
    replica = await host.start(spec_of(runtime, DISK_EATER))

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {})

    assert (end.status, end.error) == ("failed", "The replica exceeded the size limit of its folder.")


async def test_a_killed_zygote_is_replaced_by_its_twin_without_an_import(own_host):
    runtime = standin_runtime(own_host.folder)
    async with own_host.client() as host:
        replica = await host.start(spec_of(runtime, DOES_AS_TOLD))
        for _ in range(3):
            zygotes = await two_zygotes(own_host, host)
            os.kill(zygotes[0], signal.SIGKILL)
            other = await host.start(spec_of(runtime, {"name": "after"}))
            assert alive(other.pid)
        await two_zygotes(own_host, host)
        async with host.connect(replica.id) as connection:
            assert (await answer(connection, {"echo": 1}))["echo"] == 1  # the stand-in runtime does not need them

    assert own_host.output.read_text().count("runtime_imported") == 1


async def test_a_start_without_any_zygote_imports_again(own_host):
    runtime = standin_runtime(own_host.folder)
    async with own_host.client() as host:
        await host.start(spec_of(runtime, {}))
        for pid in await two_zygotes(own_host, host):
            os.kill(pid, signal.SIGSTOP)  # otherwise a twin may be created in between
        for pid in await two_zygotes(own_host, host):
            os.kill(pid, signal.SIGKILL)

        assert alive((await host.start(spec_of(runtime, {}))).pid)

    assert own_host.output.read_text().count("runtime_imported") == 2


async def test_a_zygote_that_hangs_is_replaced(own_host):
    runtime = standin_runtime(own_host.folder)
    async with own_host.client() as host:
        await host.start(spec_of(runtime, {}))
        zygotes = await two_zygotes(own_host, host)
        os.kill(zygotes[0], signal.SIGSTOP)

        assert alive((await host.start(spec_of(runtime, {}))).pid)


async def test_no_process_outlives_a_killed_host_process(own_host):
    runtime = standin_runtime(own_host.folder)
    async with own_host.client() as host:
        replica = await host.start(spec_of(runtime, DOES_AS_TOLD))
        zygotes = await two_zygotes(own_host, host)
        async with host.connect(replica.id) as connection:
            await answer(connection, {"child": True})
            child = next(pid for pid in session_of(replica.pid) if pid != replica.pid)
            run = asyncio.create_task(ended(connection, {"loop": True}))
            await asyncio.sleep(0.05)

            own_host.kill()

            assert (await run).status == "failed"
        with pytest.raises(HostGone):
            await host.list()
    wait_until(lambda: not any(map(alive, [replica.pid, *zygotes])), 2)
    assert alive(child)  # the kernel ends direct children of a host only

    own_host.start()
    async with own_host.client() as host:
        assert await host.list() == []
        assert alive((await host.start(spec_of(runtime, {}))).pid)
    assert not alive(child)


def session_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and alive(int(entry.name)):
            try:
                if os.getsid(int(entry.name)) == pid:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


async def two_zygotes(host_process, host) -> list[int]:
    """The ids of the process that imported the SDK and of its twin. Waits until there are two."""
    end = time.monotonic() + 5
    while True:
        written = host_process.written_down()
        replicas = {replica.pid for replica in await host.list()}
        found = [pid for pid in written if pid not in replicas and alive(pid)]
        if len(found) == 2:
            return found
        assert time.monotonic() < end, found
        await asyncio.sleep(0.02)
