"""Finds the objects that the SDK's loader builds for a node: the node itself, and models, tools and memories at any
depth."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service_kit.paths import Path, below
from workflow_service.dynamiq_config import catalogue
from workflow_service.dynamiq_config.connections import dotted_type

# Keys whose values the loader passes on unchanged.
_VERBATIM = ("agent_factory", "connection", "prompt", "response_format", "schema")
_DETECTORS = {"llama_guard": "dynamiq.nodes.detectors.LlamaGuardDetector"}
_DETECTOR = "dynamiq.nodes.detectors.PromptInjectionDetector"


@dataclass(frozen=True, slots=True)
class NestedObject:
    """An object that the loader reads. If it has a `type`, the loader builds an instance of that class."""

    path: Path
    value: dict[str, Any]
    type: str | None


def built_objects(node: dict[str, Any], path: Path) -> Iterator[NestedObject]:
    """The objects in the order of the document. Objects that the caller adds meanwhile are not visited."""
    left: list[tuple[Path, Any, str | None]] = [(path, node, None)]
    while left:
        path, value, usual_type = left.pop()
        if isinstance(value, list):
            left += reversed([((path, index), child, None) for index, child in enumerate(value)])
        elif isinstance(value, dict):
            type_name = dotted_type(value) or usual_type
            if type_name is None or not catalogue.is_connection(type_name):
                children = list(_children(value, path, type_name))
                yield NestedObject(path, value, type_name)
                left += reversed(children)


def _children(value: dict[str, Any], path: Path, type_name: str | None) -> Iterator[tuple[Path, Any, str | None]]:
    for key, child in value.items():
        if key == "hooks" and isinstance(child, list):
            # The loader builds only the detector of a hook. Older flows name the detector's class by a kind.
            for index, hook in enumerate(child):
                if isinstance(hook, dict) and isinstance(detector := hook.get("detector"), dict):
                    usual_type = _DETECTORS.get(str(detector.get("kind")), _DETECTOR)
                    yield below(path, "hooks", index, "detector"), detector, usual_type
        elif key not in _VERBATIM and not (type_name and key in ("flow", "flows")):
            yield (path, key), child, None
