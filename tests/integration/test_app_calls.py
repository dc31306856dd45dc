"""A call of an app is answered by what it has live, or refused in one clear sentence: every status of the contract."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from service_kit.ids import new_id
from tests.support.apps.stand_in_host import flow
from tests.support.apps.world import FOREIGN_KEY, KEY, Apps, running_apps
from tests.support.waiting import eventually

JSON = {"Content-Type": "application/json"}


async def test_a_call_is_answered_by_what_is_live(shared_apps: Apps):
    answer = await shared_apps.call({"price": 2.5})

    assert answer.status == 200
    assert answer.body["output"] == {"flow": "one", "input": {"price": 2.5}}
    assert answer.headers["X-Flowpin-Deployment"] == shared_apps.live.deployment_id
    assert answer.headers["X-Flowpin-Version"] == "v1"
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ({"output": "hello"}, "hello"),
        ({"output": {"output": 1}}, {"output": 1}),
        ({"output": 1, "more": 2}, {"output": 1, "more": 2}),
        ({"answer": 1}, {"answer": 1}),
        ([1], [1]),
        (None, None),
    ],
)
async def test_an_output_field_that_is_alone_is_the_output(shared_apps: Apps, given: Any, output: Any):
    answer = await shared_apps.call({"answer": given})

    assert answer.body["output"] == output


async def test_an_app_is_found_by_its_host_name(shared_apps: Apps):
    root = f"http://127.0.0.1:{shared_apps.port}/"
    names = [f"{shared_apps.app.app_id}.apps.localhost", f"{shared_apps.app.app_id}.APPS.localhost.:8081"]

    answers = [await shared_apps.call(url=root, headers={"Host": name}) for name in names]

    assert [answer.status for answer in answers] == [200, 200]


async def test_an_environment_is_named_after_two_dashes(apps: Apps):
    app = apps.routing.app(apps.people.project, environments=("staging", "production"))
    await apps.routing.deploy(app, flow("new"), "staging")
    await apps.routing.deploy(app, flow("old"))
    root = f"http://127.0.0.1:{apps.port}"

    outputs = [
        (await apps.call(url=url, headers=headers)).body["output"]["flow"]
        for url, headers in (
            (f"{root}/apps/{app.app_id}--staging/", {}),
            (root, {"Host": f"{app.app_id}--staging.apps.localhost"}),
            (f"{root}/apps/{app.app_id}", {}),
            (f"{root}/apps/{app.app_id}--production", {}),
        )
    ]

    assert outputs == ["new", "new", "old", "old"]
    unknown = await apps.call(url=f"{root}/apps/{app.app_id}--nowhere")
    assert (unknown.status, unknown.error["message"]) == (404, "The app has no such environment.")


@pytest.mark.parametrize(
    ("key", "status", "reason"),
    [
        (None, 401, "ACCESS_KEY_INVALID"),
        ("", 401, "ACCESS_KEY_INVALID"),
        ("dynamiq_acc_" + "x" * 64, 401, "ACCESS_KEY_INVALID"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), 401, "ACCESS_KEY_INVALID"),
        (FOREIGN_KEY, 403, "KEY_OF_OTHER_PROJECT"),
        ("dyn_pat_wrong", 403, "NOT_AN_ACCESS_KEY"),
    ],
)
async def test_a_private_app_takes_an_access_key_of_its_project(
    shared_apps: Apps, key: str | None, status: int, reason: str
):
    answer = await shared_apps.call(key=key)

    assert (answer.status, answer.error["details"]["reason"]) == (status, reason)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert "X-Flowpin-Deployment" not in answer.headers


async def test_a_good_personal_access_token_does_not_open_an_app(shared_apps: Apps):
    answer = await shared_apps.call(key=shared_apps.people.secret("admin"))

    assert (answer.status, answer.error["code"]) == (403, "forbidden")


async def test_a_caller_is_refused_before_its_body_is_read(shared_apps: Apps):
    async def endless() -> Any:
        yield b'{"input": {'
        await asyncio.sleep(30)

    async with asyncio.timeout(5):
        answer = await shared_apps.call(key="wrong", body=endless())

    assert answer.status == 401


async def test_an_expired_key_is_refused(apps: Apps):
    over = Timestamp()
    over.FromDatetime(datetime.now(UTC) + timedelta(seconds=0.4))
    apps.routing.keys[apps.people.project] = {KEY: {"id": new_id(), "expires_at": over}}
    await apps.routing.send_keys(apps.people.project)
    await asyncio.sleep(0.1)

    before = (await apps.call()).status
    await asyncio.sleep(0.5)

    assert (before, (await apps.call()).status) == (200, 401)


async def test_a_revoked_key_is_refused_within_two_seconds(apps: Apps):
    assert (await apps.call()).status == 200
    apps.routing.keys[apps.people.project] = {}

    await apps.routing.send_keys(apps.people.project)

    async def is_refused() -> bool:
        return (await apps.call()).status == 401

    await eventually(is_refused, seconds=2)


@pytest.mark.parametrize(
    "path",
    ["/", "/apps/", "/apps/x", "/apps", "/favicon.ico", "/v1/me", "/apps/00000000-0000-0000-0000-00000000000g"],
)
async def test_what_names_no_app_is_not_found(shared_apps: Apps, path: str):
    answer = await shared_apps.call(url=f"http://127.0.0.1:{shared_apps.port}{path}")

    assert (answer.status, answer.error["details"]["reason"]) == (404, "APP_NOT_FOUND")
    assert "No app answers here." in answer.error["message"]


async def test_an_unknown_app_is_not_found(shared_apps: Apps):
    by_path = await shared_apps.call(url=f"http://127.0.0.1:{shared_apps.port}/apps/{new_id()}")
    by_host = await shared_apps.call(
        url=f"http://127.0.0.1:{shared_apps.port}", headers={"Host": f"{new_id()}.apps.localhost"}
    )

    assert [(each.status, each.error["code"]) for each in (by_path, by_host)] == [(404, "not_found")] * 2


async def test_there_is_nothing_below_an_app(shared_apps: Apps):
    answer = await shared_apps.call(url=shared_apps.url(path="/docs"))

    assert (answer.status, answer.error["details"]["reason"]) == (404, "PATH_NOT_FOUND")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_an_app_is_called_by_post_only(shared_apps: Apps, method: str):
    answer = await shared_apps.call(method=method)

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_an_archived_app_a_deleted_one_and_one_with_nothing_live_are_not_found(apps: Apps):
    empty = apps.routing.app(apps.people.project)
    await apps.routing.send(empty)
    await apps.routing.taken_up(empty)
    nothing = await apps.call(app=empty)
    apps.app.is_archived = True
    await apps.routing.send(apps.app)
    await apps.routing.taken_up(apps.app)
    archived = await apps.call()
    without_key = await apps.call(key=None)
    await apps.routing.delete(empty)
    await asyncio.sleep(0.1)
    deleted = await apps.call(app=empty)

    assert [each.status for each in (nothing, archived, deleted, without_key)] == [404, 404, 404, 401]
    assert "Nothing is live" in nothing.error["message"]
    assert "archived" in archived.error["message"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", {"input"}),
        (b"", {"input"}),
        (b'{"input": null}', {"input"}),
        (b'{"input": [1]}', {"input"}),
        (b'{"input": "{}"}', {"input"}),
        (
            b'{"input": 1, "stream": "yes", "execution_mode": "later", "user_id": 1}',
            {"input", "stream", "execution_mode", "user_id"},
        ),
        (
            b'{"input": {}, "session_id": {}, "callbacks": {}, "last_node_output": 1}',
            {"session_id", "callbacks", "last_node_output"},
        ),
    ],
)
async def test_each_wrong_field_is_named(shared_apps: Apps, body: bytes, fields: set[str]):
    answer = await shared_apps.call(body=body, headers=JSON)

    assert answer.refusal == (400, "INVALID_REQUEST", fields)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"nothing",
        b'{"input": {}',
        b'{"input": {"a": 01}}',
        b'{"input": {"a": "\xff"}}',
        b'{"input": {"a": NaN}}',
        b'{"input": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
    ],
)
async def test_what_is_no_json_object_is_a_bad_request(shared_apps: Apps, body: bytes):
    answer = await shared_apps.call(body=body, headers=JSON)

    assert (answer.status, answer.error["code"]) == (400, "bad_request")
    assert answer.error["message"]


async def test_unknown_fields_are_ignored(shared_apps: Apps):
    answer = await shared_apps.call({"a": 1}, colour="red", files=[])

    assert answer.status == 200


async def test_user_and_session_become_part_of_the_input_unless_it_has_them(shared_apps: Apps):
    answer = await shared_apps.call({"user_id": "ada"}, user_id="bob", session_id="s")

    assert answer.body["output"]["input"] == {"user_id": "ada", "session_id": "s"}


@pytest.mark.parametrize("content_type", ["text/plain", "text/html; charset=utf-8", "application/xml", "image/png"])
async def test_other_content_types_are_unsupported(shared_apps: Apps, content_type: str):
    answer = await shared_apps.call(body=b'{"input": {}}', headers={"Content-Type": content_type})

    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json; charset=utf-8"])
async def test_what_curl_sends_is_read_as_json(shared_apps: Apps, content_type: str):
    answer = await shared_apps.call(body=b'{"input": {}}', headers={"Content-Type": content_type})

    assert answer.status == 200


def form(**fields: Any) -> aiohttp.MultipartWriter:
    writer = aiohttp.MultipartWriter("form-data")
    for name, value in fields.items():
        writer.append(value).set_content_disposition("form-data", name=name)
    return writer


async def test_a_form_is_read_as_the_chat_widget_sends_it(shared_apps: Apps):
    sent = form(input='{"q": 1}', user_id="ada", chat_history='[{"role": "user"}]', stream="false", colour="red")

    answer = await shared_apps.call(body=sent)

    assert answer.body["output"]["input"] == {"q": 1, "user_id": "ada", "chat_history": [{"role": "user"}]}


async def test_a_form_that_is_wrong_is_a_bad_request(shared_apps: Apps):
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = [
        await shared_apps.call(body=form(input="no JSON")),
        await shared_apps.call(body=form(user_id="ada")),
        await shared_apps.call(body=b"nothing", headers=multipart),
        await shared_apps.call(body=b"--x\r\n\r\nno name\r\n--x--\r\n", headers=multipart),
        await shared_apps.call(body=b"--x--", headers={"Content-Type": "multipart/form-data"}),
        await shared_apps.call(body=form(**{f"f{number}": "x" for number in range(200)})),
    ]

    assert [(answer.status, answer.error["code"]) for answer in refused] == [(400, "bad_request")] * len(refused)
    assert refused[0].refusal[2] == {"input"}


async def test_what_is_not_there_yet_is_said_in_a_sentence(shared_apps: Apps):
    refused = [
        await shared_apps.call({}, execution_mode="async"),
        await shared_apps.call({}, callbacks=[{"url": "https://example.test"}]),
        await shared_apps.call(body=form(input="{}", files="content")),
    ]

    assert [(answer.status, answer.error["code"]) for answer in refused] == [(501, "not_implemented")] * 3
    assert ["not yet" in answer.error["message"] or "yet" in answer.error["message"] for answer in refused] == [
        True
    ] * 3


async def test_a_body_over_the_limit_is_too_large(shared_apps: Apps):
    large = json.dumps({"input": {"a": "x" * (5 << 20)}}).encode()

    async def in_pieces() -> Any:
        yield large

    for body in (large, in_pieces()):
        answer = await shared_apps.call(body=body, headers=JSON)
        assert (answer.status, answer.error["code"]) == (413, "payload_too_large")


async def test_a_flow_that_fails_names_its_node_and_error(shared_apps: Apps):
    answer = await shared_apps.call({"fail": True})

    assert (answer.status, answer.error["code"]) == (500, "run_failed")
    details = answer.error["details"]
    assert (details["node"], details["error"], details["reason"]) == ("calculator", "division by zero", "RUN_FAILED")
    assert answer.headers["X-Flowpin-Version"] == "v1"


async def test_a_replica_that_dies_fails_its_runs_and_is_replaced(apps: Apps):
    failed = await apps.call({"die": True})
    again = [await apps.call() for _ in range(1)]

    assert (failed.status, failed.error["code"]) == (500, "run_failed")
    assert "ended by itself" in failed.error["message"]
    assert [answer.status for answer in again] == [200]
    assert apps.host.starts["one"] == 2


async def test_a_run_past_its_deadline_is_a_timeout(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, seconds=0.3, grace_seconds=0.5) as apps:
        obedient = await apps.call({"sleep": 30})
        [first] = apps.host.replicas
        stubborn = await apps.call({"sleep": 30, "stubborn": True})
        after = await apps.call()

        assert [(answer.status, answer.error["code"]) for answer in (obedient, stubborn)] == [(504, "timeout")] * 2
        assert after.status == 200
        assert first not in apps.host.replicas, "the replica of a run that does not end is killed"


async def test_without_a_replica_the_answer_is_unavailable_and_says_why(apps: Apps):
    bad = apps.routing.app(apps.people.project)
    bad.live["production"] = apps.routing.pin(bad, flow("bad", fails="FLOW_INVALID"))
    old = apps.routing.app(apps.people.project)
    old.live["production"] = apps.routing.pin(old, flow("old"))
    old.live["production"].loadable_digest = ""
    for app in (bad, old):
        await apps.routing.send(app)
        await apps.routing.taken_up(app)

    failed, again, unloadable = await apps.call(app=bad), await apps.call(app=bad), await apps.call(app=old)

    assert [(each.status, each.error["code"]) for each in (failed, again, unloadable)] == [(503, "unavailable")] * 3
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in (failed, again, unloadable))
    assert "The flow bad is not good." in failed.error["message"]
    assert "deploy the version again" in unloadable.error["message"]
    assert apps.host.starts["bad"] == 1, "it is started again after a pause only"


async def test_calls_beyond_the_slots_wait_and_those_beyond_the_queue_are_refused(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, slots=2, queue=2, queue_seconds=5) as apps:
        await apps.call()
        answers = await asyncio.gather(*(apps.call({"sleep": 0.5}) for _ in range(6)))

        assert sorted(answer.status for answer in answers) == [200] * 4 + [429] * 2
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.error["details"]["reason"] == "NO_SLOT"
        assert refused.headers["Retry-After"] == "1"
        [replica] = apps.host.replicas.values()
        assert replica.most_runs == 2


async def test_a_call_that_waits_too_long_for_a_slot_is_refused(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, slots=1, queue_seconds=0.2) as apps:
        await apps.call()
        working = asyncio.create_task(apps.call({"sleep": 1}))
        await asyncio.sleep(0.1)

        assert (await apps.call()).status == 429
        assert (await working).status == 200


async def test_one_principal_cannot_hold_all_places_of_the_router(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, max_requests=2) as apps:
        public = apps.routing.app(apps.people.project, is_public=True)
        await apps.routing.deploy(public, flow("public"))
        working = [asyncio.create_task(apps.call({"sleep": 1})) for _ in range(2)]
        await asyncio.sleep(0.3)

        assert (await apps.call()).status == 429
        assert (await apps.call(app=public, key=None)).status == 200
        assert [(await each).status for each in working] == [200, 200]


async def test_a_public_app_is_called_from_any_page(apps: Apps):
    public = apps.routing.app(apps.people.project, is_public=True)
    await apps.routing.deploy(public, flow("public"))
    asked = {
        "Origin": "https://shop.test",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-colour",
    }

    preflight = await apps.call(app=public, key=None, method="OPTIONS", headers=asked)
    called = await apps.call(app=public, key=None, headers={"Origin": "https://shop.test"})
    failed = await apps.call({"fail": True}, app=public, key=None)
    private = await apps.call(method="OPTIONS", headers=asked)
    without = await apps.call()

    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type, x-colour"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert [answer.headers["Access-Control-Allow-Origin"] for answer in (called, failed)] == ["*", "*"]
    assert (called.status, failed.status, private.status) == (200, 500, 405)
    assert "Access-Control-Allow-Origin" not in {**private.headers, **without.headers}


async def test_a_caller_that_hangs_up_frees_its_slot(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, slots=1) as apps:
        await apps.call()
        hanging = asyncio.create_task(apps.call({"sleep": 60}))
        await asyncio.sleep(0.2)
        hanging.cancel()

        async with asyncio.timeout(3):
            answer = await apps.call()

        assert answer.status == 200
        assert apps.host.canceled == 1
