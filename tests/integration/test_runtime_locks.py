"""The lock of a runtime is registered and pinned by deployments, and their apps run on it."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from flowpin_cli.errors import CannotRun
from flowpin_cli.runtimes.folder import Runtime, Runtimes, digest_of
from flowpin_cli.runtimes.registry import LATEST, Registry
from service_kit.ids import new_id
from tests.support.apps.installation import Installation, running_installation
from tests.support.stack import Stack

pytestmark = pytest.mark.slow


FIRST, SECOND = "dynamiq==0.69.0\nhttpx==0.28.1\n", "dynamiq==0.69.0\nhttpx==0.28.2\n"


async def register(stack: Stack, lock: str) -> str:
    """Set the lock of the default runtime. Returns its digest."""
    [runtime] = await stack.ok("GET", "/v1/runtimes")
    changed = await stack.ok("PUT", f"/v1/runtimes/{runtime['id']}", {"lock": lock}, token="installer")
    assert changed["lock_digest"] == f"sha256:{hashlib.sha256(lock.encode()).hexdigest()}"
    return changed["lock_digest"]


async def test_a_deployment_pins_the_lock_registered_at_its_request(stack: Stack):
    workflow, _ = await stack.workflow(saves=1)
    app = await stack.app(workflow["id"])
    path = f"/v1/apps/{app['id']}"
    digests = [await register(stack, FIRST)]
    deployments = [await stack.deploy(app["id"], workflow["id"])]
    plan = await stack.ok("POST", f"{path}/deploy/plan", {"workflow_id": workflow["id"]})

    digests.append(await register(stack, SECOND))
    outdated = await stack.rest(
        "POST", f"{path}/deploy", {"workflow_id": workflow["id"], "plan_token": plan["plan_token"]}
    )
    fresh = await stack.ok("POST", f"{path}/deploy/plan", {"workflow_id": workflow["id"]})
    deployments.append(await stack.deploy(app["id"], workflow["id"]))
    body = {"deployment_id": deployments[0]["id"]}
    deployments.append(await stack.ok("POST", f"{path}/rollback", body))

    assert "digest" not in app["runtime"]
    assert [each["runtime"]["digest"] for each in deployments] == [*digests, digests[0]]
    assert (await stack.ok("GET", path))["runtime"]["digest"] == digests[0]
    assert outdated.error["details"]["reason"] == "PLAN_OUTDATED"
    assert (plan["changes"]["runtime"]["changed"], fresh["changes"]["runtime"]["changed"]) == (False, True)


async def test_operators_read_a_lock_by_any_pinned_digest(stack: Stack):
    workflow, _ = await stack.workflow(saves=1)
    first = await register(stack, FIRST)
    await stack.app(workflow["id"])
    second = await register(stack, SECOND)
    [runtime] = await stack.ok("GET", "/v1/runtimes")
    path = f"/v1/runtimes/{runtime['id']}/lock"

    latest = await stack.ok("GET", path, token="installer")
    earlier = await stack.ok("GET", f"{path}?digest={first}", token="installer")
    refused = [
        await stack.rest("GET", address, token=token)
        for address, token in (
            (path, "admin"),
            (f"{path}?digest=sha256:{'0' * 64}", "installer"),
            (f"{path}?digest=0", "installer"),
            (f"/v1/runtimes/{new_id()}/lock", "installer"),
        )
    ]

    assert (latest, earlier) == ({"digest": second, "lock": SECOND}, {"digest": first, "lock": FIRST})
    assert [each.error["details"]["reason"] for each in refused] == [
        "ROLE_TOO_SMALL",
        *["RUNTIME_LOCK_NOT_FOUND"] * 2,
        "RUNTIME_NOT_FOUND",
    ]


@pytest.mark.parametrize(
    "lock",
    [
        "",
        "\n",
        "dynamiq",
        "dynamiq>=0.69",
        "--index-url https://example.test\n",
        "dynamiq @ https://example.test/dynamiq.whl",
        "-e .",
        "dynamiq==0.69.0\n\nhttpx==1",
        "dynamiq==0.69.0 --hash=sha256:0",
        "dynamiq==0.69.0 ; x \\\n--index-url=x==1",
        "a" * 200 + "==1",
        "a==1\n" * 60_000,
    ],
)
async def test_a_lock_may_contain_names_with_versions_only(stack: Stack, lock: str):
    [runtime] = await stack.ok("GET", "/v1/runtimes")

    answers = [
        await stack.rest("PUT", f"/v1/runtimes/{runtime['id']}", {"lock": lock}, token="installer"),
        await stack.rest("POST", "/v1/runtimes", {"version": "2", "label": "2", "lock": lock}, token="installer"),
    ]

    assert [each.refusal for each in answers] == [(400, "INVALID_REQUEST", {"lock"})] * 2
    assert len(await stack.ok("GET", "/v1/runtimes")) == 1


def install(runtimes: Runtimes, version: str, lock: str) -> None:
    """Write a runtime like `flowpin runtime install` does, without its packages."""
    folder = runtimes.unfinished(version)
    folder.mkdir(parents=True)
    (folder / "requirements.lock").write_text(lock)
    runtimes.finish(Runtime(version, "0.69.0", "3.11.7", 2, digest_of(lock), "2026-11-30T10:00:00+00:00"))


async def test_the_lock_of_an_installed_runtime_is_registered_once_and_can_be_installed_elsewhere(
    stack: Stack, tmp_path: Path
):
    runtimes = Runtimes(tmp_path)
    install(runtimes, "0.69", FIRST)
    install(runtimes, "0.70", SECOND)
    url = f"http://127.0.0.1:{stack.gateway_port}"
    registry, others = (Registry(url, stack.people.secret(name)) for name in ("installer", "admin"))

    async def off_loop(call: Any, *words: Any) -> Any:
        return await asyncio.to_thread(call, *words)

    with pytest.raises(CannotRun, match="role operator in the installation"):
        await off_loop(others.register, runtimes)
    first = await off_loop(registry.register, runtimes)
    again = await off_loop(registry.register, runtimes)

    assert (sorted(first), again) == (["0.69", "0.70"], [])
    assert await off_loop(registry.lock_of, "0.70", LATEST) == SECOND
    assert await off_loop(registry.lock_of, "0.69", f"sha256:{digest_of(FIRST)}") == FIRST
    with pytest.raises(CannotRun, match="Runtime lock not found"):
        await off_loop(registry.lock_of, "0.69", f"sha256:{'0' * 64}")


@pytest.fixture
async def installation(database_urls, tmp_path):
    # Replaced replicas are not kept warm. Otherwise a rollback would reuse one that runs on its lock.
    async with running_installation(database_urls, tmp_path, warm_seconds=0) as running:
        yield running


def pretend_installed(installation: Installation, lock: str) -> None:
    manifest = installation.host.folder / "runtimes" / "0.69" / "flowpin-runtime.json"
    manifest.write_text(json.dumps({"lock_digest": digest_of(lock)}))


async def test_an_app_runs_on_the_lock_that_it_pins_and_on_no_other(installation: Installation):
    stack = installation.stack
    workflow, _ = await stack.workflow(saves=2)
    await register(stack, FIRST)
    pretend_installed(installation, FIRST)
    app = await stack.app(workflow["id"])
    pinned = app["latest_deployment_id"]

    await register(stack, SECOND)
    failed = await stack.deploy(app["id"], workflow["id"])
    still = await installation.call(app["id"])
    pretend_installed(installation, SECOND)
    done = await stack.deploy(app["id"], workflow["id"])
    answer = await installation.call(app["id"])
    back = await stack.ok("POST", f"/v1/apps/{app['id']}/rollback", {"deployment_id": pinned})

    for refused, installed, wanted in ((failed, FIRST, SECOND), (back, SECOND, FIRST)):
        assert (refused["status"], refused["error"]["code"]) == ("failed", "RUNTIME_DIFFERS")
        message = refused["error"]["message"]
        assert f"installed has the lock {digest_of(installed)[:12]}…" in message
        assert f"flowpin runtime install 0.69 --registered sha256:{digest_of(wanted)}" in message
    assert (still.status, still.headers["X-Flowpin-Deployment"]) == (200, pinned)
    assert done["status"] == "succeeded", done
    assert (answer.status, answer.headers["X-Flowpin-Deployment"]) == (200, done["id"])
