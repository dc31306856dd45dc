"""The host process starts replicas, connects routers to them, and ends them."""

import asyncio
import os
import stat
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from run_service.hosting.client import ReplicaFailed, ReplicaGone, RunEnded, RunStarted, RunStreamed
from tests.support.hosting.fixtures import host, host_process, own_host, runtime
from tests.support.hosting.flows import DOES_AS_TOLD, KEEPS_MEMORY, MEMORY_EATER
from tests.support.hosting.host_process import (
    HostProcess,
    alive,
    answer,
    ended,
    events_of,
    request_of,
    spec_of,
    standin_runtime,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


__all__ = ["host", "host_process", "own_host", "runtime"]


def priorities_of_threads(pid: int) -> list[int]:
    return [os.getpriority(os.PRIO_PROCESS, int(each.name)) for each in Path(f"/proc/{pid}/task").iterdir()]


async def test_a_replica_answers_a_run(host, runtime):
    replica = await host.start(spec_of(runtime, {"name": "first"}))

    async with host.connect(replica.id) as connection:
        events = await events_of(connection, {"price": 2})

    assert events == [RunStarted(), RunEnded("completed", b'{"flow":"first","echo":{"price":2}}')]


async def test_a_replica_that_runs_its_flow_has_a_lower_priority_than_services(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))
    async with host.connect(replica.id) as connection:
        await answer(connection, {"echo": 1})

    assert set(priorities_of_threads(replica.pid)) == {min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)}


async def test_the_events_of_a_node_arrive_before_the_end_of_its_run(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))

    async with host.connect(replica.id) as connection:
        events = await events_of(connection, {"stream": ["a", {"b": 1}]}, stream=True)
        unasked = await events_of(connection, {"stream": []}, stream=False)

    assert events[:3] == [RunStarted(), RunStreamed("streaming", b'"a"'), RunStreamed("streaming", b'{"b":1}')]
    assert [type(event) for event in unasked] == [RunStarted, RunEnded]


async def test_concurrent_runs_of_a_replica_get_their_own_answers(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))

    async with host.connect(replica.id) as one, host.connect(replica.id) as other:
        calls = [answer(one if number % 2 else other, {"echo": number, "wait": 0.005}) for number in range(50)]
        answers = await asyncio.gather(*calls)

    assert [found["echo"] for found in answers] == list(range(50))


async def test_a_replica_runs_at_most_as_many_runs_as_it_has_slots(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD, slots=2))

    async with host.connect(replica.id) as connection:
        began = time.monotonic()
        await asyncio.gather(*(answer(connection, {"sleep": 0.1}) for _ in range(6)))

    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("flow", "fields", "reason", "said"),
    [
        ({"invalid": "no node"}, {}, "FLOW_INVALID", "The flow cannot be loaded: no node"),
        ({"needs": ["KEY"]}, {}, "VARIABLE_MISSING", "The flow needs the variable KEY, which is not set."),
        ({}, {"digest": "0" * 64}, "DIGEST_DIFFERS", "another digest"),
        ({"code": "import os; os._exit(0)"}, {}, "RUNTIME_BROKEN", "ended while it loaded the flow"),
    ],
)
async def test_a_replica_that_does_not_start_reports_the_cause_and_leaves_nothing(
    host, host_process, runtime, flow, fields, reason, said
):
    with pytest.raises(ReplicaFailed, match=said) as failed:
        await host.start(spec_of(runtime, flow, **fields))

    assert failed.value.reason == reason
    assert await host.list() == []
    assert list((host_process.folder / "host" / "replicas").iterdir()) == []


async def test_a_flow_that_takes_too_long_to_load_is_ended():
    process = HostProcess(load_seconds=0.3)
    process.start()
    try:
        async with process.client() as host:
            with pytest.raises(ReplicaFailed, match=r"did not load within 0\.3 s") as failed:
                await host.start(spec_of(standin_runtime(process.folder), {"load_seconds": 30}))
            assert await host.list() == []
    finally:
        process.end()

    assert failed.value.reason == "START_TIMED_OUT"


async def test_an_error_of_loading_contains_no_value_of_a_variable(host, runtime):
    with pytest.raises(ReplicaFailed, match="<KEY>") as failed:
        await host.start(spec_of(runtime, {"invalid": "refused: $KEY"}, variables={"KEY": "canary-value"}))

    assert "canary" not in failed.value.message


