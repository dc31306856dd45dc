"""Helpers of tests of save conflicts."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.stack import Answer, Stack
from tests.support.workflows import body_of

UI = b'{"nodes": []}'


def flow(**values: int) -> bytes:
    """A flow with three nodes a, b and c, each with its value."""
    nodes = [{"id": name, "type": "x.Y", "value": values.get(name, 0)} for name in "abc"]
    return json.dumps({"nodes": nodes}).encode()


async def save(stack: Stack, workflow_id: str, content: bytes, base: Any = None, **options: Any) -> Answer:
    fields = {"base_version_id": base} if base else {}
    return await stack.rest("POST", f"/v1/workflows/{workflow_id}/save", body_of(content, UI, **fields), **options)


async def etag(stack: Stack, path: str) -> dict[str, str]:
    """The headers of a save that starts from the version read at that path."""
    return {"If-Match": (await stack.rest("GET", path)).headers["ETag"]}


async def workflow_with_newer_save(stack: Stack, ours: bytes = b"", theirs: bytes = flow(a=1)) -> tuple[str, Any, Any]:
    """A workflow, the version that we start from, and the version that someone saved after it."""
    workflow_id = (await stack.draft())["id"]
    first = await save(stack, workflow_id, flow())
    second = await save(stack, workflow_id, theirs)
    return workflow_id, first.data, second.data


def assert_names(answer: Answer, winner: Mapping[str, Any], nodes: str) -> None:
    assert (answer.status, answer.error["code"]) == (409, "conflict")
    assert answer.error["details"] == {
        "reason": "VERSION_CONFLICT",
        "version": str(winner["version"]),
        "version_id": winner["id"],
        "author": winner["created_by_name"],
        "author_id": winner["created_by"],
        "created_at": winner["created_at"],
        "nodes": nodes,
    }
    sentence = f"{winner['created_by_name']} saved {winner['label']} since the version that this save is based on."
    assert answer.error["message"] == sentence
