"""Writes catalogue.json and schemas.json; run with the SDK's Python, `python …/dynamiq_config/make_catalogue.py`."""

import enum
import importlib
import importlib.metadata
import inspect
import json
import pkgutil
import re
import sys
import types
import typing
import warnings
from collections import defaultdict
from functools import partial
from pathlib import Path

from make_schemas import Schemas

FOLDER = Path(__file__).parent
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")


def main() -> None:
    warnings.simplefilter("ignore")
    import dynamiq
    from dynamiq.connections import BaseConnection
    from dynamiq.flows import Flow
    from dynamiq.nodes.agents.hooks.builtin import DetectorConfig
    from dynamiq.nodes.agents.hooks.core import HOOK_REGISTRY
    from dynamiq.nodes.node import Node
    from dynamiq.prompts import Prompt
    from pydantic import BaseModel

    for module in pkgutil.walk_packages(dynamiq.__path__, "dynamiq."):
        if not module.name.startswith("dynamiq.cli"):
            importlib.import_module(module.name)
    connections = {loads_as(cls): fields_of(cls) for cls in concrete(BaseConnection)}
    names = other_names()
    nodes, components = {}, {}
    for cls in concrete(BaseModel):
        accepts = (
            [
                loads_as(accepted)
                for accepted in connection_classes(cls.model_fields["connection"].annotation, BaseConnection)
                if not inspect.isabstract(accepted)
            ]
            if "connection" in cls.model_fields
            else []
        )
        row = {"connections": accepts} if accepts else {}
        if aliases := sorted(names[cls] - {loads_as(cls)}):
            row["aliases"] = aliases
        if issubclass(cls, Node) and cls.__module__.startswith("dynamiq.nodes."):
            group = cls.model_fields["group"].default
            nodes[loads_as(cls)] = {"group": group.value, "name": cls.__name__, **row}
        elif accepts:
            components[loads_as(cls)] = row
    folder = Path(*sys.argv[1:2] or [FOLDER])
    write(folder / "catalogue.json", importlib.metadata.version("dynamiq"), nodes, components, connections)
    schemas = Schemas(
        [Node, BaseConnection, Flow, Prompt, DetectorConfig, *HOOK_REGISTRY.values()], loads_as, BaseModel
    )
    listed = {key: row for rows in (nodes, components) for key, row in rows.items()}
    hooks = {kind: loads_as(cls) for kind, cls in HOOK_REGISTRY.items()}
    write_schemas(folder / "schemas.json", hooks, schemas.rows(names, listed))


def concrete(base: type) -> list[type]:
    """All subclasses that a dotted name of the SDK loads."""
    found, left = {}, [base]
    while left:
        cls = left.pop()
        left += cls.__subclasses__()
        name = cls.__name__
        if not cls.__module__.startswith("dynamiq.") or name.startswith(("_", "Base")) or inspect.isabstract(cls):
            continue
        if getattr(sys.modules[cls.__module__], name, None) is cls:
            found[loads_as(cls)] = cls
    return [found[name] for name in sorted(found)]


def loads_as(cls: type) -> str:
    """The name that the SDK writes as `type` if it loads, otherwise the full name."""
    package = cls.__module__.rpartition(".")[0]
    exported = getattr(sys.modules.get(package), cls.__name__, None) is cls
    return f"{package if exported else cls.__module__}.{cls.__name__}"


def other_names() -> dict[type, set[str]]:
    """All dotted names that load each class. Modules import each other's classes, and some rename them."""
    names = defaultdict(set)
    for name, module in list(sys.modules.items()):
        if name.startswith("dynamiq."):
            late = re.findall(r'"([A-Z]\w+)"', inspect.getsource(module)) if hasattr(module, "__getattr__") else ()
            for attribute in {*vars(module), *late}:
                found = getattr(module, attribute, None)
                if inspect.isclass(found):
                    names[found].add(f"{name}.{attribute}")
    return names


def connection_classes(annotation: object, base: type) -> list[type]:
    if inspect.isclass(annotation) and issubclass(annotation, base):
        return [annotation]
    return [cls for part in typing.get_args(annotation) for cls in connection_classes(part, base)]


def fields_of(cls: type) -> dict[str, dict[str, object]]:
    fields = {}
    for name, field in cls.model_fields.items():
        if name == "id":
            continue
        found = kind_of(field.annotation)
        env, default = variable_of(field.default_factory)
        if env:
            found["env"] = env
        if field.is_required():
            found["required"] = True
        elif field.default_factory is None:
            default = field.default
        if isinstance(default, enum.Enum):
            default = default.value
        if isinstance(default, str | int | float | bool):
            found["default"] = default
        fields[field.alias or name] = found
    return dict(sorted(fields.items()))


def kind_of(annotation: object) -> dict[str, object]:
    parts = typing.get_args(annotation) if is_union(annotation) else (annotation,)
    found: dict[str, object] = {"kind": "object"}
    for part in (part for part in parts if part is not type(None)):
        if typing.get_origin(part) is typing.Literal:
            found = {"kind": "literal", "values": [getattr(v, "value", v) for v in typing.get_args(part)]}
        elif not inspect.isclass(part):
            continue
        elif issubclass(part, enum.Enum):
            found = {"kind": "enum", "values": [member.value for member in part]}
        elif part is bool:
            found = {"kind": "boolean"}
        elif part in (int, float):
            found = {"kind": "number"}
        elif part is str:
            found = {"kind": "string"}
            break
    if type(None) in parts:
        found["nullable"] = True
    return found


def is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def variable_of(factory: object) -> tuple[str | None, object]:
    """The environment variable that a default reads, and the value if the variable is not set."""
    if isinstance(factory, partial):
        name, *rest = factory.args
        return name, rest[0] if rest else factory.keywords.get("default_value")
    names = [c for c in getattr(getattr(factory, "__code__", None), "co_consts", ()) if isinstance(c, str)]
    return next((name for name in names if VARIABLE.fullmatch(name)), None), None


def write(path: Path, version: str, nodes: dict, components: dict, connections: dict) -> None:
    """One line for each node type and each field, so that a new SDK shows as a readable diff."""

    def rows(section: dict, indent: str) -> str:
        lines = (f"{indent}{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(section.items()))
        return "{\n" + ",\n".join(lines) + f"\n{indent[:-1]}}}"

    classes = ",\n".join(f"  {json.dumps(name)}: {rows(found, '   ')}" for name, found in sorted(connections.items()))
    path.write_text(
        f'{{\n "sdk": {json.dumps(version)},\n "nodes": {rows(nodes, "  ")},\n'
        f' "components": {rows(components, "  ")},\n "connections": {{\n{classes}\n }}\n}}\n'
    )


def write_schemas(path: Path, hooks: dict, classes: dict) -> None:
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in classes.items())
    path.write_text(f'{{\n "hooks": {json.dumps(hooks, sort_keys=True)},\n "classes": {{\n{rows}\n }}\n}}\n')


if __name__ == "__main__":
    main()
