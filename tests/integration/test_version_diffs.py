"""Two versions are compared node by node, edge by edge, value by value."""

import asyncio
import json
from typing import Any

import pytest

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.refusals import refusal
from tests.support.stack import Stack
from tests.support.workflows import body_of

UI = b'{"at": {"x": 1, "y": 2}}'
BEFORE = rb"""{"id": "f", "version": 1, "nodes": [
    {"id": "in", "type": "x.Input"},
    {"id": "llm", "type": "x.Old", "temperature": 1, "seed": 9007199254740993, "tools": ["a", "b"], "gone": null,
     "depends": [{"node": "in"}]},
    {"id": "old", "type": "x.Y", "depends": [{"node": "llm"}]}
]}"""
AFTER = rb"""{"id": "f", "version": 2, "nodes": [
    {"id": "new", "type": "x.Z", "depends": [{"node": "llm", "option": "yes"}]},
    {"id": "llm", "type": "x.New", "temperature": 1.0, "seed": 9007199254740992, "tools": ["a"], "added": "\u00e9",
     "depends": [{"node": "in", "trigger": "failure"}]},
    {"id": "in", "type": "x.Input"}
]}"""


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def saved(stack: Stack, *contents: bytes | tuple[bytes, bytes]) -> str:
    """The path of a workflow with these versions. Each is a flow, or a flow and flow_ui."""
    path = f"/v1/workflows/{(await stack.draft())['id']}"
    for content in contents:
        flow, flow_ui = content if isinstance(content, tuple) else (content, UI)
        await stack.ok("POST", f"{path}/save", body_of(flow, flow_ui))
    return path


async def diff(stack: Stack, path: str, version: str = "1", other: str = "2") -> Any:
    return await stack.ok("GET", f"{path}/versions/{version}/diff/{other}", token="viewer")


async def test_a_diff_names_every_difference(stack: Stack):
    path = await saved(stack, BEFORE, AFTER)

    found = await diff(stack, path)

    (llm,) = found["nodes"].pop("changed")
    assert found == {
        "nodes": {"added": [{"id": "new", "type": "x.Z"}], "removed": [{"id": "old", "type": "x.Y"}]},
        "edges": {
            "added": [{"from": "llm", "to": "new", "option": "yes"}],
            "removed": [{"from": "llm", "to": "old"}],
        },
        "flow": [{"path": "version", "before": 1, "after": 2}],
        "layout_changed": False,
    }
    assert (llm["id"], llm["type"]) == ("llm", "x.New")
    assert sorted(llm["changes"], key=lambda change: change["path"]) == [
        {"path": "added", "after": "é"},
        {"path": "depends[0].trigger", "after": "failure"},
        {"path": "gone", "before": None},
        {"path": "seed", "before": 9007199254740993, "after": 9007199254740992},
        {"path": "temperature", "before": 1, "after": 1.0},
        {"path": "tools[1]", "before": "b"},
        {"path": "type", "before": "x.Old", "after": "x.New"},
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("9007199254740993", "9007199254740992"),
        ("1", "1.0"),
        ("1.0", "1"),
        ("-0.0", "0.0"),
        ("123456789012345678901234567890", "1e+29"),
        ('"\\\\u00e9"', '"\\\\n"'),
        ('{"a":{"b":[]}}', "null"),
        ("true", "1"),
        ("[[1,2],{}]", '"[[1,2],{}]"'),
    ],
)
async def test_a_diff_shows_values_byte_for_byte(stack: Stack, before: str, after: str):
    flows = [f'{{"nodes":[{{"id":"a","type":"x.Y","v":{value}}}]}}'.encode() for value in (before, after)]
    path = await saved(stack, *flows)

    answer = await stack.rest("GET", f"{path}/versions/1/diff/2")

    assert f'"changes":[{{"path":"v","before":{before},"after":{after}}}]'.encode() in answer.content


NOTHING = {
    "nodes": {"added": [], "removed": [], "changed": []},
    "edges": {"added": [], "removed": []},
    "flow": [],
    "layout_changed": False,
}


