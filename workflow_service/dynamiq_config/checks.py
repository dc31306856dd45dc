"""Finds what prevents the SDK from loading a flow, and what is unusual about the flow."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from service_kit.documents import holds_more_than
from service_kit.paths import Path, below
from workflow_service.dynamiq_config.config import Config
from workflow_service.dynamiq_config.loading import Loading, dependency_problems
from workflow_service.dynamiq_config.problems import MAX_NODES, MAX_VALUES, Problem, Problems, shown
from workflow_service.dynamiq_config.secret_search import is_suspicious
from workflow_service.dynamiq_config.secret_values import may_hold
from workflow_service.dynamiq_config.selector_checks import INPUT, check_selectors
from workflow_service.flow import parse_flow

_SLUG = re.compile(r"[a-z0-9]([a-z0-9]|-[a-z0-9])*")
_DEPENDENCY = {"node", "option", "trigger", "condition"}
_MAX_CIRCLE = 10  # maximum nodes of a cycle that a sentence names


def problems(flow: dict[str, Any]) -> list[Problem]:
    """Errors, then warnings, of a flow that passed the light check; at most MAX_PROBLEMS of each.

    Time and memory grow in proportion to the flow, whatever its shape. For a flow above MAX_NODES or MAX_VALUES, the
    only problem is its size.
    """
    return checked(flow)[1]


def problems_of(flow: bytes, limit: int) -> list[Problem]:
    """The problems of a document. Raises FlowTooLarge or InvalidFlow."""
    return problems(parse_flow(flow, limit))


def problems_of_saved(flow: bytes) -> list[Problem]:
    return problems(json.loads(flow))


def may_have_secrets(flow: bytes) -> bool:
    """Whether `secrets_in_saved` could find a secret. Costs a tenth of it."""
    return may_hold(flow) and is_suspicious(flow.decode())


def secrets_in_saved(flow: bytes) -> list[Problem]:
    """The warnings about secrets."""
    return [problem for problem in problems_of_saved(flow) if problem.about_secret]


def checked(flow: dict[str, Any], *, keep_values: bool = False) -> tuple[Config | None, list[Problem]]:
    """The mappings of the flow's config.yaml (None if it is too large), and its problems. `keep_values` is as for
    Config."""
    if len(flow["nodes"]) > MAX_NODES:
        return None, [Problem("flow.nodes", f"are more than {MAX_NODES:,}", "error")]
    if holds_more_than(MAX_VALUES, flow):
        return None, [Problem("flow", f"holds more than {MAX_VALUES:,} values", "error")]
    config = Config(flow, keep_values=keep_values)
    Loading(flow.get("connections"), flow.get("prompts"), config.problems).check_flow(flow, "flow")
    for path, found in config.flows_found:
        _check_dependencies(found["nodes"], path, config.problems)
        check_selectors(found, path, config.problems)
    _check_habits(flow["nodes"], config.problems)
    return config, config.problems.found


def _check_dependencies(nodes: list[dict[str, Any]], path: Path, problems: Problems) -> None:
    options = {node["id"]: _options(node) for node in nodes}
    edges: dict[str, list[str]] = {}
    for index, node in enumerate(nodes):
        where = below(path, "nodes", index, "depends")
        depends = node.get("depends", [])
        if not isinstance(depends, list):
            problems.error(where, 'must be a list of {"node", "option"?, "trigger"?}')
            continue
        named: set[str] = set()
        for position, dependency in enumerate(depends):
            for keys, message in _wrong_with(dependency, options):
                problems.error(below(where, position, *keys), message)
            if isinstance(dependency, dict) and isinstance(name := dependency.get("node"), str) and name in options:
                edges.setdefault(node["id"], []).append(name)
                if name in named:
                    problems.error(below(where, position), f"names {shown(name)} again: a node waits for another once")
                named.add(name)
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle = [shown(name)[1:-1] for name in reversed(error.args[1])]
        if len(circle) > _MAX_CIRCLE:
            circle = [*circle[: _MAX_CIRCLE - 1], f"… {len(circle) - _MAX_CIRCLE} more …", circle[-1]]
        problems.error((path, "nodes"), f"depend on each other in a circle: {' → '.join(circle)}")


def _wrong_with(dependency: Any, options: dict[str, set[str] | None]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The keys below the dependency, and the sentence of each problem."""
    name = dependency.get("node") if isinstance(dependency, dict) else None
    if not isinstance(name, str) or dependency.keys() - _DEPENDENCY:
        yield (), 'must be {"node", "option"?, "trigger"?}'
        return
    yield from dependency_problems(dependency)
    option, trigger = dependency.get("option"), dependency.get("trigger", "success")
    if name not in options:
        yield ("node",), f"must be a node of the flow, not {shown(name)}"
    elif isinstance(option, str) and option:
        if trigger == "failure":
            yield ("option",), "is taken when its node succeeds, so it cannot go with the trigger failure"
        elif (known := options[name]) is not None and option not in known:
            yield ("option",), f"must be an option of {shown(name)}: {shown(option)}"


def _options(node: dict[str, Any]) -> set[str] | None:
    """The ids of a node's options. None for a custom class, whose options may not be in the flow."""
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
                where = below("flow.nodes", index, key)
                problems.warn(where, "is not of lower-case letters, digits and single hyphens")
        if node["type"] != INPUT and not node.get("depends"):
            problems.warn(below("flow.nodes", index, "depends"), "is missing: the node waits for no other")
