"""The history of an app lists every deployment in order, by page, by filter, and by the time at which it was live."""

from datetime import datetime, timedelta

import grpc
import pytest

from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from tests.support.deployments import assert_chain, history, unknown
from tests.support.stack import Stack

LONG = 1000
BEGAN = "2026-01-01T00:00:00Z"
# The numbers of the deployments that each query finds in the long history.
PAGED = {
    "": range(LONG, 0, -1),
    "sort=-started_at": range(LONG, 0, -1),
    "sort=started_at": range(1, LONG + 1),
    "status=failed": range(LONG, 0, -10),
    "status=failed&sort=started_at": range(10, LONG + 1, 10),
    "environment=staging": range(LONG, 0, -5),
    "environment=staging&status=succeeded": range(LONG - 5, 0, -10),
    "started_at:gte=2026-01-01T00:16:40Z": [1000],
    "started_at:lte=2026-01-01T00:00:03Z": [3, 2, 1],
    "started_at:gte=2026-01-01T00:05:00Z&started_at:lte=2026-01-01T00:10:00Z": range(600, 299, -1),
    "live_at=2026-01-01T00:00:09Z": [9, 5],
    "live_at=2026-01-01T00:00:09.5Z&environment=production": [9],
    "live_at=2026-01-01T00:00:15Z&environment=staging": [15],
    "live_at=2026-01-01T00:00:00Z": [],
    "environment=nowhere": [],
    "status=canceled": [],
}


async def long_history(stack: Stack) -> str:
    """An app with a thousand deployments, one a second, told apart by their reasons #1 to #1000.

    Every tenth failed; of the others every fifth was in staging, and each of them was live.
    """
    workflow, _ = await stack.workflow(project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=str(stack.people.staged))
    async with stack.database("admin", "deploy") as db:
        columns = await db.fetchval(
            """
            SELECT string_agg(column_name, ', ') FROM information_schema.columns
            WHERE table_schema = $1 AND table_name = 'deployments' AND column_name NOT IN (
                'number', 'id', 'environment', 'reason', 'status', 'started_at', 'finished_at',
                'error_code', 'error_message', 'live_from', 'live_to')
            """,
            stack.schemas["deploy"],
        )
        await db.execute(
            f"""
            WITH first AS (DELETE FROM deployments RETURNING *), planned AS (
                SELECT n, n % 10 = 0 AS failed,
                    CASE WHEN n % 5 = 0 THEN 'staging' ELSE 'production' END AS environment,
                    '{BEGAN}'::timestamptz + n * interval '1 second' AS at
                FROM generate_series(1, {LONG}) n
            )
            INSERT INTO deployments ({columns}, number, id, environment, reason, status, started_at, finished_at,
                error_code, error_message, live_from, live_to)
            SELECT {columns}, n, gen_random_uuid(), p.environment, '#' || n,
                CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, at, at,
                CASE WHEN failed THEN 'ROLLOUT_FAILED' END, CASE WHEN failed THEN 'It broke.' END,
                CASE WHEN NOT failed THEN at END,
                CASE WHEN NOT failed THEN lead(at) OVER (PARTITION BY p.environment, failed ORDER BY n) END
            FROM first, planned p
            """
        )
        await db.execute("UPDATE apps SET deployment_count = $1", LONG)
    return app["id"]


async def test_every_page_filter_and_order_of_a_long_history_is_right(stack: Stack):
    app_id = await long_history(stack)

    for query, numbers in PAGED.items():
        for size in (500, 333):
            found, paginations = await all_pages(stack, f"/v1/apps/{app_id}/deployments?{query}", size)

            count = -(-len(numbers) // size)
            expected = {"page_size": size, "page_count": count, "total_count": len(numbers)}
            assert (query, found) == (query, [f"#{number}" for number in numbers])
            assert paginations == [{"page": page, **expected} for page in range(1, count + 2)]


async def all_pages(stack: Stack, path: str, size: int) -> tuple[list[str], list[object]]:
    """The reasons of all rows, and the pagination of each page. The last page is empty, beyond the end."""
    found, paginations = [], []
    while True:
        answer = await stack.rest("GET", f"{path}&page_size={size}&page={len(paginations) + 1}")
        found += [row["reason"] for row in answer.data]
        paginations.append(answer.body["pagination"])
        if not answer.data:
            return found, paginations


@pytest.mark.parametrize("sort", ["started_at", "-started_at"])
async def test_a_page_far_beyond_the_end_of_the_history_is_empty(stack: Stack, sort):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])

    found = await stack.ok("GET", f"/v1/apps/{app['id']}/deployments?page=10000000&page_size=500&sort={sort}")

    assert found == []


async def test_live_at_finds_exactly_one_deployment_at_the_cut_over(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    first, second, third = (await history(stack, app["id"]))[::-1]

    async def live_at(time: str, microseconds: int = 0) -> list[str]:
        moment = datetime.fromisoformat(time) + timedelta(microseconds=microseconds)
        return [row["id"] for row in await history(stack, app["id"], f"live_at={moment:%Y-%m-%dT%H:%M:%S.%fZ}")]

    assert_chain([first, second, third])
    assert await live_at(first["live_from"], -1) == []
    assert await live_at(first["live_from"]) == [first["id"]]
    assert await live_at(second["live_from"], -1) == [first["id"]]
    assert await live_at(second["live_from"]) == [second["id"]]
    assert await live_at(second["live_to"], -1) == [second["id"]]
    assert await live_at(second["live_to"]) == [third["id"]]
    assert await live_at("2999-01-01T00:00:00Z") == [third["id"]]


async def test_a_wrong_query_for_the_history_is_a_400_that_names_the_field(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])

    for query, named in {
        "page=0": {"page"},
        "page_size=501": {"page_size"},
        "sort=status": {"sort"},
        "status=done": {"status"},
        "live_at=yesterday": {"live_at"},
        "started_at:lte=yesterday": {"started_at.lte"},
    }.items():
        answer = await stack.rest("GET", f"/v1/apps/{app['id']}/deployments?{query}")

        assert answer.refusal == (400, "INVALID_REQUEST", named)


async def test_the_history_refuses_an_unknown_status_over_grpc(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])

    for status in (0, 99):
        request = pb.ListDeploymentsRequest(app_id=app["id"], status=status)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stack.deploys.ListDeployments(request, metadata=stack.as_())

        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details().startswith("status must be one of pending, ")


async def test_a_deployment_is_found_in_its_own_app_only(stack: Stack):
    workflow, _ = await stack.workflow()
    app, other = await stack.app(workflow["id"]), await stack.app(workflow["id"], name="other")
    [deployed] = await history(stack, app["id"])
    paths = [
        f"/v1/apps/{other['id']}/deployments/{deployed['id']}",
        f"/v1/apps/{app['id']}/deployments/{unknown()}",
        f"/v1/apps/{app['id']}/deployments/nothing",
        f"/v1/apps/{unknown()}/deployments",
    ]

    statuses = [(await stack.rest("GET", path)).status for path in paths]
    of_strangers = await stack.rest("GET", f"/v1/apps/{app['id']}/deployments/{deployed['id']}", token="stranger")

    assert statuses == [404] * len(paths)
    assert of_strangers.status == 404
