"""What tests of conflicts ask, and say, again and again."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.stack import Answer, Stack
from tests.support.workflows import body_of

UI = b'{"nodes": []}'


def flow(**values: int) -> bytes:
    """Three nodes a, b, c, each with its value."""
    nodes = [{"id": name, "type": "x.Y", "value": values.get(name, 0)} for name in "abc"]
    return json.dumps({"nodes": nodes}).encode()


async def save(stack: Stack, workflow_id: str, content: bytes, base: Any = None, **options: Any) -> Answer:
    fields = {"base_version_id": base} if base else {}
    return await stack.rest("POST", f"/v1/workflows/{workflow_id}/save", body_of(content, UI, **fields), **options)


async def etag(stack: Stack, path: str) -> dict[str, str]:
    """The headers of a save that starts from what is read there."""
    return {"If-Match": (await stack.rest("GET", path)).headers["ETag"]}


async def moved_on(stack: Stack, ours: bytes = b"", theirs: bytes = flow(a=1)) -> tuple[str, Any, Any]:
    """A workflow, the version we start from, and the one that someone has saved since."""
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
    sentence = f"{winner['created_by_name']} saved {winner['label']} since the version that this save starts from."
    assert answer.error["message"] == sentence
