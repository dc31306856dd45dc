"""Warns of selectors that read from a missing node. In the SDK they run but return nothing."""

import re
from typing import Any

from service_kit.paths import Path, below
from workflow_service.dynamiq_config.problems import Problems, shown

INPUT = "dynamiq.nodes.utils.Input"
_MAX_CHARS = 1000  # maximum characters of an expression
_SOURCE = re.compile(
    r"""\$(?: \.(?P<dotted>[A-Za-z0-9_-]+) | \[(?P<quote>["'])(?P<quoted>[^"']+)(?P=quote)\] )
        (?P<output> (?:\.|\[["'])(?:input|output)\b )?""",
    re.VERBOSE,
)


def check_selectors(flow: dict[str, Any], path: Path, problems: Problems) -> None:
    """Warn of expressions that name neither a node of the flow nor a field of its input."""
    names = {node["id"] for node in flow["nodes"]}
    inputs = _inputs(flow["nodes"])
    for index, node in enumerate(flow["nodes"]):
        transformer = node.get("input_transformer")
        if not isinstance(transformer, dict):
            continue
        where = below(path, "nodes", index, "input_transformer")
        # If there is a path, selectors read only from its result.
        if transformer.get("path"):
            expressions = {"path": transformer["path"]}
        else:
            selector = transformer.get("selector")
            expressions, where = selector if isinstance(selector, dict) else {}, (where, "selector")
        for key, expression in expressions.items():
            for source in _sources(expression, inputs):
                if source not in names:
                    problems.warn((where, key), f"reads from {shown(source)}, which is not a node of the flow")


def _inputs(nodes: list[dict[str, Any]]) -> set[str] | None:
    """The fields of the flow's input. None if its nodes do not define them."""
    found: set[str] = set()
    for node in nodes:
        if node["type"] == INPUT:
            schema = node.get("schema")
            properties = schema.get("properties") if isinstance(schema, dict) else None
            if not isinstance(properties, dict) or not properties:
                return None
            found |= properties.keys()
    return found or None


def _sources(expression: Any, inputs: set[str] | None) -> list[str]:
    """The nodes that an expression reads from, without fields of the input. `||` separates alternatives."""
    if not isinstance(expression, str) or len(expression) > _MAX_CHARS:
        return []
    found = []
    for one in expression.split("||"):
        match = _SOURCE.match(one.strip())
        if match and (match["output"] or (inputs is not None and not inputs & {match["dotted"], match["quoted"]})):
            found.append(match["dotted"] or match["quoted"])
    return found
