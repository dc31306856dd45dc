"""Each rollout is worked on by one replica and ends, also when replicas or the database go down."""

import asyncio
import gc
from datetime import timedelta
from functools import partial

import pytest
from structlog.testing import capture_logs

from deploy_service.repository import deployments, rollouts
from deploy_service.rollouts import LeaseLost, cut_over
from service_kit.ids import new_id
from service_kit.lifecycle import BackgroundTaskEnded
from tests.support.deployments import (
    app_now,
    deployment_now,
    history,
    rollouts_in_progress,
    until_deploying,
    until_ended,
    uuid,
)
from tests.support.stack import Stack, deploy_service_of, running_stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def script(steps: str, **settings: object) -> dict[str, object]:
    return {"rollout_driver": "scripted", "rollout_script": steps, **settings}


async def deployed(stack: Stack, times: int = 2):
    """An app and its last deployment. Waits until a replica works on it."""
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await until_ended(stack, (await history(stack, app["id"]))[0])
    for _ in range(times - 1):
        last = await stack.deploy(app["id"], workflow["id"])
    await until_deploying(stack, last)
    return await app_now(stack, app["id"]), last


async def lease_to_lost_replica(stack: Stack, deployment, lasts: timedelta) -> None:
    """Give the lease of a deployment to a replica that does not exist, as a killed replica leaves it."""
    async with stack.database("admin", "deploy") as db:
        await db.execute(
            "UPDATE deployments SET lease_owner = $2, lease_until = clock_timestamp() + $3 WHERE id = $1",
            uuid(deployment["id"]),
            new_id(),
            lasts,
        )


# One second is left when its lease ends. The other rollout takes longer than a late takeover allows.
@pytest.mark.parametrize("step", ["delay:0.3", "delay:4.5"])
async def test_the_rollout_of_a_lost_replica_continues_with_the_remaining_time(unstarted: Stack, step: str):
    async with running_stack(unstarted, deploy=script(f"ok,hang,{step}", rollout_takeover_seconds=0)) as stack:
        app, _ = await deployed(stack)
        orphan = await stack.deploy(app["id"], app["workflow_id"])
        await lease_to_lost_replica(stack, orphan, timedelta(seconds=1.5))

        done = await until_ended(stack, orphan, seconds=6)

        assert (done["status"], done["live"]) == ("succeeded", True)


async def test_the_rollout_of_a_lost_replica_fails_when_its_time_is_over(unstarted: Stack):
    settings = {"rollout_timeout_seconds": 3, "rollout_takeover_seconds": 0.5}
    async with running_stack(unstarted, deploy=script("ok,hang", **settings)) as stack:
        app, last = await deployed(stack)
        await lease_to_lost_replica(stack, last, timedelta(seconds=0.5))

        done = await until_ended(stack, last, seconds=6)

        assert (done["status"], done["error"]["code"]) == ("failed", "ROLLOUT_INTERRUPTED")
        assert await app_now(stack, app["id"]) == app


async def test_a_rollout_taken_over_after_its_time_is_still_tried(unstarted: Stack):
    async with running_stack(unstarted, deploy=script("ok,delay:1", rollout_timeout_seconds=0.5)) as stack:
        _, last = await deployed(stack)
        late = await until_ended(stack, last)
        async with stack.database("admin", "deploy") as db:
            await db.execute(
                """
                UPDATE deployments SET status = 'pending', finished_at = NULL, error_code = NULL, error_message = NULL
                WHERE id = $1
                """,
                uuid(last["id"]),
            )

        done = await until_ended(stack, last)

    assert (late["status"], late["error"]["code"]) == ("failed", "ROLLOUT_TIMED_OUT")
    assert done["status"] == "succeeded"


async def test_no_replica_works_on_a_rollout_while_another_holds_its_lease(unstarted: Stack):
    async with running_stack(unstarted, deploy=script("ok,hang")) as stack:
        app, last = await deployed(stack)

        async def is_left() -> bool:
            return rollouts_in_progress() == 0

        await lease_to_lost_replica(stack, last, timedelta(seconds=30))

        await eventually(is_left)
        with capture_logs() as lines:
            other = await stack.app(app["workflow_id"], name="other")
            await until_ended(stack, (await history(stack, other["id"]))[0])
        assert [line["event"] for line in lines].count("rollout_started") == 1
        assert rollouts_in_progress() == 0
        assert (await deployment_now(stack, last))["status"] == "deploying"


