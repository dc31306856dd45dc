"""A deploy service continues the rollouts of one that was killed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.deploy_processes import deploy_service_process, released_workflow
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

# Of each app the second deployment is up after two seconds, the third after nine, more time than a late takeover gets.
SCRIPT = "ok,delay:2,delay:9"


@pytest.fixture
async def stack(unstarted: Stack) -> AsyncIterator[Stack]:
    """The workflow service only."""
    await unstarted.start_workflow_service()
    yield unstarted
    await unstarted.stop_workflow_service()


async def test_a_rollout_is_resumed_after_sigkill_with_the_rest_of_its_time(stack: Stack, tmp_path: Path):
    workflow_id = await released_workflow(stack)
    async with deploy_service_process(stack, tmp_path, SCRIPT) as killed:
        app_id = await killed.app(workflow_id)

        async def has(*expected: str) -> bool:
            return await one.statuses(app_id) == list(expected)

        one = killed
        await eventually(lambda: has("SUCCEEDED"))
        for _ in range(2):
            await one.deploy(app_id, workflow_id)
        await eventually(lambda: has("SUCCEEDED", "DEPLOYING", "DEPLOYING"), seconds=1.5)

        await killed.kill()

    async with deploy_service_process(stack, tmp_path, SCRIPT) as one:
        await eventually(lambda: has("SUCCEEDED", "SUCCEEDED", "DEPLOYING"), seconds=5)
        await eventually(lambda: has("SUCCEEDED", "SUCCEEDED", "SUCCEEDED"), seconds=10)

        assert [row.live for row in await one.history(app_id)] == [False, False, True]
        assert one.events()["rollout_taken_over"] == 2


async def test_a_rollout_resumed_after_sigkill_fails_when_its_time_is_over(stack: Stack, tmp_path: Path):
    workflow_id = await released_workflow(stack)
    async with deploy_service_process(stack, tmp_path, "hang", rollout_timeout_seconds=5) as one:
        app_id = await one.app(workflow_id)

        async def has(expected: str) -> bool:
            return await one.statuses(app_id) == [expected]

        await eventually(lambda: has("DEPLOYING"))

        await one.kill()

    async with deploy_service_process(stack, tmp_path, "hang", rollout_timeout_seconds=5) as one:
        await eventually(lambda: has("ROLLOUT_INTERRUPTED"), seconds=8)