async def test_a_missing_runtime_is_reported_as_not_installed(host, tmp_path):
    with pytest.raises(ReplicaFailed, match=r"The runtime 9\.9 is not installed\.") as failed:
        await host.start(spec_of(tmp_path / "9.9", {}))

    assert failed.value.reason == "RUNTIME_NOT_INSTALLED"


async def test_a_runtime_that_cannot_import_reports_the_last_line_of_its_error(host, tmp_path):
    python = tmp_path / "broken" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'no such library' >&2; exit 1\n")
    python.chmod(0o755)

    with pytest.raises(ReplicaFailed, match="no such library") as failed:
        await host.start(spec_of(python.parents[1], {}))

    assert failed.value.reason == "RUNTIME_BROKEN"


async def test_fifty_concurrent_starts_import_the_sdk_once(own_host):
    runtime = standin_runtime(own_host.folder)

    async with own_host.client() as host:
        replicas = await asyncio.gather(*(host.start(spec_of(runtime, {"name": str(n)})) for n in range(50)))

    assert len({replica.pid for replica in replicas}) == 50
    assert own_host.output.read_text().count("runtime_imported") == 1


async def test_a_preloaded_runtime_is_imported_before_the_first_start(tmp_path):
    process = HostProcess(preload=standin_runtime(tmp_path))
    process.start()
    try:
        await asyncio.to_thread(wait_until, lambda: "runtime_imported" in process.output.read_text(), 10)
    finally:
        process.end()


async def test_a_canceled_start_leaves_no_replica(host, runtime):
    start = asyncio.create_task(host.start(spec_of(runtime, {"load_seconds": 0.8})))
    await asyncio.sleep(0.2)

    start.cancel()

    await asyncio.wait([start])
    assert start.cancelled()
    await asyncio.sleep(0.2)
    assert await host.list() == []


async def test_stopping_a_replica_lets_its_run_end(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))

    async with host.connect(replica.id) as connection:
        run = asyncio.create_task(answer(connection, {"echo": 1, "sleep": 0.3}))
        await asyncio.sleep(0.1)
        await host.stop(replica.id, 5)

        assert (await run)["echo"] == 1
    assert not alive(replica.pid)


async def test_stopping_a_replica_kills_a_run_that_does_not_end_in_time(host, host_process, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))

    async with host.connect(replica.id) as connection:
        run = asyncio.create_task(ended(connection, {"loop": True}))
        await asyncio.sleep(0.1)
        await host.stop(replica.id, 0.2)

        assert (await run).status == "failed"
    assert not alive(replica.pid)
    assert list((host_process.folder / "host" / "replicas").iterdir()) == []


async def test_a_router_that_reconnects_finds_its_replicas(host_process, runtime):
    async with host_process.client() as first:
        replica = await first.start(spec_of(runtime, {"name": "kept"}, labels={"variables": "3"}))

    async with host_process.client() as second:
        assert await second.list() == [replica]
        async with second.connect(replica.id) as connection:
            assert (await answer(connection, {}))["flow"] == "kept"
        await second.stop(replica.id, 0)


async def test_the_host_reports_the_memory_and_cpu_time_of_a_replica(host, runtime):
    replica = await host.start(spec_of(runtime, KEEPS_MEMORY))
    async with host.connect(replica.id) as connection:
        await answer(connection, {"bytes": 20 << 20})

        usage = (await host.usage())[replica.id]

    assert 20 << 20 <= usage.grown_bytes < 30 << 20
    assert usage.cpu_seconds >= 0.01


async def test_a_run_on_a_stopped_replica_fails_with_replica_gone(host, runtime):
    replica = await host.start(spec_of(runtime, {}))
    async with host.connect(replica.id) as connection:
        await host.stop(replica.id, 0)

        with pytest.raises(ReplicaGone):
            await ended(connection, {})
    with pytest.raises(ReplicaGone):
        async with host.connect(replica.id):
            pass


async def test_a_caller_that_disconnects_cancels_its_run(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD, slots=1))

    async with host.connect(replica.id) as connection:
        async with aclosing(connection.run(request_of({"wait": 30}))) as events:
            assert await anext(events) == RunStarted()

        assert (await answer(connection, {"echo": 1}, deadline_seconds=10))["echo"] == 1  # the only slot is free


