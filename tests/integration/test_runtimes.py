"""Runtimes are every project's: an admin of an org adds and changes them, and one of them is the default."""

import asyncio

import pytest

from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from tests.support.deployments import unknown
from tests.support.refusals import refusal
from tests.support.stack import Answer, Stack


async def create(stack: Stack, version: str, label: str = "New", **fields) -> Answer:
    options = {name: fields.pop(name) for name in ("token", "headers") if name in fields}
    return await stack.rest("POST", "/v1/runtimes", {"version": version, "label": label, **fields}, **options)


async def update(stack: Stack, runtime, **fields) -> Answer:
    return await stack.rest("PUT", f"/v1/runtimes/{runtime['id']}", fields)


async def listed(stack: Stack):
    return [(row["version"], row["default"], row["deprecated"]) for row in await stack.ok("GET", "/v1/runtimes")]


async def test_a_new_runtime_is_current_and_not_the_default_unless_told(stack: Stack):
    plain, default = await create(stack, "0.70"), await create(stack, "0.71", default=True)

    made = {"id": plain.data["id"], "version": "0.70", "label": "New", "default": False, "deprecated": False}
    assert (plain.status, plain.data) == (201, made)
    assert (default.status, default.data["default"]) == (201, True)
    assert await listed(stack) == [("0.71", True, False), ("0.70", False, False), ("0.69", False, False)]


async def test_what_is_given_changes_and_a_version_never_does(stack: Stack):
    runtime = (await create(stack, "0.70")).data

    renamed = await update(stack, runtime, label="Renamed", version="9")
    deprecated = await update(stack, runtime, deprecated=True)
    back = await update(stack, runtime, deprecated=False, default=True)

    assert renamed.data == {**runtime, "label": "Renamed"}
    assert deprecated.data == {**runtime, "label": "Renamed", "deprecated": True}
    assert back.data == {**runtime, "label": "Renamed", "default": True}
    assert await listed(stack) == [("0.70", True, False), ("0.69", False, False)]


async def test_the_default_stays_current_and_stays_until_there_is_another(stack: Stack):
    [default] = await stack.ok("GET", "/v1/runtimes")
    other = (await create(stack, "0.70")).data
    await update(stack, other, deprecated=True)
    before = await listed(stack)

    for runtime, fields in [
        (default, {"deprecated": True}),
        (default, {"default": False}),
        (default, {"default": False, "deprecated": True}),
        (other, {"default": True}),
        (other, {"default": True, "deprecated": True}),
    ]:
        assert (await update(stack, runtime, **fields)).refusal == (400, "RUNTIME_IS_DEFAULT", set())
    assert await listed(stack) == before


async def test_defaults_made_at_once_leave_one(stack: Stack):
    made = await asyncio.gather(*(create(stack, f"1.{number}", default=True) for number in range(8)))
    updated = await asyncio.gather(*(update(stack, answer.data, default=True) for answer in made))

    assert {answer.status for answer in made} == {201}
    assert {answer.status for answer in updated} == {200}
    assert sum(default for _, default, _ in await listed(stack)) == 1


async def test_what_breaks_a_rule_is_refused_and_changes_nothing(stack: Stack):
    [default] = await stack.ok("GET", "/v1/runtimes")
    rows = await stack.row_counts()

    for version, label, named in [
        ("", "", {"version", "label"}),
        ("a b", "L", {"version"}),
        ("é", "L", {"version"}),
        ("1" * 65, "L", {"version"}),
        ("1", " ", {"label"}),
        ("1", "L" * 129, {"label"}),
    ]:
        assert (await create(stack, version, label)).refusal == (400, "INVALID_REQUEST", named)
    same = await create(stack, "0.69", default=True)
    assert (same.status, same.error["code"], same.error["details"]["reason"]) == (409, "conflict", "RUNTIME_EXISTS")
    assert (await update(stack, default, label="")).refusal == (400, "INVALID_REQUEST", {"label"})
    assert (await update(stack, {"id": unknown()}, label="L")).error["details"]["reason"] == "RUNTIME_NOT_FOUND"
    assert (await update(stack, {"id": unknown()}, label="L")).status == 404
    assert await stack.row_counts() == rows
    assert await listed(stack) == [("0.69", True, False)]


@pytest.mark.parametrize("token", ["viewer", "editor", "stranger"])
async def test_an_admin_of_a_project_only_is_told_that_the_role_is_too_small(stack: Stack, token):
    [default] = await stack.ok("GET", "/v1/runtimes")
    metadata = stack.as_(token)

    over_rest = await create(stack, "0.70", token=token)
    created = await refusal(
        stack.deploys.CreateRuntime(pb.CreateRuntimeRequest(version="1", label="L"), metadata=metadata)
    )
    updated = await refusal(
        stack.deploys.UpdateRuntime(pb.UpdateRuntimeRequest(runtime_id=default["id"]), metadata=metadata)
    )

    assert over_rest.refusal[:2] == (403, "ROLE_TOO_SMALL")
    assert created.reason == updated.reason == "ROLE_TOO_SMALL"
    assert len(await listed(stack)) == 1


async def test_the_same_create_with_the_same_key_adds_one(stack: Stack):
    key = {"Idempotency-Key": "one"}

    first, again = [await create(stack, "0.70", headers=key) for _ in range(2)]

    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await listed(stack)) == 2
