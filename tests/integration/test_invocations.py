"""A person invokes an app through the gateway like at its own listener, but with a token and a role."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from google.rpc.http_pb2 import HttpResponse

from service_kit.ids import new_id
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb
from tests.support.apps.flow_tests import events, flow, form, send
from tests.support.apps.installation import Installation, running_installation
from tests.support.apps.stand_in_host import flow as scripted
from tests.support.apps.world import Apps, fresh_apps, running_apps
from tests.support.ports import free_port
from tests.support.refusals import refusal
from tests.support.stack import FLOW_UI
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
async def installation(database_urls, tmp_path_factory) -> AsyncIterator[Installation]:
    async with running_installation(
        database_urls, tmp_path_factory.mktemp("invoked"), front={"heartbeat_seconds": 0.2}, max_body_bytes=100_000
    ) as running:
        yield running


@pytest.fixture(scope="module")
async def app(installation: Installation) -> Any:
    """An app whose live version, the flow `live`, answers with its name and its input."""
    stack = installation.stack
    workflow = await stack.draft()
    await stack.ok(
        "POST", f"/v1/workflows/{workflow['id']}/save", {"flow": flow("live"), "flow_ui": json.loads(FLOW_UI)}
    )
    return await stack.app(workflow["id"])


async def invoke(installation: Installation, app: Any, body: Any, **options: Any) -> Any:
    return await send(installation, f"/v1/apps/{app['id']}/invoke", body, **options)


async def test_an_invocation_gets_the_same_answer_as_a_call_with_an_access_key(installation: Installation, app):
    invoked = await invoke(installation, app, {"input": {"a": 1}, "unknown": True})
    called = await installation.call(app["id"], {"a": 1})

    assert (invoked.status, called.status) == (200, 200)
    assert invoked.body["output"] == called.body["output"] == {"name": "live", "echo": {"a": 1}, "secret": None}
    for name in ("X-Flowpin-Deployment", "X-Flowpin-Version", "Content-Type"):
        assert invoked.headers[name] == called.headers[name]
    assert invoked.headers["X-Request-Id"]
    assert invoked.headers["Cache-Control"] == "private, no-cache"


async def test_the_form_of_an_invocation_is_read_like_json(installation: Installation, app):
    fields = {"input": {"a": 1}, "user_id": "ada", "session_id": "s-1", "chat_history": [{"role": "user"}]}

    as_form = await invoke(installation, app, form(**fields))
    as_json = await invoke(installation, app, fields)

    expected = {"a": 1, "user_id": "ada", "session_id": "s-1", "chat_history": [{"role": "user"}]}
    assert as_form.body["output"]["echo"] == as_json.body["output"]["echo"] == expected


async def test_events_of_an_invocation_arrive_immediately_and_the_last_has_the_outcome(installation: Installation, app):
    sent = {"Authorization": f"Bearer {installation.stack.people.secret('editor')}"}
    url = f"http://127.0.0.1:{installation.stack.gateway_port}/v1/apps/{app['id']}/invoke"
    body = {"input": {"stream": 2, "wait": 1}, "stream": True}
    async with installation.stack.session.post(url, json=body, headers=sent) as answer:
        first = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 0.8)
        text = first + await answer.read()

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert answer.headers["X-Flowpin-Version"] == "v1"
    assert answer.headers["X-Request-Id"]
    assert [name for name, _ in events(text)] == ["streaming", "streaming", "completed"]
    assert events(text)[-1][1]["output"]["name"] == "live"
    assert text.count(b": still at work\n\n") >= 2


async def test_the_invocation_of_a_flow_that_streams_nothing_has_one_event(installation: Installation, app):
    answer = await invoke(installation, app, {"input": {}, "stream": True})

    assert [name for name, _ in events(answer.content)] == ["completed"]


async def test_an_invocation_that_fails_is_a_500_or_an_event_with_the_cause(installation: Installation, app):
    failed = await invoke(installation, app, {"input": {"fail": "no luck"}})
    streamed = await invoke(installation, app, {"input": {"fail": "no luck"}, "stream": True})

    assert (failed.status, failed.error["code"]) == (500, "run_failed")
    assert "no luck" in failed.error["message"]
    assert failed.headers["X-Flowpin-Version"] == "v1"
    ((name, data),) = events(streamed.content)
    assert (name, data["error"]["code"]) == ("failed", "run_failed")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {"input"}),
        ({}, {"input"}),
        ({"input": [1]}, {"input"}),
        ({"input": "text"}, {"input"}),
        ({"input": {}, "stream": "yes"}, {"stream"}),
        ({"input": {}, "stream": "yes", "session_id": 5}, {"stream", "session_id"}),
        ({"input": {}, "callbacks": {}}, {"callbacks"}),
        ({"input": {}, "execution_mode": "later"}, {"execution_mode"}),
    ],
)
async def test_wrong_fields_of_an_invocation_are_named(installation: Installation, app, body, fields):
    answer = await invoke(installation, app, body)

    assert answer.refusal == (400, "INVALID_REQUEST", fields)


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"input": {}}x', b"\xff"])
async def test_an_invocation_whose_body_is_not_an_object_is_refused(installation: Installation, app, body):
    answer = await invoke(installation, app, body)

    assert (answer.status, answer.error["details"]["reason"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"input": "{"}, {"input"}),
        ({"input": "[1]"}, {"input"}),
        ({"input": "{}", "stream": "maybe"}, {"stream"}),
        ({}, {"input"}),
    ],
)
async def test_wrong_fields_of_an_invocations_form_are_named(installation: Installation, app, fields, named):
    answer = await invoke(installation, app, form(**fields))

    assert answer.refusal == (400, "INVALID_REQUEST", named)


@pytest.mark.parametrize(
    "content",
    [b"", b"--b", b"--b\r\n\r\n--b--", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", b"--other--"],
)
async def test_an_invocation_with_a_malformed_form_is_refused(installation: Installation, app, content):
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    answer = await invoke(installation, app, content, headers=headers)

    assert (answer.status, answer.error["details"]["reason"]) == (400, "INVALID_REQUEST")


async def test_an_invocation_with_a_too_large_body_is_a_413(installation: Installation, app):
    large = await invoke(installation, app, {"input": {"text": "x" * 100_000}})
    form_of_33_mib = await invoke(installation, app, form(input={}, files=bytes(33 << 20)))

    for answer in (large, form_of_33_mib):
        assert (answer.status, answer.error["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "body",
    [
        {"input": {}, "execution_mode": "async"},
        {"input": {}, "callbacks": [{"url": "https://example.com"}]},
        form(input={}, files=b"content"),
    ],
)
async def test_async_invocations_callbacks_and_files_are_a_501(installation: Installation, app, body):
    answer = await invoke(installation, app, body)

    assert (answer.status, answer.error["code"], answer.error["details"]["reason"]) == (
        501,
        "not_implemented",
        "NOT_IMPLEMENTED",
    )


async def test_only_an_editor_of_the_project_may_invoke(installation: Installation, app):
    viewer = await invoke(installation, app, {"input": {}}, token="viewer")
    stranger = await invoke(installation, app, {"input": {}}, token="stranger")
    unknown = await invoke(installation, {"id": str(new_id())}, {"input": {}})
    revoked = await invoke(installation, app, {"input": {}}, token="revoked")
    other = await invoke(installation, app, {"input": {}, "environment": "moon"})

    assert (viewer.status, viewer.error["details"]["reason"]) == (403, "ROLE_TOO_SMALL")
    assert (stranger.status, stranger.error["code"]) == (unknown.status, unknown.error["code"]) == (404, "not_found")
    assert stranger.error["message"] == unknown.error["message"]
    assert stranger.error["details"].keys() == unknown.error["details"].keys()
    assert revoked.status == 401
    assert (other.status, other.error["message"]) == (404, "The app has no such environment.")


async def test_the_first_message_of_an_invocation_over_grpc_has_type_status_and_headers(
    installation: Installation, app
):
    request = pb.InvokeAppRequest(app_id=app["id"], input=pb.Json(utf8=b'{"fail": "no luck"}'))
    (whole,) = [each async for each in installation.runs.InvokeApp(request, metadata=installation.stack.as_("editor"))]
    request.input.utf8, request.stream = b'{"stream": 1}', True
    streamed = [each async for each in installation.runs.InvokeApp(request, metadata=installation.stack.as_("editor"))]

    heads = [HttpResponse(), HttpResponse()]
    assert whole.extensions[0].Unpack(heads[0])
    assert streamed[0].extensions[0].Unpack(heads[1])
    assert [(each.content_type, head.status) for each, head in zip((whole, streamed[0]), heads, strict=True)] == [
        ("application/json", 500),
        ("text/event-stream", 200),
    ]
    assert {header.key for header in heads[1].headers} == {"X-Flowpin-Deployment", "X-Flowpin-Version"}
    assert json.loads(whole.data)["error"]["code"] == "run_failed"
    assert [name for name, _ in events(b"".join(each.data for each in streamed))] == ["streaming", "completed"]


async def test_a_run_is_recorded_with_the_person_who_invoked_it(installation: Installation, app):
    answer = await invoke(installation, app, {"input": {}})

    async def run() -> Any:
        return (await installation.stack.rest("GET", f"/v1/runs/{answer.body['id']}")).body.get("data")

    async def is_recorded() -> bool:
        found = await run()
        return bool(found and found["status"] == "completed")

    await eventually(is_recorded)
    found = await run()
    assert (found["user_id"], found["app_id"]) == (str(installation.stack.people.user), app["id"])
    assert found["deployment_id"] == app["latest_deployment_id"]
    assert "access_key" not in found


async def test_the_caller_of_an_invocation_that_hangs_up_cancels_the_run(installation: Installation, app):
    hanging = asyncio.create_task(invoke(installation, app, {"input": {"wait": 60}}))
    await asyncio.sleep(0.5)
    hanging.cancel()

    async def is_canceled() -> bool:
        runs = await installation.stack.ok("GET", f"/v1/apps/{app['id']}/runs?status=canceled")
        return len(runs) == 1

    await eventually(is_canceled)


async def test_the_caller_of_a_streamed_invocation_that_hangs_up_cancels_the_run(installation: Installation, app):
    sent = {"Authorization": f"Bearer {installation.stack.people.secret('editor')}"}
    url = f"http://127.0.0.1:{installation.stack.gateway_port}/v1/apps/{app['id']}/invoke"
    body = {"input": {"stream": 1, "wait": 60}, "stream": True}
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=sent) as answer:
        await answer.content.readuntil(b"\n\n")

    async def is_canceled() -> bool:
        runs = await installation.stack.ok("GET", f"/v1/apps/{app['id']}/runs?status=canceled")
        return any(run["stream"] for run in runs)

    await eventually(is_canceled)


async def invoked(apps: Apps, given: Any = None) -> Any:
    request = pb.InvokeAppRequest(app_id=str(apps.app.app_id), input=pb.Json(utf8=json.dumps(given or {}).encode()))
    return await apps.runs.InvokeApp(request, metadata=apps.as_("editor")).read()


async def test_an_invocation_without_a_free_slot_is_refused_with_retry_after(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, slots=1, queue=0) as apps:
        await apps.call()
        waiting = asyncio.create_task(apps.call({"sleep": 5}))
        await asyncio.sleep(0.2)
        error = await refusal(invoked(apps))
        waiting.cancel()

    assert (error.code.name, error.reason, error.retry_after) == ("RESOURCE_EXHAUSTED", "NO_SLOT", 1)


async def test_an_invocation_of_an_app_that_cannot_start_has_the_cause(apps: Apps):
    apps.app.live["production"] = apps.routing.pin(apps.app, scripted("bad", fails="FLOW_INVALID"))
    await apps.routing.send(apps.app)

    async def is_live() -> bool:
        return (await apps.call()).status == 503

    await eventually(is_live)
    error = await refusal(invoked(apps))

    assert (error.code.name, error.reason) == ("UNAVAILABLE", "NO_REPLICA")
    assert "The flow bad is not good." in error.message


async def test_an_invocation_before_routes_are_known_is_unavailable(database_urls, tmp_path):
    async with fresh_apps(database_urls, tmp_path) as apps:
        apps.routing_port = free_port()
        async with apps.run_service():
            error = await refusal(invoked(apps))

    assert (error.code.name, error.reason) == ("UNAVAILABLE", "ROUTES_UNKNOWN")
