"""Which app a call reaches, and which callers are accepted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from service_kit.ids import new_id
from tests.support.apps.stand_in_host import flow
from tests.support.apps.world import FOREIGN_KEY, KEY, Apps
from tests.support.waiting import eventually


async def test_a_call_reaches_the_app_of_its_host_name(shared_apps: Apps):
    root = f"http://127.0.0.1:{shared_apps.port}/"
    names = [f"{shared_apps.app.app_id}.apps.localhost", f"{shared_apps.app.app_id}.APPS.localhost.:8081"]

    answers = [await shared_apps.call(url=root, headers={"Host": name}) for name in names]

    assert [answer.status for answer in answers] == [200, 200]


async def test_a_host_name_names_the_environment_after_two_dashes(apps: Apps):
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
async def test_a_private_app_accepts_only_an_access_key_of_its_project(
    shared_apps: Apps, key: str | None, status: int, reason: str
):
    answer = await shared_apps.call(key=key)

    assert (answer.status, answer.error["details"]["reason"]) == (status, reason)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert "X-Flowpin-Deployment" not in answer.headers


async def test_a_personal_access_token_is_refused_by_an_app(shared_apps: Apps):
    answer = await shared_apps.call(key=shared_apps.people.secret("admin"))

    assert (answer.status, answer.error["code"]) == (403, "forbidden")


async def test_a_caller_without_access_is_refused_before_its_body_is_read(shared_apps: Apps):
    async def endless() -> Any:
        yield b'{"input": {'
        await asyncio.sleep(30)

    async with asyncio.timeout(5):
        answer = await shared_apps.call(key="wrong", body=endless())

    assert answer.status == 401


async def test_an_expired_access_key_is_refused(apps: Apps):
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
async def test_a_url_that_names_no_app_is_not_found(shared_apps: Apps, path: str):
    answer = await shared_apps.call(url=f"http://127.0.0.1:{shared_apps.port}{path}")

    assert (answer.status, answer.error["details"]["reason"]) == (404, "APP_NOT_FOUND")
    assert "App not found. Call" in answer.error["message"]


async def test_an_unknown_app_is_not_found(shared_apps: Apps):
    by_path = await shared_apps.call(url=f"http://127.0.0.1:{shared_apps.port}/apps/{new_id()}")
    by_host = await shared_apps.call(
        url=f"http://127.0.0.1:{shared_apps.port}", headers={"Host": f"{new_id()}.apps.localhost"}
    )

    assert [(each.status, each.error["code"]) for each in (by_path, by_host)] == [(404, "not_found")] * 2


async def test_a_path_below_an_app_is_not_found(shared_apps: Apps):
    answer = await shared_apps.call(url=shared_apps.url(path="/docs"))

    assert (answer.status, answer.error["details"]["reason"]) == (404, "PATH_NOT_FOUND")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_an_app_is_called_by_post_only(shared_apps: Apps, method: str):
    answer = await shared_apps.call(method=method)

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_archived_apps_deleted_apps_and_apps_without_a_live_deployment_are_not_found(apps: Apps):
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


async def test_a_public_app_answers_browsers_from_any_origin(apps: Apps):
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