async def test_a_replica_survives_a_caller_that_disconnects_after_the_deadline(host, host_process, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD, slots=1))

    async with host_process.client(grace_seconds=10) as patient, patient.connect(replica.id) as connection:
        run = asyncio.create_task(ended(connection, {"sleep": 0.4}, deadline_seconds=0.1))
        await asyncio.sleep(0.2)
        run.cancel()
        await asyncio.wait([run])

        assert (await answer(connection, {"echo": 1}))["pid"] == replica.pid


async def test_a_router_that_disconnects_cancels_its_runs(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD, slots=1))
    async with host.connect(replica.id) as connection:
        run = asyncio.create_task(ended(connection, {"wait": 30}))
        await asyncio.sleep(0.05)
    assert (await run).status == "failed"

    async with host.connect(replica.id) as connection:
        assert (await answer(connection, {"echo": 1}, deadline_seconds=10))["echo"] == 1


async def test_a_run_that_streams_faster_than_it_is_read_is_ended(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))

    request = request_of({"flood": 200_000}, stream=True)
    async with host.connect(replica.id) as connection, aclosing(connection.run(request)) as events:
        await anext(events)
        await asyncio.sleep(1)
        last = [event async for event in events][-1]

    assert (last.status, last.error) == ("failed", "The caller takes the run's events too slowly.")


async def test_canceling_a_caller_while_its_input_is_sent_affects_no_other_run(host, runtime):
    replica = await host.start(spec_of(runtime, DOES_AS_TOLD))

    async with host.connect(replica.id) as connection:
        large = asyncio.create_task(ended(connection, {"echo": "x" * (4 << 20)}))
        await asyncio.sleep(0)  # the client has begun to send
        large.cancel()
        await asyncio.wait([large])

        assert (await answer(connection, {"echo": 1}))["echo"] == 1


async def test_large_inputs_and_outputs_are_sent_and_too_large_outputs_fail(host, runtime):
    echo = await host.start(spec_of(runtime, DOES_AS_TOLD))
    large = await host.start(spec_of(runtime, MEMORY_EATER))

    async with host.connect(echo.id) as one, host.connect(large.id) as other:
        assert len((await answer(one, {"echo": "x" * (20 << 20)}))["echo"]) == 20 << 20
        end = await ended(other, {"bytes": 33 << 20, "whole": True})

    assert end.status == "failed"
    assert "larger than the limit of 33554432" in end.error, end


async def test_only_the_user_of_the_host_process_may_open_its_socket(host, host_process):
    assert stat.S_IMODE(host_process.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(host_process.socket.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
async def test_the_host_process_refuses_connections_of_another_user(own_host, tmp_path):
    async with own_host.client():
        pass
    own_host.socket.parent.chmod(0o777)
    own_host.socket.chmod(0o777)
    code = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(own_host.socket)!r}); print(s.recv(1))"
    child = await asyncio.create_subprocess_exec(
        "/usr/bin/env", "python3", "-c", code, user=65534, stdout=asyncio.subprocess.PIPE
    )

    said, _ = await asyncio.wait_for(child.communicate(), 10)

    assert said == b"b''\n"


async def test_a_second_host_process_does_not_start_in_the_same_folder(own_host):
    async with own_host.client():
        second = HostProcess(lock_seconds=0.2)
        second.start(own_host.folder / "host")

    assert second.process.wait(15) != 0
    assert "HostRunning" in second.output.read_text()


async def test_all_replicas_end_with_the_host_process(own_host):
    runtime = standin_runtime(own_host.folder)
    async with own_host.client() as host:
        replica = await host.start(spec_of(runtime, DOES_AS_TOLD))
        written = own_host.written_down()

        own_host.process.terminate()
        own_host.process.wait(10)

    assert not [pid for pid in written if alive(pid)]
    assert not alive(replica.pid)
    assert not own_host.socket.exists()


async def test_a_malformed_message_ends_the_connection_of_its_router_only(host, host_process, runtime):
    reader, writer = await asyncio.open_unix_connection(host_process.socket)
    writer.write(b"\x00\x00\x00\x02{}")

    assert await asyncio.wait_for(reader.read(), 5) == b""

    writer.close()
    assert await host.list() == []
