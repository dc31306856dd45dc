"""Running apps with real services, a host process and confined replicas. One test also has the SDK."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.support.apps.installation import Installation, running_installation
from tests.support.stack import FLOW
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
async def installation(database_urls, tmp_path):
    async with running_installation(database_urls, tmp_path) as running:
        yield running


async def test_an_app_answers_calls_with_its_live_version(installation: Installation):
    stack = installation.stack
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])

    first = await installation.call(app["id"], {"price": 2})
    deployment = await stack.deploy(app["id"], workflow["id"])
    second = await installation.call(app["id"])
    back = await stack.ok("POST", f"/v1/apps/{app['id']}/rollback", {})
    third = await installation.call(app["id"])

    assert (first.status, first.body["output"]["echo"]) == (200, {"price": 2})
    assert [each.headers["X-Flowpin-Version"] for each in (first, second, third)] == ["v1", "v2", "v1"]
    assert second.headers["X-Flowpin-Deployment"] == deployment["id"]
    assert third.headers["X-Flowpin-Deployment"] == back["id"]
    assert (deployment["status"], back["status"]) == ("succeeded", "succeeded")

    async def is_drained() -> bool:
        replaced = await stack.ok("GET", f"/v1/apps/{app['id']}/deployments/{deployment['id']}")
        return (replaced.get("drain", {}).get("drained"), replaced.get("drain", {}).get("killed")) == (0, 0)

    await eventually(is_drained)


async def test_deploys_under_load_fail_no_call_and_end_the_old_version(installation: Installation):
    stack = installation.stack
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    since = 0
    answers: list[tuple[int, int, int]] = []
    is_over = asyncio.Event()

    async def call_for_ever() -> None:
        while not is_over.is_set():
            began = since
            answer = await installation.call(app["id"])
            answers.append((began, int(answer.headers["X-Flowpin-Version"][1:]), answer.status))

    live = 1
    callers = [asyncio.create_task(call_for_ever()) for _ in range(3)]
    answered: list[int] = [1]
    for number in range(6):
        live = 2 - number % 2
        await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[live - 1]["id"], force=True)
        answered.append(live)
        since = len(answered) - 1
        await asyncio.sleep(0.1)
    is_over.set()
    await asyncio.gather(*callers)

    assert {status for _, _, status in answers} == {200}
    strays = [each for each in answers if each[0] == len(answered) - 1 and each[1] != answered[-1]]
    assert strays == []
    assert len(answers) > 20


async def test_two_runtimes_run_side_by_side_and_a_deploy_moves_an_app_between_them(database_urls, tmp_path):
    code = "import sys\ndef run(value, emit, canceled):\n    return {'runtime': sys._xoptions['name']}\n"
    async with running_installation(database_urls, tmp_path, versions=("0.69", "0.70")) as installation:
        stack = installation.stack
        other = await stack.ok("POST", "/v1/runtimes", {"version": "0.70", "label": "newer"}, token="operator")
        project = str(stack.people.project)
        draft = {"name": "where", "project_id": project, "flow": {**json.loads(FLOW), "code": code}, "flow_ui": {}}
        workflow = await stack.ok("POST", "/v1/workflows", draft)
        await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", {"flow": draft["flow"], "flow_ui": {}})
        runtimes = await stack.ok("GET", "/v1/runtimes")
        (first,) = [each for each in runtimes if each["version"] == "0.69"]
        old = await stack.app(workflow["id"], runtime_id=first["id"])
        new = await stack.app(workflow["id"], runtime_id=other["id"])

        beside = [(await installation.call(app["id"])).body["output"]["runtime"] for app in (old, new)]
        await stack.deploy(old["id"], workflow["id"], runtime_id=other["id"])
        moved = (await installation.call(old["id"])).body["output"]["runtime"]

    assert (beside, moved) == (["0.69", "0.70"], "0.70")


async def test_a_revoked_key_is_refused_within_two_seconds(installation: Installation):
    stack = installation.stack
    workflow, _ = await stack.workflow(saves=1)
    app = await stack.app(workflow["id"])
    assert (await installation.call(app["id"])).status == 200
    keys = await stack.ok("GET", f"/v1/access-keys?project_id={stack.people.project}")
    await stack.rest("DELETE", f"/v1/access-keys/{keys[0]['id']}")

    async def is_refused() -> bool:
        return (await installation.call(app["id"])).status == 401

    await eventually(is_refused, seconds=2)


@pytest.mark.apps
@pytest.mark.load
async def test_an_app_computes_its_flow_with_the_sdk(database_urls, tmp_path):
    sdk = Path(os.environ["SDK_PYTHON"]).parents[1]
    async with running_installation(database_urls, tmp_path, sdk) as installation:
        workflow, _ = await installation.stack.workflow(saves=1)
        app = await installation.stack.app(workflow["id"])
        answer = await installation.call(app["id"], {"price": 2.5, "quantity": 4})

        assert (answer.status, answer.body["output"]) == (200, {"output": {"text": "total=10.0"}, "total": 10.0})
