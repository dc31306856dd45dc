"""Helpers of tests of workflows and versions."""

from collections.abc import Mapping
from typing import Any

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.stack import FLOW, FLOW_UI, Answer, Stack

HELD = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'workflows'::regclass"
"""The number of statements that wait for a lock on the table in the search path's schema."""

OFFICIAL = {"User-Agent": "dynamiq-cli/0.69.0"}
"""Headers of the platform's official command line."""


def flow_of(note: str) -> bytes:
    return b'{"nodes":[{"id":"a","type":"x.Y"}],"note":"' + note.encode() + b'"}'


def body_of(flow: bytes = FLOW, flow_ui: bytes = FLOW_UI, **fields: str) -> bytes:
    """A REST body that contains both documents byte for byte."""
    more = "".join(f'"{key}": "{value}", ' for key, value in fields.items())
    return b"{" + more.encode() + b'"flow": ' + flow + b', "flow_ui":' + flow_ui + b"}"


def save_request(workflow_id: str, flow: bytes = FLOW, flow_ui: bytes = FLOW_UI, **fields: str) -> Any:
    return pb.SaveWorkflowRequest(
        workflow_id=workflow_id, flow=pb.Json(utf8=flow), flow_ui=pb.Json(utf8=flow_ui), **fields
    )


async def workflow_now(stack: Stack, workflow_id: str) -> Any:
    return await stack.ok("GET", f"/v1/workflows/{workflow_id}")


async def listed(stack: Stack, workflow_id: str, query: str = "page_size=500") -> list[int]:
    return [row["version"] for row in await stack.ok("GET", f"/v1/workflows/{workflow_id}/versions?{query}")]


async def release(
    stack: Stack, workflow_id: str, flow: bytes = FLOW, *, name: str = "released", headers: Mapping[str, str] = {}
) -> Answer:
    return await stack.rest("POST", f"/v1/workflows/{workflow_id}/release", body_of(flow, name=name), headers=headers)
