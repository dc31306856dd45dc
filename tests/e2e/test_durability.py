"""Answered saves and deploys survive a `kill -9` of every process, Postgres included, during saves and rollouts."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from tests.support.up_caller import Caller, kill_all
from tests.support.up_process import Up
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.load]

TASKS = 8
MIN_SAVES = 60
ENDED = ("succeeded", "failed")
SCRIPT = "ok,delay:1,hang"
"""Rollout script: an app's first deployment is immediate, the second takes a second, the third never ends."""
TIME_LIMIT = 15.0
"""Seconds that a rollout may take. Longer than everything before the crash."""


@dataclass
class Save:
    """One save as it was sent. `version` is None until it was answered."""

    key: str
    flow: str
    version: int | None = None

    @property
    def body(self) -> bytes:
        return f'{{"flow": {self.flow}, "flow_ui": {{}}, "description": "{self.key}"}}'.encode()


@dataclass
class Crash:
    """A run before its crash and after its next start."""

    caller: Caller
    workflow_id: str
    began: float
    """When the services were ready again, by the monotonic clock."""
    saves: list[Save]
    delayed: dict[str, Any]
    """A deployment whose rollout takes a second. `hanging` is one whose rollout never ends."""
    hanging: dict[str, Any]
    live_before: dict[str, str] = field(default_factory=dict)
    """The live deployment, by app."""

    @property
    def save_path(self) -> str:
        return f"/v1/workflows/{self.workflow_id}/save"

    async def versions(self) -> list[dict[str, Any]]:
        """All versions, oldest first."""
        path, found = f"/v1/workflows/{self.workflow_id}/versions?sort=version&page_size=500", []
        while page := await self.caller.ok("GET", f"{path}&page={len(found) // 500 + 1}"):
            found += page
            if len(page) < 500:
                break
        return found

    async def deployment(self, deployment: dict[str, Any]) -> dict[str, Any]:
        return await self.caller.ok("GET", f"/v1/apps/{deployment['app_id']}/deployments/{deployment['id']}")

    async def ended(self, deployment: dict[str, Any], seconds: float = 5) -> dict[str, Any]:
        """Wait for the deployment to end, for at most so many seconds after the start."""
        while (found := await self.deployment(deployment))["status"] not in ENDED:
            assert time.monotonic() < self.began + seconds, found
            await asyncio.sleep(0.1)
        return found


@pytest.fixture(scope="module")
async def crash(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crash]:
    data = tmp_path_factory.mktemp("crash") / "data"
    settings = {"DRIVER": "scripted", "SCRIPT": SCRIPT, "TIMEOUT_SECONDS": str(TIME_LIMIT)}
    up = Up(data, **{f"DEPLOY_ROLLOUT_{name}": value for name, value in settings.items()}).start().ready()
    try:
        async with aiohttp.ClientSession() as session:
            caller = Caller(up.env, session)
            workflow = await draft(caller)
            saves = [save := Save("first", flow_of(0))]
            save.version = await answered(caller, workflow["id"], save)
            delayed, hanging = await app(caller, workflow["id"]), await app(caller, workflow["id"])
            await until_status(caller, await deploy(caller, hanging), "succeeded")
            live_before = {each["id"]: await live(caller, each) for each in (delayed, hanging)}
            rollouts = [await deploy(caller, delayed), await deploy(caller, hanging)]
            await until_status(caller, rollouts[1], "deploying")
            await saving_until_killed(caller, workflow["id"], saves, up)

            up.start().ready()

            yield Crash(caller, workflow["id"], time.monotonic(), saves, *rollouts, live_before)
    finally:
        up.end()


def flow_of(number: int) -> str:
    """A flow's text with spacing that no JSON library would write."""
    return (
        f'{{ "nodes" :[{{"type":"x.Y",  "id":"n{number}"}}],\n\t"big": {2**53 + number}, "nul": "\\u0000", "e": 1E+2 }}'
    )


async def draft(caller: Caller) -> dict[str, Any]:
    body = {"project_id": caller.project, "name": "flow", "flow": json.loads(flow_of(0)), "flow_ui": {}}
    return await caller.ok("POST", "/v1/workflows", body)