@pytest.mark.parametrize("refs", [("1", "1"), ("latest", "2"), ("2", "3"), ("3", "2"), ("2", "4")])
async def test_versions_with_the_same_meaning_do_not_differ(stack: Stack, refs: tuple[str, str]):
    respaced = json.dumps(json.loads(BEFORE), sort_keys=True, indent=3).encode()
    other_order = json.dumps(dict(reversed(json.loads(BEFORE).items()))).encode()
    contents = [AFTER, BEFORE, (respaced, b'{"at":{"y":2,"x":1}}'), other_order]
    path = await saved(stack, *contents)
    version, other = refs[0].replace("latest", "4"), refs[1]

    assert await diff(stack, path, version, other) == NOTHING
    assert await diff(stack, path, refs[0], refs[0]) == NOTHING


async def test_a_reversed_diff_has_the_opposite_changes(stack: Stack):
    path = await saved(stack, BEFORE, AFTER)

    there, back = await diff(stack, path, "1", "2"), await diff(stack, path, "latest", "1")

    for part in ("nodes", "edges"):
        assert there[part]["added"] == back[part]["removed"]
        assert there[part]["removed"] == back[part]["added"]
    changes = [found["nodes"]["changed"][0]["changes"] for found in (there, back)]
    turned = [{"path": c["path"], **flipped(c)} for c in changes[1]]
    assert sorted(changes[0], key=str) == sorted(turned, key=str)


def flipped(change: dict[str, Any]) -> dict[str, Any]:
    names = {"before": "after", "after": "before"}
    return {key: change[names[key]] for key in ("before", "after") if names[key] in change}


@pytest.mark.parametrize(("flow_ui", "changed"), [(b'{"at":{"y":2,"x":1}}', False), (b'{"at":{"x":1,"y":3}}', True)])
async def test_a_moved_node_changes_the_layout_only(stack: Stack, flow_ui: bytes, changed: bool):
    path = await saved(stack, BEFORE, (BEFORE, flow_ui))

    assert await diff(stack, path) == NOTHING | {"layout_changed": changed}


async def test_a_diff_accepts_archived_versions_and_ids(stack: Stack):
    path = await saved(stack, BEFORE, AFTER)
    await stack.ok("POST", f"{path}/versions/1/archive")
    ids = [row["id"] for row in await stack.ok("GET", f"{path}/versions?include_archived=true")]

    assert await diff(stack, path, ids[1], ids[0]) == await diff(stack, path, "1", "latest")


async def test_a_diff_with_an_unknown_version_is_refused(stack: Stack):
    path = await saved(stack, BEFORE, AFTER)
    other = await saved(stack, BEFORE)
    theirs = (await stack.ok("GET", f"{other}/versions/1"))["id"]

    for refs in (("1", "3"), ("3", "1"), ("1", theirs), (theirs, "1"), ("1", "x"), ("0", "1")):
        answer = await stack.rest("GET", f"{path}/versions/{refs[0]}/diff/{refs[1]}")
        assert answer.status == 404, refs
    stranger = await stack.rest("GET", f"{path}/versions/1/diff/2", token="stranger")
    assert (stranger.status, stranger.error["details"]["reason"]) == (404, "WORKFLOW_NOT_FOUND")
    for field in ("version", "other"):
        request = pb.DiffVersionsRequest(
            workflow_id=path.rpartition("/")[2], **{"version": "1", "other": "2", field: "x"}
        )
        error = await refusal(stack.workflows.DiffVersions(request, metadata=stack.as_()))
        assert (error.reason, list(error.fields)) == ("INVALID_REQUEST", [field])


async def test_a_diff_of_many_changes_shows_whole_values_and_does_not_block_other_calls(stack: Stack):
    flows = [
        json.dumps({"nodes": [{"id": "a", "type": "x.Y", "few": first, "many": [first, *range(first, 300_000)]}]})
        for first in (1, 2)
    ]
    path = await saved(stack, *(flow.encode() for flow in flows))

    comparing = asyncio.create_task(diff(stack, path))
    await stack.ok("GET", "/v1/me")

    (node,) = (await comparing)["nodes"]["changed"]
    first, second = (json.loads(flow)["nodes"][0] for flow in flows)
    assert {change["path"]: (change["before"], change["after"]) for change in node["changes"]} == {
        key: (first[key], second[key]) for key in ("few", "many")
    }
