"""Packs a flow for the Dynamiq SDK: a ZIP of config.yaml, which Workflow.from_yaml_file loads, and main.py."""

import io
import re
import zipfile
from graphlib import CycleError, TopologicalSorter
from typing import Any

import yaml

from workflow_service.errors import InvalidFlow

WORKFLOW_ID = "workflow"
MAIN = """\
from dynamiq import Workflow

wf = Workflow.from_yaml_file(file_path="config.yaml")
print(wf.run(input_data={}))
"""
# The same flow gives the same bytes; this is the earliest time that a ZIP can say.
EPOCH = (1980, 1, 1, 0, 0, 0)


def export_zip(flow: dict[str, Any]) -> bytes:
    """The archive of a flow that passed the light check. Raises InvalidFlow for what the SDK could not load."""
    if problems := load_problems(flow["nodes"]):
        raise InvalidFlow(problems)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in (("config.yaml", _config(flow)), ("main.py", MAIN)):
            file.writestr(zipfile.ZipInfo(name, EPOCH), text.encode("utf-8"), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def load_problems(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """What keeps the SDK from loading these nodes, by path."""
    ids = {node["id"] for node in nodes}
    problems = {}
    graph: dict[str, list[str]] = {}
    for index, node in enumerate(nodes):
        path = f"flow.nodes[{index}]"
        for where in _connections(node, path):
            problems[where] = "cannot be exported yet: connections come with the node catalogue"
        depends = node.get("depends", [])
        if not isinstance(depends, list):
            problems[f"{path}.depends"] = 'must be a list of {"node", "option"?, "trigger"?}'
            continue
        for position, dependency in enumerate(depends):
            where = f"{path}.depends[{position}]"
            name = dependency.get("node") if isinstance(dependency, dict) else None
            if not isinstance(name, str) or dependency.keys() - {"node", "option", "trigger"}:
                problems[where] = 'must be {"node", "option"?, "trigger"?}'
            elif name not in ids:
                problems[f"{where}.node"] = f"names no node: {name!r}"
            else:
                graph.setdefault(node["id"], []).append(name)
    if not problems:
        problems = _cycle(graph)
    return problems


def _connections(value: Any, path: str) -> list[str]:
    """Paths of what is called `connection`, at any depth."""
    found, left = [], [(path, value)]
    while left:
        path, value = left.pop()
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:
            where = f"{path}.{key}" if isinstance(key, str) else f"{path}[{key}]"
            if key == "connection" and child is not None:
                found.append(where)
            else:
                left.append((where, child))
    return found


def _cycle(graph: dict[str, list[str]]) -> dict[str, str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return {"flow.nodes": f"depend on each other in a circle: {' → '.join(reversed(error.args[1]))}"}
    return {}


def _config(flow: dict[str, Any]) -> str:
    nodes = {node["id"]: {key: value for key, value in node.items() if key != "id"} for node in flow["nodes"]}
    flow_id = flow.get("id") if isinstance(flow.get("id"), str) else "flow"
    extra = {key: value for key, value in flow.items() if key not in ("id", "nodes")}
    config = {
        "connections": {},
        "nodes": _escape(nodes),
        "flows": {flow_id: _escape({"nodes": list(nodes), **extra})},
        "workflows": {WORKFLOW_ID: {"flow": _escape(flow_id)}},
    }
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)


class _Dumper(yaml.CSafeDumper):
    """Writes every value out: the SDK's loader knows no anchors we would have to explain."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# The SDK's loader reads 1e5 as a number, PyYAML as text: text that looks so is quoted.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _escape(value: Any) -> Any:
    """The same with each literal `${` escaped, and so the backslashes before it: the SDK's loader reads both."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, dict):
        return {key: _escape(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_escape(child) for child in value]
    return value