async def app(caller: Caller, workflow_id: str) -> dict[str, Any]:
    made = await caller.ok(
        "POST", "/v1/apps", {"project_id": caller.project, "name": "app", "workflow_id": workflow_id}
    )
    first = {"id": made["latest_deployment_id"], "app_id": made["id"]}
    await until_status(caller, first, "succeeded")
    return {**made, "workflow_id": workflow_id}


async def deploy(caller: Caller, to: dict[str, Any]) -> dict[str, Any]:
    return await caller.ok("POST", f"/v1/apps/{to['id']}/deploy", {"workflow_id": to["workflow_id"]})


async def until_status(caller: Caller, deployment: dict[str, Any], wanted: str) -> None:
    path = f"/v1/apps/{deployment['app_id']}/deployments/{deployment['id']}"

    async def has_it() -> bool:
        return bool((await caller.ok("GET", path))["status"] == wanted)

    await eventually(has_it, 10)


async def live(caller: Caller, of: dict[str, Any]) -> str:
    return str((await caller.ok("GET", f"/v1/apps/{of['id']}"))["environments"][-1]["deployment_id"])


async def answered(caller: Caller, workflow_id: str, save: Save) -> int | None:
    answer = await caller.rest("POST", f"/v1/workflows/{workflow_id}/save", save.body, idempotency_key=save.key)
    return int(answer.data["version"]) if answer.status == 200 else None


async def saving_until_killed(caller: Caller, workflow_id: str, saves: list[Save], up: Up) -> None:
    enough = asyncio.Event()

    async def keep_saving(name: str) -> None:
        while True:
            save = Save(f"{name}-{len(saves)}", flow_of(len(saves)))
            saves.append(save)
            try:
                save.version = await answered(caller, workflow_id, save)
            except (aiohttp.ClientError, OSError):
                return
            if sum(save.version is not None for save in saves) >= MIN_SAVES:
                enough.set()

    tasks = [asyncio.create_task(keep_saving(f"task-{number}")) for number in range(TASKS)]
    async with asyncio.timeout(20):
        await enough.wait()
    kill_all(up)
    await asyncio.gather(*tasks)


async def test_every_answered_save_survives_a_crash_with_its_number_and_bytes(crash: Crash):
    kept = {version["description"]: version["version"] for version in await crash.versions()}
    sent = [save for save in crash.saves if save.version is not None]

    assert len(sent) >= MIN_SAVES
    assert {save.key: kept.get(save.key) for save in sent} == {save.key: save.version for save in sent}
    for save in sent[-TASKS * 2 :]:
        answer = await crash.caller.rest("GET", f"/v1/workflows/{crash.workflow_id}/versions/{save.version}")
        assert f'"flow":{save.flow}'.encode() in answer.content


async def test_version_numbers_have_no_gap_and_no_duplicate_after_a_crash(crash: Crash):
    numbers = [version["version"] for version in await crash.versions()]

    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_save_sent_again_with_its_key_after_a_crash_is_not_duplicated(crash: Crash):
    before = {version["description"]: version["version"] for version in await crash.versions()}
    again = [save for save in crash.saves if save.version is None] + crash.saves[:3] + crash.saves[-3:]

    answers = [await crash.caller.rest("POST", crash.save_path, save.body, idempotency_key=save.key) for save in again]

    assert [answer.status for answer in answers] == [200] * len(again)
    for save, answer in zip(again, answers, strict=True):
        assert answer.data["description"] == save.key
        assert answer.data["version"] == before.get(save.key, answer.data["version"])
        assert (answer.headers.get("Idempotent-Replayed") == "true") or save.key not in before
    keys = [version["description"] for version in await crash.versions()]
    assert sorted(keys) == sorted(set(keys))


async def test_a_rollout_whose_delay_has_passed_succeeds_after_a_crash(crash: Crash):
    done = await crash.ended(crash.delayed)

    assert (done["status"], done["live"]) == ("succeeded", True)
    assert await live(crash.caller, {"id": done["app_id"]}) == done["id"]


async def test_a_hanging_rollout_fails_at_its_time_limit_after_a_crash_and_the_old_deployment_stays_live(crash: Crash):
    done = await crash.ended(crash.hanging, TIME_LIMIT + 5)

    assert (done["status"], done["live"]) == ("failed", False)
    assert done["error"]["code"] == "ROLLOUT_INTERRUPTED"
    assert await live(crash.caller, {"id": done["app_id"]}) == crash.live_before[done["app_id"]]
