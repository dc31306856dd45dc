"""Of thirty rollouts none fails while a replica is paused, Postgres restarts or a clock is wrong."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from tests.support.crashing_postgres import CrashingPostgres, crashing_postgres
from tests.support.databases import migrate
from tests.support.deploy_processes import DeployProcess, deploy_service_process, released_workflow
from tests.support.stack import People, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

APPS = 15
HOUR = 3600


@pytest.fixture(scope="module")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CrashingPostgres]:
    async with crashing_postgres(tmp_path_factory.mktemp("restarting")) as server:
        yield server


@pytest.fixture(scope="module")
async def stack(postgres: CrashingPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack of the workflow service only."""
    people = People(tmp_path_factory.mktemp("people") / "access.yaml")
    people.write()
    stack = Stack(people, postgres.urls)
    await migrate(postgres.urls)
    await stack.start_workflow_service()
    yield stack
    await stack.stop_workflow_service()


async def begin(replica: DeployProcess, workflow_id: str) -> list[str]:
    """Begin two rollouts for each of fifteen new apps, and wait until all are in progress. The ids of the apps."""
    apps = await asyncio.gather(*(replica.app(workflow_id) for _ in range(APPS)))
    await asyncio.gather(*(replica.deploy(app_id, workflow_id) for app_id in apps))

    async def are_under_way() -> bool:
        return await statuses(replica, apps) == {"DEPLOYING"}

    await eventually(are_under_way)
    return apps


async def statuses(replica: DeployProcess, apps: list[str]) -> set[str]:
    return {status for app_id in apps for status in await replica.statuses(app_id)}


async def end(replica: DeployProcess, apps: list[str]) -> set[str]:
    """The statuses of all rollouts, after all have ended."""

    async def have_ended() -> bool:
        return not {"PENDING", "DEPLOYING"} & await statuses(replica, apps)

    await eventually(have_ended, 20)
    return await statuses(replica, apps)


async def test_a_replica_paused_for_two_and_a_half_seconds_keeps_its_rollouts(stack: Stack, tmp_path: Path):
    script = "delay:4,delay:4.5"
    workflow_id = await released_workflow(stack)
    async with deploy_service_process(stack, tmp_path, script) as first:
        apps = await begin(first, workflow_id)
        async with deploy_service_process(stack, tmp_path, script) as second:
            async with first.stopped():
                await asyncio.sleep(2.5)

            assert await end(second, apps) == {"SUCCEEDED"}
            assert first.events()["rollout_finished"] == 2 * APPS
            assert second.events()["rollout_taken_over"] == 0


async def test_rollouts_of_a_replica_paused_for_long_are_taken_over_and_its_results_are_ignored(
    stack: Stack, tmp_path: Path
):
    script, lease = "delay:6,delay:6.5", {"rollout_lease_seconds": 1}
    workflow_id = await released_workflow(stack)
    async with deploy_service_process(stack, tmp_path, script, **lease) as first:
        apps = await begin(first, workflow_id)
        async with deploy_service_process(stack, tmp_path, script, **lease) as second:
            async with first.stopped():
                done = first.events()["rollout_finished"]  # up to a few on a busy machine
                assert await end(second, apps) == {"SUCCEEDED"}

            histories = [await second.history(app_id) for app_id in apps]
            await asyncio.sleep(1)
            assert [await second.history(app_id) for app_id in apps] == histories
            assert first.events()["rollout_finished"] == done < 2 * APPS
            assert second.events()["rollout_taken_over"] == second.events()["rollout_finished"] == 2 * APPS - done
            assert first.process.returncode is None


async def test_rollouts_stay_with_their_replica_when_postgres_is_down_longer_than_their_leases(
    postgres: CrashingPostgres, stack: Stack, tmp_path: Path
):
    # The first rollout of each app is up while Postgres is down, the second some time after it is back.
    script = "delay:3,delay:9"
    workflow_id = await released_workflow(stack)
    async with (
        deploy_service_process(stack, tmp_path, script) as first,
        deploy_service_process(stack, tmp_path, script) as second,
    ):
        apps = await begin(first, workflow_id)
        await postgres.stop(signal.SIGINT)
        await asyncio.sleep(4.5)
        async with first.stopped():  # the other replica is back before it
            await postgres.start()
            await asyncio.sleep(0.8)

        assert await end(second, apps) == {"SUCCEEDED"}
        events = first.events() + second.events()
        assert (events["rollout_started"], events["rollout_finished"]) == (2 * APPS, 2 * APPS)
        assert events["rollout_taken_over"] == 0


@pytest.mark.parametrize("hours", [3, -3])
async def test_a_replica_with_a_wrong_clock_rolls_out_correctly(stack: Stack, tmp_path: Path, hours: int):
    workflow_id = await released_workflow(stack)
    async with deploy_service_process(stack, tmp_path, "delay:1,delay:1.5", clock_seconds=hours * HOUR) as replica:
        apps = await begin(replica, workflow_id)

        assert await end(replica, apps) == {"SUCCEEDED"}


async def test_a_replica_with_a_fast_clock_creates_a_key_that_expires_in_an_hour(stack: Stack, tmp_path: Path):
    async with deploy_service_process(stack, tmp_path, "ok", clock_seconds=3 * HOUR) as replica:
        made = await replica.stub.CreateAccessKey(key(stack, expires_in=HOUR), metadata=stack.as_())

    assert made.data.HasField("expires_at")


async def test_a_replica_with_a_slow_clock_creates_no_expired_key(stack: Stack, tmp_path: Path):
    async with deploy_service_process(stack, tmp_path, "ok", clock_seconds=-3 * HOUR) as replica:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await replica.stub.CreateAccessKey(key(stack, expires_in=-HOUR), metadata=stack.as_())

    assert ServiceError.from_rpc_error(refused.value).fields == {"expires_at": "must be in the future"}


def key(stack: Stack, expires_in: int) -> pb.CreateAccessKeyRequest:
    request = pb.CreateAccessKeyRequest(project_id=str(stack.people.project), name="key")
    request.expires_at.FromDatetime(datetime.now(UTC) + timedelta(seconds=expires_in))
    return request
