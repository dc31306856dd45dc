"""What keeps the SDK from loading a flow, and what is unusual about it."""

import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from workflow_service.sdk.config import Config
from workflow_service.sdk.problems import MAX_NODES, MAX_VALUES, Problem, Problems, is_too_large, shown

INPUT = "dynamiq.nodes.utils.Input"
_SLUG = re.compile(r"[a-z0-9]([a-z0-9]|-[a-z0-9])*")
_DEPENDENCY = {"node", "option", "trigger", "condition"}
_MAX_CIRCLE = 10  # nodes of a circle that a sentence names


def problems(flow: dict[str, Any]) -> list[Problem]:
    """Errors, then warnings, of a flow that passed the light check; at most MAX_PROBLEMS of each.

    Takes time and memory in proportion to the flow, whatever its shape; of a flow above MAX_NODES or MAX_VALUES it
    says no more than that.
    """
    return checked(flow)[1]


def checked(flow: dict[str, Any]) -> tuple[Config | None, list[Problem]]:
    """The mappings of its config.yaml as well, unless it is too large."""
    if len(flow["nodes"]) > MAX_NODES:
        return None, [Problem("flow.nodes", f"are more than {MAX_NODES:,}", "error")]
    if is_too_large(flow):
        return None, [Problem("flow", f"holds more than {MAX_VALUES:,} values", "error")]
    config = Config(flow)
    for path, found in config.flows_found:
        _check_dependencies(found["nodes"], path, config.problems)
    _check_habits(flow["nodes"], config.problems)
    return config, sorted(config.problems.found, key=lambda problem: problem.severity)


def _check_dependencies(nodes: list[dict[str, Any]], path: str, problems: Problems) -> None:
    options = {node["id"]: _options(node) for node in nodes}
    edges: dict[str, list[str]] = {}
    for index, node in enumerate(nodes):
        where = f"{path}.nodes[{index}].depends"
        depends = node.get("depends", [])
        if not isinstance(depends, list):
            problems.error(where, 'must be a list of {"node", "option"?, "trigger"?}')
            continue
        for position, dependency in enumerate(depends):
            for key, message in _wrong_with(dependency, options):
                problems.error(f"{where}[{position}]{key}", message)
            if isinstance(dependency, dict) and isinstance(name := dependency.get("node"), str) and name in options:
                edges.setdefault(node["id"], []).append(name)
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle = [shown(name)[1:-1] for name in reversed(error.args[1])]
        if len(circle) > _MAX_CIRCLE:
            circle = [*circle[: _MAX_CIRCLE - 1], f"… {len(circle) - _MAX_CIRCLE} more …", circle[-1]]
        problems.error(f"{path}.nodes", f"depend on each other in a circle: {' → '.join(circle)}")


def _wrong_with(dependency: Any, options: dict[str, set[str] | None]) -> Iterator[tuple[str, str]]:
    """The key and the sentence of each problem."""
    name = dependency.get("node") if isinstance(dependency, dict) else None
    if not isinstance(name, str) or dependency.keys() - _DEPENDENCY:
        yield "", 'must be {"node", "option"?, "trigger"?}'
        return
    option, trigger = dependency.get("option"), dependency.get("trigger", "success")
    if trigger not in ("success", "failure"):
        yield ".trigger", 'must be "success" or "failure"'
    if name not in options:
        yield ".node", f"names no node: {shown(name)}"
    elif option is not None and not isinstance(option, str):
        yield ".option", "must be the id of an option"
    elif option and trigger == "failure":
        yield ".option", "is taken when its node succeeds, so it cannot go with the trigger failure"
    elif option and (known := options[name]) is not None and option not in known:
        yield ".option", f"names no option of {shown(name)}: {shown(option)}"


def _options(node: dict[str, Any]) -> set[str] | None:
    """The ids of a node's options; None for a class of someone's own, which may have them without writing them out."""
    if not isinstance(options := node.get("options"), list):
        return set() if node["type"].startswith("dynamiq.") else None
    return {option["id"] for option in options if isinstance(option, dict) and isinstance(option.get("id"), str)}


def _check_habits(nodes: list[dict[str, Any]], problems: Problems) -> None:
    types = Counter(node["type"] for node in nodes)
    if types[INPUT] != 1:
        problems.warn("flow.nodes", f"have {types[INPUT] or 'no'} nodes of type {INPUT}; one is usual")
    for index, node in enumerate(nodes):
        for key in ("id", "name"):
            if (text := node.get(key)) is not None and not (isinstance(text, str) and _SLUG.fullmatch(text)):
                problems.warn(f"flow.nodes[{index}].{key}", "is not of lower-case letters, digits and single hyphens")
        if node["type"] != INPUT and not node.get("depends"):
            problems.warn(f"flow.nodes[{index}].depends", "is missing: the node waits for no other")
