"""Reads pasted or uploaded documents: a flow as JSON, a whole answer of the API, or a config.yaml of the SDK."""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import msgspec

from console.visit import Visit
from service_kit.errors import InvalidArgument, ServiceError
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

NO_LAYOUT = b"{}"
NODE = re.compile(r"(?:flow\.)?nodes\[(\d+)\]\.?(.*)", re.DOTALL)
OF_THE_FLOW = "The flow itself"


class NotRead(InvalidArgument):
    """The text is neither valid JSON nor valid YAML."""

    reason = "DOCUMENT_NOT_READ"

    def __init__(self, problem: str) -> None:
        super().__init__(problem, fields={"flow": problem})


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a new version."""

    flow: bytes
    flow_ui: bytes | None
    """None when the text has no layout."""
    warnings: Sequence[str] = ()
    """What the import of a config.yaml left out or changed."""


@dataclass(frozen=True, slots=True)
class NodeProblem:
    place: str
    """The path within the node. Empty for the whole node."""
    message: str
    is_error: bool


def is_yaml(text: str) -> bool:
    return not text.lstrip("\ufeff \t\r\n").startswith(("{", "["))


async def content_of(visit: Visit, text: str, project_id: str) -> Content:
    """Read a text. Raises NotRead, or the errors of ImportWorkflow."""
    if not text.strip():
        raise NotRead("Paste a flow, or choose a file.")
    if is_yaml(text):
        return await _imported(visit, text, project_id)
    return await asyncio.to_thread(_json_content, text.encode())


async def _imported(visit: Visit, text: str, project_id: str) -> Content:
    """Convert a config.yaml by importing it into a draft, which is deleted again."""
    asked = pb.ImportWorkflowRequest(project_id=project_id, name=f"import-{uuid4().hex[:12]}", config=text)
    made = await visit.call(asked, pb.ImportWorkflowResponse)
    with contextlib.suppress(ServiceError):
        await visit.call(pb.DeleteWorkflowRequest(workflow_id=made.data.id), pb.DeleteWorkflowResponse)
    return Content(made.data.flow.utf8, made.data.flow_ui.utf8, tuple(made.warnings))


def _json_content(data: bytes) -> Content:
    """Keep the bytes of a flow. An object with a `flow` is an answer of the API."""
    try:
        members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        if "data" in members and "nodes" not in members:
            members = msgspec.json.decode(members["data"], type=dict[str, msgspec.Raw])
        flow = members.get("flow")
        if flow is None or "nodes" in members:
            return Content(data, None)
        layout = members.get("flow_ui")
        return Content(bytes(flow), bytes(layout) if layout is not None else None)
    except (msgspec.MsgspecError, RecursionError):
        raise NotRead(_json_problem(data)) from None


def _json_problem(data: bytes) -> str:
    try:
        found = json.loads(data)
    except json.JSONDecodeError as error:
        return f"The JSON is invalid at line {error.lineno}, column {error.colno}: {error.msg}."
    except (ValueError, RecursionError):
        return "The JSON cannot be read."
    return f"A flow is a JSON object with a list `nodes`, not {type(found).__name__}."


async def check(visit: Visit, flow: bytes) -> Mapping[str, Sequence[NodeProblem]]:
    """The problems from ValidateFlow, by the name of the node."""
    asked = pb.ValidateFlowRequest(flow=pb.Json(utf8=flow))
    found = (await visit.call(asked, pb.ValidateFlowResponse)).data.problems
    told = [(each.path, each.message, each.severity == pb.SEVERITY_ERROR) for each in found]
    return await asyncio.to_thread(_by_node, told, flow)


async def problems_of(error: ServiceError, flow: bytes) -> Mapping[str, Sequence[NodeProblem]]:
    """The fields of the flow that an error names, by the name of the node."""
    told = [(path, message, True) for path, message in error.fields.items()]
    return await asyncio.to_thread(_by_node, told, flow)


def _by_node(told: Sequence[tuple[str, str, bool]], flow: bytes) -> Mapping[str, Sequence[NodeProblem]]:
    names = _names(flow)
    found: dict[str, list[NodeProblem]] = {}
    for path, message, is_error in told:
        at = NODE.fullmatch(path)
        name, place = (OF_THE_FLOW, path) if at is None else (names(int(at[1])), at[2])
        found.setdefault(name, []).append(NodeProblem(place, message, is_error))
    return found


def _names(flow: bytes) -> Callable[[int], str]:
    try:
        nodes = json.loads(flow)["nodes"]
    except (ValueError, RecursionError, KeyError, TypeError):
        nodes = []

    def name_of(number: int) -> str:
        node = nodes[number] if isinstance(nodes, list) and number < len(nodes) else None
        named = node.get("name") or node.get("id") if isinstance(node, dict) else None
        return f"Node {number + 1}" if not isinstance(named, str) else f"Node {named}"

    return name_of