async def test_a_replica_without_the_lease_can_neither_finish_nor_fail_a_rollout(unstarted: Stack):
    async with running_stack(unstarted, deploy=script("ok,hang")) as stack:
        app, last = await deployed(stack)

        async with stack.database("flowpin_deploy", "deploy") as db:
            row = await deployments.get_deployment(db, [stack.people.project], uuid(app["id"]), uuid(last["id"]))
            with pytest.raises(LeaseLost):
                async with db.transaction():
                    await cut_over(db, row, new_id())
            await rollouts.fail(db, row, new_id(), "ROLLOUT_FAILED", "Not mine to say.")

        assert (await deployment_now(stack, last))["status"] == "deploying"
        assert await app_now(stack, app["id"]) == app


async def test_a_result_is_ignored_when_another_replica_has_ended_the_rollout(unstarted: Stack):
    async with running_stack(unstarted, deploy=script("ok,delay:1")) as stack:
        app, last = await deployed(stack)
        await until_ended(stack, last)
        ended = (await history(stack, app["id"]))[1]

        async with stack.database("flowpin_deploy", "deploy") as db:
            row = await deployments.get_deployment(db, [stack.people.project], uuid(app["id"]), uuid(ended["id"]))
            with pytest.raises(LeaseLost):
                async with db.transaction():
                    await cut_over(db, row, new_id())

        assert await deployment_now(stack, ended) == ended


async def test_two_replicas_do_not_both_work_on_a_rollout(unstarted: Stack):
    async with running_stack(unstarted, deploy=script("delay:0.5")) as stack:
        workflow, _ = await stack.workflow()
        with capture_logs() as lines:
            async with deploy_service_of(stack, **script("delay:0.5")):
                apps = [await stack.app(workflow["id"], name=f"app {number}") for number in range(12)]
                rows = [(await history(stack, app["id"]))[0] for app in apps]
                done = [await until_ended(stack, row) for row in rows]

        events = [line["event"] for line in lines]
        assert [row["status"] for row in done] == ["succeeded"] * 12
        assert events.count("rollout_started") == events.count("rollout_finished") == 12


async def test_a_graceful_stop_leaves_the_rollout_to_the_next_start(unstarted: Stack):
    settings = script("ok,delay:1")
    async with running_stack(unstarted, deploy=settings) as stack:
        _, last = await deployed(stack)
    async with stack.database("admin", "deploy") as db:
        left = await db.fetchrow("SELECT status, lease_owner FROM deployments WHERE finished_at IS NULL")

    async with running_stack(unstarted, deploy=settings) as stack:
        done = await until_ended(stack, last)

    assert tuple(left) == ("deploying", None)
    assert (done["status"], done["live"]) == ("succeeded", True)


async def test_a_rollout_is_finished_later_when_the_database_fails_at_its_cut_over(unstarted: Stack, caplog):
    async with running_stack(unstarted, deploy=script("ok,delay:0.5")) as stack:
        _, last = await deployed(stack)

        admin = partial(stack.database, "admin", "deploy")
        async with admin() as holder, admin() as killer, holder.transaction():
            await holder.execute("LOCK TABLE apps IN ACCESS EXCLUSIVE MODE")

            async def is_broken_off() -> bool:
                return await killer.fetchval(
                    """
                    SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
                    WHERE application_name = $1 AND wait_event_type = 'Lock' AND query LIKE '%UPDATE apps SET revision%'
                    """,
                    f"flowpin {stack.schemas['deploy']}",
                )

            await eventually(is_broken_off)

        done = await until_ended(stack, last)
        assert (done["status"], done["live"]) == ("succeeded", True)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_a_replica_that_renews_its_leases_late_does_not_restart_its_own_rollouts(unstarted: Stack):
    async with running_stack(unstarted, deploy=script("ok,delay:3", rollout_lease_seconds=1)) as stack:
        _, last = await deployed(stack)

        with capture_logs() as lines:
            async with stack.database("admin", "deploy") as db, db.transaction():
                await db.execute("LOCK TABLE deployments IN ACCESS EXCLUSIVE MODE")
                await db.execute("SELECT pg_sleep(2)")
            done = await until_ended(stack, last)

        assert done["status"] == "succeeded"
        assert "rollout_started" not in [line["event"] for line in lines]


async def test_an_unexpected_error_of_the_rollout_worker_ends_the_service(
    unstarted: Stack, monkeypatch: pytest.MonkeyPatch
):
    class Broken(Exception):
        pass

    async def break_down(*_: object) -> None:
        raise Broken

    async def serve_until_it_breaks() -> None:
        async with running_stack(unstarted, deploy=script("ok")) as stack:
            workflow, _ = await stack.workflow()
            monkeypatch.setattr("deploy_service.rollouts.cut_over", break_down)
            await stack.app(workflow["id"])
            await asyncio.sleep(5)

    with pytest.raises(BackgroundTaskEnded) as ended:
        await serve_until_it_breaks()

    [cause] = ended.value.__cause__.exceptions
    assert isinstance(cause, Broken)
