"""A test runs a saved or unsaved flow once, in its own replica, which is stopped afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service_kit.ids import new_id
from tests.support.apps.flow_tests import events, flow, form, run_canvas, send
from tests.support.apps.installation import Installation, running_installation
from tests.support.hostile_documents import FLOWS
from tests.support.stack import FLOW_UI, Answer
from tests.support.waiting import eventually
from tests.support.workflows import save_request

MAX_FLOW_BYTES = 1 << 20


@pytest.fixture(scope="module")
async def installation(database_urls, tmp_path_factory) -> AsyncIterator[Installation]:
    async with running_installation(
        database_urls,
        tmp_path_factory.mktemp("tested"),
        workflow={"max_flow_bytes": MAX_FLOW_BYTES},
        max_body_bytes=100_000,
        max_tests=2,
        grace_seconds=0.5,
    ) as running:
        yield running


@pytest.fixture(scope="module")
async def workflow(installation: Installation) -> str:
    """The id of a workflow with two versions, whose flows are named one and two."""
    draft = await installation.stack.draft()
    for name in ("one", "two"):
        body = {"flow": flow(name), "flow_ui": json.loads(FLOW_UI)}
        await installation.stack.ok("POST", f"/v1/workflows/{draft['id']}/save", body)
    return str(draft["id"])


@pytest.fixture(scope="module")
async def app(installation: Installation, workflow: str) -> Any:
    """An app with the variable SECRET."""
    app = await installation.stack.app(workflow)
    body = {"value": "of the app", "secret": True}
    await installation.stack.ok("PUT", f"/v1/apps/{app['id']}/variables/SECRET", body)
    return app


async def version_tested(
    installation: Installation, workflow: str, version: str, body: Any = None, **options: Any
) -> Answer:
    path = f"/v1/workflows/{workflow}/versions/{version}/test"
    return await send(installation, path, {"input": {}} if body is None else body, **options)


async def replicas(installation: Installation) -> list[str]:
    """The running replicas of tests."""
    async with installation.host.client() as host:
        return [replica.id for replica in await host.list() if "test_run_id" in replica.labels]


async def none_is_left(installation: Installation) -> None:
    async def is_none() -> bool:
        return not await replicas(installation)

    await eventually(is_none)


async def run_of(installation: Installation, run_id: str) -> Any:
    found: dict[str, Any] = {}

    async def has_ended() -> bool:
        answer = await installation.stack.rest("GET", f"/v1/runs/{run_id}")
        found.update(answer.body.get("data", {}))
        return "ended_at" in found

    await eventually(has_ended)
    return found


async def test_a_canvas_sent_by_the_official_command_line_is_tested(installation: Installation):
    answer = await run_canvas(
        installation, flow("not saved"), {"a": 1}, stream="false", dry_run="true", last_node_output="true"
    )

    assert answer.status == 200
    assert answer.body["output"] == {"name": "not saved", "echo": {"a": 1}, "secret": None}
    assert "X-Flowpin-Version" not in answer.headers
    await none_is_left(installation)


async def test_a_canvas_sent_as_json_is_tested(installation: Installation):
    body = {"project_id": str(installation.stack.people.project), "flow": flow(), "input": {"a": 1}}

    answer = await send(installation, "/v1/workflows/test", body)

    assert (answer.status, answer.body["output"]["echo"]) == (200, {"a": 1})


async def test_a_saved_version_is_tested_by_number_latest_or_id(installation: Installation, workflow):
    versions = await installation.stack.ok("GET", f"/v1/workflows/{workflow}/versions")

    answers = [await version_tested(installation, workflow, name) for name in ("1", "latest", versions[1]["id"])]

    assert [answer.body["output"]["name"] for answer in answers] == ["one", "two", "one"]
    assert [answer.headers["X-Flowpin-Version"] for answer in answers] == ["v1", "v2", "v1"]
    await none_is_left(installation)


async def test_the_test_of_a_flow_can_be_streamed(installation: Installation):
    answer = await run_canvas(installation, flow(), {"stream": 2}, stream="true")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert [name for name, _ in events(answer.content)] == ["streaming", "streaming", "completed"]


async def test_a_failing_test_of_a_flow_is_a_500_with_the_cause(installation: Installation, workflow):
    answer = await version_tested(installation, workflow, "1", {"input": {"fail": "no luck"}})

    assert (answer.status, answer.error["code"]) == (500, "run_failed")
    assert "no luck" in answer.error["message"]
    await none_is_left(installation)


async def test_the_test_of_a_flow_has_the_variables_of_the_app_that_it_names(installation: Installation, workflow, app):
    canvas = await run_canvas(installation, flow(), app_id=app["id"])
    version = await version_tested(installation, workflow, "1", {"input": {}, "app_id": app["id"]})
    without = await version_tested(installation, workflow, "1")

    assert [answer.body["output"]["secret"] for answer in (canvas, version, without)] == [
        "of the app",
        "of the app",
        None,
    ]


async def test_the_test_of_a_flow_is_recorded_as_a_run(installation: Installation, workflow, app):
    canvas = await run_canvas(installation, flow())
    version = await version_tested(installation, workflow, "1", {"input": {}, "app_id": app["id"]})
    failed = await version_tested(installation, workflow, "1", {"input": {"fail": "no luck"}})

    runs = [await run_of(installation, answer.body["id"]) for answer in (canvas, version)]
    failed_run = await run_of(installation, failed.error["details"]["run_id"])
    assert [run["status"] for run in (*runs, failed_run)] == ["completed", "completed", "failed"]
    assert {run["user_id"] for run in runs} == {str(installation.stack.people.user)}
    assert runs[0].keys().isdisjoint({"app_id", "deployment_id", "workflow_version_id", "version"})
    assert (runs[1]["app_id"], runs[1]["environment"], runs[1]["version"]) == (app["id"], "production", 1)
    assert "deployment_id" not in runs[1]


async def test_the_test_of_a_flow_that_the_sdk_cannot_load_lists_its_problems(installation: Installation, workflow):
    wrong = flow()
    wrong["nodes"][1]["depends"] = [{"node": "nobody"}]
    body = {"flow": wrong, "flow_ui": {}}
    saved = await installation.stack.draft()
    await installation.stack.ok("POST", f"/v1/workflows/{saved['id']}/save", body)

    canvas = await run_canvas(installation, wrong)
    version = await version_tested(installation, saved["id"], "latest")
    no_object = await run_canvas(installation, [1])

    for answer in (canvas, version):
        assert answer.refusal == (400, "INVALID_FLOW", {"flow.nodes[1].depends[0].node"})
    assert (no_object.status, no_object.error["details"]["reason"]) == (400, "INVALID_FLOW")


async def test_the_test_of_a_flow_that_does_not_start_names_what_is_missing(installation: Installation):
    draft = await installation.stack.draft()
    needy = flow(needs=["API_KEY"])
    await installation.stack.ok("POST", f"/v1/workflows/{draft['id']}/save", {"flow": needy, "flow_ui": {}})

    for answer in (await run_canvas(installation, needy), await version_tested(installation, draft["id"], "1")):
        assert (answer.status, answer.error["details"]["reason"]) == (400, "FLOW_NOT_STARTED")
        assert answer.error["message"] == "The flow needs the variable API_KEY, which is not set."


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {"project_id", "flow", "input"}),
        ({"project_id": "x", "flow": "{", "input": "{}"}, {"project_id", "flow"}),
        ({"input": "[1]"}, {"project_id", "flow"}),
        ({"input": "{}", "flow": "{}", "stream": "1"}, {"project_id", "stream"}),
        ({"input": "{}", "flow": "{}", "app_id": "x"}, {"project_id", "app_id"}),
    ],
)
async def test_wrong_fields_of_a_test_are_named(installation: Installation, fields, named):
    answer = await send(installation, "/v1/workflows/test", form(**fields) if fields else b"")

    assert answer.refusal == (400, "INVALID_REQUEST", named)


async def test_a_test_whose_input_is_not_an_object_is_refused_by_name(installation: Installation, workflow):
    for answer in (
        await run_canvas(installation, flow(), "[1]"),
        await version_tested(installation, workflow, "1", {"input": "text"}),
    ):
        assert answer.refusal == (400, "INVALID_REQUEST", {"input"})


async def test_a_test_with_a_too_large_body_is_a_413(installation: Installation, workflow):
    large = {"text": "x" * 100_000}
    answers = [
        await run_canvas(installation, flow(), large),
        await version_tested(installation, workflow, "1", {"input": large}),
        await run_canvas(installation, flow(note="x" * MAX_FLOW_BYTES)),
    ]

    assert [answer.status for answer in answers] == [413] * 3
    assert [answer.error["details"]["reason"] for answer in answers] == ["MESSAGE_TOO_LARGE"] * 2 + ["FLOW_TOO_LARGE"]


async def test_a_test_with_files_is_a_501(installation: Installation, workflow):
    answers = [
        await run_canvas(installation, flow(), files=b"content"),
        await version_tested(installation, workflow, "1", form(input={}, files=b"content")),
    ]

    assert [(answer.status, answer.error["details"]["reason"]) for answer in answers] == [(501, "NOT_IMPLEMENTED")] * 2


async def test_a_test_of_something_unknown_or_foreign_is_refused_with_its_own_reason(
    installation: Installation, workflow, app
):
    unknown, people = str(new_id()), installation.stack.people
    elsewhere = await installation.stack.draft(project=people.staged)
    await installation.stack.save(elsewhere["id"])
    theirs = await installation.stack.app(elsewhere["id"], project_id=str(people.staged))
    body = {"project_id": str(people.project), "flow": flow(), "input": {}}
    of_others = {"project_id": str(people.foreign)}
    refusals = {
        "viewer": await send(installation, "/v1/workflows/test", body, token="viewer"),
        "viewer of a version": await version_tested(installation, workflow, "1", token="viewer"),
        "foreign project": await send(installation, "/v1/workflows/test", body | of_others),
        "unknown workflow": await version_tested(installation, unknown, "1"),
        "foreign workflow": await version_tested(installation, workflow, "1", token="stranger"),
        "unknown version": await version_tested(installation, workflow, "9"),
        "unknown app": await send(installation, "/v1/workflows/test", body | {"app_id": unknown}),
        "app of another project": await version_tested(
            installation, workflow, "1", {"input": {}, "app_id": theirs["id"]}
        ),
        "environment": await run_canvas(installation, flow(), app_id=app["id"], environment="moon"),
        "token": await send(installation, "/v1/workflows/test", body, token="expired"),
    }

    assert {name: (answer.status, answer.error["details"]["reason"]) for name, answer in refusals.items()} == {
        "viewer": (403, "ROLE_TOO_SMALL"),
        "viewer of a version": (403, "ROLE_TOO_SMALL"),
        "foreign project": (404, "PROJECT_NOT_FOUND"),
        "unknown workflow": (404, "WORKFLOW_NOT_FOUND"),
        "foreign workflow": (404, "WORKFLOW_NOT_FOUND"),
        "unknown version": (404, "VERSION_NOT_FOUND"),
        "unknown app": (400, "APP_NOT_IN_PROJECT"),
        "app of another project": (400, "APP_NOT_IN_PROJECT"),
        "environment": (400, "APP_NOT_IN_PROJECT"),
        "token": (401, "TOKEN_INVALID"),
    }


async def test_tests_beyond_the_limit_are_refused_until_others_end(installation: Installation, workflow):
    waiting = [asyncio.create_task(run_canvas(installation, flow(), {"wait": 60})) for _ in range(2)]

    async def are_up() -> bool:
        return len(await replicas(installation)) == 2

    await eventually(are_up)
    refused = [await run_canvas(installation, flow()), await version_tested(installation, workflow, "1")]
    for task in waiting:
        task.cancel()
    await none_is_left(installation)

    async def answers() -> bool:
        return (await run_canvas(installation, flow())).status == 200

    assert [(answer.status, answer.error["details"]["reason"]) for answer in refused] == [(429, "TOO_MANY_TESTS")] * 2
    assert "Retry-After" in refused[0].headers
    await eventually(answers)


async def test_a_test_leaves_no_replica_when_its_caller_hangs_up_during_the_start(installation: Installation):
    for _ in range(3):
        starting = asyncio.create_task(run_canvas(installation, flow(load_seconds=1)))
        await asyncio.sleep(0.4)
        starting.cancel()
        await asyncio.wait([starting])
    await none_is_left(installation)

    async def answers() -> bool:
        return (await run_canvas(installation, flow())).status == 200

    await eventually(answers)
    await none_is_left(installation)


async def test_the_test_of_a_too_complex_flow_is_refused(database_urls, tmp_path):
    async with running_installation(database_urls, tmp_path) as installation:
        stack, heavy = installation.stack, FLOWS["objects"](450_000)
        workflow = str((await stack.draft())["id"])
        await stack.workflows.SaveWorkflow(save_request(workflow, heavy, b"{}"), metadata=stack.as_())
        await stack.stop_workflow_service()
        await stack.start_workflow_service(worker_cpu_seconds=0.004)

        async def is_back() -> bool:
            return (await stack.rest("GET", f"/v1/workflows/{workflow}")).status == 200

        await eventually(is_back)
        answers = [await run_canvas(installation, heavy.decode()), await version_tested(installation, workflow, "1")]

    assert [(answer.status, answer.error["details"]["reason"]) for answer in answers] == [
        (400, "DOCUMENT_TOO_COMPLEX")
    ] * 2


async def test_a_test_without_the_workflow_service_or_the_host_process_is_a_503(database_urls, tmp_path):
    async with running_installation(database_urls, tmp_path) as installation:
        draft, _ = await installation.stack.workflow()
        installation.host.kill()

        async def host_is_gone() -> bool:
            return not await installation.is_ready()

        await eventually(host_is_gone)
        no_host = [await run_canvas(installation, flow()), await version_tested(installation, draft["id"], "1")]
        await installation.stack.stop_workflow_service()
        no_service = [await run_canvas(installation, flow()), await version_tested(installation, draft["id"], "1")]
        installation.host.start()
        await eventually(installation.is_ready, seconds=30)

    for answer in no_host:
        assert (answer.status, answer.error["details"]["reason"]) == (503, "NO_REPLICA")
    for answer in no_service:
        assert (answer.status, answer.error["details"]["reason"]) == (503, "SERVICE_UNAVAILABLE")
        assert "Retry-After" in answer.headers
