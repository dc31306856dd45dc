"""The zygotes of a runtime are kept while it is used, and ended when it is idle, removed or reinstalled."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from run_service.hosting.client import ReplicaFailed
from tests.support.hosting.flows import DOES_AS_TOLD
from tests.support.hosting.host_process import HostProcess, answer, spec_of, standin_runtime
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


@contextmanager
def started(**settings: object) -> Iterator[HostProcess]:
    process = HostProcess(**settings)
    process.start()
    try:
        yield process
    finally:
        process.end()


def runs(process: HostProcess, count: int):
    """Whether `count` processes of the runtime run."""

    async def holds() -> bool:
        return len(process.written_down()) == count

    return holds


async def test_an_idle_runtime_is_ended_and_imported_again_when_needed():
    with started(runtime_idle_seconds=0.5) as process:
        runtime = standin_runtime(process.folder)
        async with process.client() as host:
            replica = await host.start(spec_of(runtime, {}))
            await eventually(runs(process, 3))  # two zygotes and the replica
            await asyncio.sleep(2.5)
            assert len(process.written_down()) == 3, "the runtime is in use"
            await host.stop(replica.id, 0)
            await eventually(runs(process, 0))

            await host.start(spec_of(runtime, {}))

        assert process.output.read_text().count("runtime_imported") == 2


async def test_the_preloaded_runtime_is_not_ended_when_idle():
    process = HostProcess()
    runtime = standin_runtime(process.folder)
    shutil.rmtree(process.folder / "socket")
    with started(runtime_idle_seconds=0.2, preload=runtime) as preloading:
        async with preloading.client():
            await eventually(runs(preloading, 2))
            await asyncio.sleep(2.5)

        assert len(preloading.written_down()) == 2
    shutil.rmtree(process.folder)


@pytest.mark.parametrize("is_asked_at_once", [True, False])
async def test_a_reinstalled_runtime_is_imported_again(is_asked_at_once):
    with started() as process:
        runtime = standin_runtime(process.folder)
        async with process.client() as host:
            old = await host.start(spec_of(runtime, DOES_AS_TOLD))
            await eventually(runs(process, 3))
            shutil.rmtree(runtime)
            standin_runtime(process.folder)
            if not is_asked_at_once:
                await eventually(runs(process, 1))

            new = await host.start(spec_of(runtime, DOES_AS_TOLD))
            async with host.connect(old.id) as connection:
                said = await answer(connection, {"echo": 1})

        assert process.output.read_text().count("runtime_imported") == 2
        assert said["echo"] == 1, "replicas continue"
        assert new.pid != old.pid


async def test_a_removed_runtime_is_ended_and_reported_as_not_installed():
    with started() as process:
        runtime = standin_runtime(process.folder)
        async with process.client() as host:
            await host.stop((await host.start(spec_of(runtime, {}))).id, 0)
            await eventually(runs(process, 2))
            shutil.rmtree(runtime)
            await eventually(runs(process, 0))

            with pytest.raises(ReplicaFailed, match="is not installed") as failed:
                await host.start(spec_of(runtime, {}))

    assert failed.value.reason == "RUNTIME_NOT_INSTALLED"


async def test_a_zygote_with_a_slow_twin_is_kept_and_forks_another_twin():
    with started(twin_seconds=0.3) as process:
        async with process.client() as host:
            await host.stop((await host.start(spec_of(standin_runtime(process.folder), {}))).id, 0)
            await eventually(runs(process, 2))
            zygote, twin = process.written_down()
            os.kill(zygote, signal.SIGSTOP)  # like a zygote on an overloaded machine
            os.kill(twin, signal.SIGKILL)
            await asyncio.sleep(1)

            os.kill(zygote, signal.SIGCONT)

            await eventually(runs(process, 2))
            assert zygote in process.written_down()
