"""Flows and configs with a canary in every field of every connection class, in all forms of secrets."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from tests.support.stack import FLOW_UI, Stack
from workflow_service.dynamiq_config import catalogue

CANARY = "sk_Canary-0123456789"
LIMIT = 1 << 23
"""Size limit of a flow in the tested services."""
URL = f"https://user:{CANARY}@host.example/{CANARY}?key={CANARY}#{CANARY}"
OPENAI, LLM, INPUT = "dynamiq.connections.OpenAI", "dynamiq.nodes.llms.OpenAI", "dynamiq.nodes.utils.Input"
SHAPES = {
    "text": CANARY,
    "url": URL,
    "headers": {"Authorization": f"Bearer {CANARY}", "X-Callback": URL, CANARY: CANARY},
    "nested": [CANARY, {"deep": [{"password": CANARY}], CANARY: [URL]}],
    "default": {"$env": "SOME_KEY", "default": CANARY},
    "connection": {"type": OPENAI, "api_key": CANARY, "url": URL},
}
DATA = json.loads((catalogue.resources.files("workflow_service.dynamiq_config") / "catalogue.json").read_bytes())
CLASSES: Mapping[str, Any] = DATA["connections"]
NODE_TYPES = {accepted: name for name, row in DATA["nodes"].items() for accepted in row.get("connections", ())}
"""A node type for each connection class that a node accepts."""


def connection(kind: str, secret: Any) -> dict[str, Any]:
    return {"type": kind} | dict.fromkeys((*CLASSES[kind], "id", "api_key", "headers", "unheard_of", CANARY), secret)


def nodes_of(number: int, kind: str, secret: Any) -> list[dict[str, Any]]:
    """A node for each place of a connection of this class: its own field, any depth within it, and by id."""
    held, taker = connection(kind, secret), NODE_TYPES.get(kind, LLM)
    inner = {"id": f"f-{number}", "nodes": [{"id": f"x-{number}", "type": taker, "connection": held}]}
    fields: list[dict[str, Any]] = [
        {"type": taker, "connection": held},
        {"type": taker, "connection": f"c-{number}"},
        {"type": "dynamiq.nodes.agents.Agent", "llm": {"id": "l", "type": taker, "connection": held}},
        {"type": "x.Y", "tools": [[{"deep": {"id": "t", "type": taker, "connection": held}}]]},
        {"type": "x.Y", "hooks": [{"type": "h", "detector": {"connection": held}}]},
        {"type": "x.Y", "agent_factory": {"connections": {"c": held}}, "schema": {"connection": held}},
        {"type": "x.Y", "flow": inner},
    ]
    depends = [{"node": "input"}]
    return [{"id": f"n-{number}-{place}", "depends": depends, **field} for place, field in enumerate(fields)]


def flow_with(secret: Any, note: str = "") -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [{"id": "input", "type": INPUT, "note": note}]
    for number, kind in enumerate(CLASSES):
        nodes += nodes_of(number, kind, secret)
    shared = {f"c-{number}": connection(kind, secret) for number, kind in enumerate(CLASSES)}
    return {"id": "flow", "nodes": nodes, "connections": shared}


def config_with(secret: Any) -> str:
    """The same connections in the text of a config.yaml, with `secret` in one."""
    names = {f"c-{number}": kind for number, kind in enumerate(CLASSES)}
    nodes = {f"n-{name}": {"type": NODE_TYPES.get(kind, LLM), "connection": name} for name, kind in names.items()}
    return yaml.safe_dump({
        "connections": {name: connection(kind, secret) for name, kind in names.items()},
        "nodes": nodes,
        "flows": {"flow": {"nodes": list(nodes)}},
        "workflows": {"w": {"flow": "flow"}},
    })  # fmt: skip


HELD = {"type": OPENAI, "api_key": CANARY}
HTTP = {"type": "dynamiq.connections.Http", "method": "GET", "url": URL, "headers": SHAPES["headers"]}
LOADABLE = {
    "id": "flow",
    "nodes": [
        {"id": "llm", "type": LLM, "model": "gpt-4o", "connection": {**HELD, "url": URL}},
        {"id": "http", "type": "dynamiq.nodes.tools.HttpApiCall", "connection": HTTP},
    ],
}
"""A flow that the SDK loads, with secrets where its classes accept them."""


def one(held: Any, kind: str = LLM) -> dict[str, Any]:
    """A node with this value as its connection."""
    return {"id": "a", "type": kind, "connection": held}


def deep(levels: int) -> Any:
    value: Any = CANARY
    for _ in range(levels):
        value = [value]
    return value


BAD_NODES: list[Any] = [
    [one({"api_key": CANARY, "url": URL})],
    [one({"type": CANARY, "api_key": CANARY})],
    [one([CANARY])],
    [one(URL, "x.Y")],
    [one(CANARY), one(CANARY, "dynamiq.nodes.llms.Groq") | {"id": "b"}],
    [one({"$type": "requirement", "$id": CANARY, "api_key": CANARY})],
    [one({"$env": CANARY, "default": [CANARY]})],
    [one(deep(300))],
    [one({**HELD, "pad": "x" * LIMIT})],
    [one(HELD) | {"prompt": CANARY}],
    [one(HELD), one(HELD)],
    [one(HELD, "x.Y") | {"flow": {"nodes": [one(HELD)]}}],
    [one(HELD, "x.Y") | {"flow": HELD}],
    [one(HELD) | {"depends": [{"node": "a"}, {"node": "b", "option": 5}, HELD, {"node": HELD, "option": HELD}]}],
    [one(HELD) | {"depends": HELD}],
    [one(HELD) | {"x": {"$env": HELD}}],
    HELD,
    [CANARY, {"id": CANARY}, {"type": CANARY}, HELD],
]
BAD_FLOWS = [json.dumps({"nodes": nodes}).encode() for nodes in BAD_NODES] + [
    json.dumps({"nodes": [one(HELD)]}).replace(f'"{CANARY}"', text).encode()
    for text in (
        f'"{CANARY}", "api_key": "{CANARY}"',
        f'"{CANARY}\\ud800"',
        f'"{CANARY}", "port": NaN',
        f'"{CANARY}", "port": 1e999',
    )
]
NO_JSON = [
    f'{{"flow": {{"api_key": "{CANARY}", {broken}'.encode() for broken in ("", "}", '"\\q"}', "sk-canary", "\xff")
]
NO_JSON.append(f'{{"flow": "{CANARY}'.encode() + b"\xff")

CONFIG = """
connections: {{c: {{type: dynamiq.connections.OpenAI, api_key: {key}}}}}
nodes: {{a: {{type: dynamiq.nodes.llms.OpenAI, connection: {name}}}}}
flows: {{f: {{nodes: [a]}}}}
workflows: {{w: {{flow: f}}}}
"""
BAD_KEYS = [
    f"!{CANARY} x",
    f"!!{CANARY} x",
    f"!<{CANARY}> x",
    f"!!int {CANARY}",
    f"*{CANARY}",
    f'"{CANARY}',
    f'"{CANARY}\\q"',
    f"[{CANARY}",
    f"@{CANARY}",
    f"%{CANARY}",
    f"{CANARY}: {CANARY}: {CANARY}",
    f"{CANARY}\n  api_key: {CANARY}",
    f"{CANARY}, api_key: {CANARY}",
    f"{CANARY}\x07",
    f'"${{{CANARY}}}"',
    f'"${{oc.env:{CANARY}}}"',
    f'"${{oc.env:A,[{CANARY}]}}"',
    f'"${{oc.decode:{CANARY}}}"',
    f'"${{{CANARY}"',
    f'{{$env: A, default: "{CANARY}"}}',
    f"1e{'9' * 20}",
    f'{{<<: "{CANARY}"}}',
    f'{{? [{CANARY}] : "{CANARY}"}}',
]  # fmt: skip
BAD_CONFIGS = [
    *(CONFIG.format(key=key, name="c") for key in BAD_KEYS),
    CONFIG.format(key="k", name=CANARY),
    CONFIG.format(key="k", name=f'"{URL}"'),
    CONFIG.format(key=CANARY, name="c").replace("type: dynamiq.nodes.llms.OpenAI", f"prompt: {CANARY}, type: x.Y"),
    CONFIG.format(key=CANARY, name="c").replace("connections:", "connections: [") + "]",
    f"connections: {CANARY}",
    CANARY,
    f"- {CANARY}",
]

Call = tuple[str, str, Any, Mapping[str, str]]


def refused(stack: Stack, workflow_id: str, app_id: str) -> list[Call]:
    """Invalid calls: method, path, body, headers."""
    workflow, app, project = f"/v1/workflows/{workflow_id}", f"/v1/apps/{app_id}", str(stack.people.project)
    new = {"name": "flow", "project_id": project, "flow_ui": {}}
    encoded = URL.replace("/", "%2F").replace("?", "%3F").replace("#", "%23")
    calls: list[Call] = []

    def add(method: str, path: str, body: Any = None, **headers: str) -> None:
        calls.append((method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    for flow in BAD_FLOWS:
        in_body: Callable[[str], bytes] = lambda more, flow=flow: (  # noqa: E731
            b'{"flow": ' + flow + b', "flow_ui": {}, ' + more.encode() + b'"project_id": "' + project.encode() + b'"}'
        )
        add("POST", "/v1/workflows", in_body('"name": "flow", '))
        add("POST", f"{workflow}/save", in_body(""))
        add("POST", f"{workflow}/release", in_body('"name": "flow", '))
        add("POST", f"{workflow}/fork", in_body('"name": "fork", '))
        add("POST", "/v1/workflows/export", in_body(""))
        add("POST", "/v1/workflows/validate", in_body(""))
    for body in NO_JSON:
        for path in ("/v1/workflows", f"{workflow}/save", "/v1/workflows/validate", f"{app}/deploy"):
            add("POST", path, body)
    for config in BAD_CONFIGS:
        add("POST", "/v1/workflows/import", {"name": "flow", "project_id": project, "config": config})
    for wrong in (CANARY, [CANARY], {"api_key": CANARY, "headers": SHAPES["headers"]}, URL):
        add("POST", "/v1/workflows", {**new, "flow": wrong})
        add("POST", "/v1/workflows", {**new, "flow": {}, "flow_ui": wrong})
        add("POST", "/v1/workflows", dict.fromkeys(("name", "project_id", "flow", "flow_ui", "description"), wrong))
        add("PUT", workflow, {"name": wrong})
        add("POST", f"{workflow}/save", {"flow": wrong, "flow_ui": wrong, "base_version_id": wrong})
        add("POST", "/v1/workflows/import", {"name": "flow", "project_id": project, "config": wrong})
        add("POST", f"{workflow}/fork", {"name": wrong, "workflow_version_id": wrong})
        add("POST", "/v1/apps", dict.fromkeys(("name", "project_id", "workflow_id", "access_control"), wrong))
        add("POST", f"{app}/deploy", {"workflow_id": workflow_id, "deployment_config": wrong})
        add("POST", f"{app}/deploy", {"workflow_id": workflow_id, "plan_token": wrong})
        config = {"deployment_type": wrong, "config": {"autoscaling": {"metrics": wrong, "min_replicas": wrong}}}
        add("POST", f"{app}/deploy/plan", {"workflow_id": workflow_id, "deployment_config": config})
        add("POST", f"{app}/rollback", {"deployment_id": wrong})
    for key in ("project_id", "sort", "page", "page_size", "status", "created_at:gte", "include_archived", "live_at"):
        for path in ("/v1/workflows", "/v1/apps", f"{workflow}/versions", f"{app}/deployments", "/v1/access-keys"):
            add("GET", f"{path}?{key}={CANARY}" + ("" if key == "project_id" else f"&project_id={project}"))
            add("GET", f"{path}?{key}={encoded}")
    for thing in (encoded, CANARY):
        for path in ("", f"/{thing}", "/v1/{}", "/v1/workflows/{}", "/v1/workflows/{}/save", "/v1/apps/{}/deploy"):
            add("GET", path.format(thing))
            add("POST", path.format(thing) or "/", {"api_key": CANARY})
        add("GET", f"{workflow}/versions/{thing}")
        add("GET", f"{workflow}/versions/{thing}/diff/{thing}")
    add(CANARY.upper(), workflow)
    add("PATCH", workflow, {"api_key": CANARY})
    add("POST", f"{workflow}/save", {"flow": {"nodes": [{"id": "a", "type": "x.Y"}]}, "flow_ui": {}}, If_Match=CANARY)
    add("GET", workflow, Authorization=f"Bearer {CANARY}")
    add("GET", workflow, Authorization=f"Basic {CANARY}")
    add(
        "GET",
        workflow,
        Content_Type=CANARY,
        Accept=URL,
        Cookie=f"key={CANARY}",
        Referer=URL,
        X_Request_Id=f"{CANARY} x",
    )
    add("POST", "/v1/workflows", b" " * (4 * LIMIT) + CANARY.encode())
    return calls


def saved(flow: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"flow": flow, "flow_ui": json.loads(FLOW_UI), **fields}
