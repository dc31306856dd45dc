"""The smallest valid objects of the SDK's classes by the catalogue's schemas, and values to try in their fields."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from workflow_service.dynamiq_config import schemas

TOOL = {"type": "dynamiq.nodes.tools.Python", "code": "def run(input_data):\n    return 1\n"}
OPENAI = {"type": "dynamiq.connections.OpenAI", "api_key": "k"}
LLM = {"type": "dynamiq.nodes.llms.OpenAI", "model": "gpt-4o", "connection": OPENAI}
VALUES = [
    None, "", "x", "5", "yes", 5, 0, -1, 5.5, 1e9, True, [], ["x"], [5], [{}], {}, {"a": 1}, {"a": "x"},
    TOOL, LLM, [TOOL], OPENAI,
]  # fmt: skip
_USUAL: dict[str, dict[str, Any]] = {
    "dynamiq.nodes.Node": TOOL,
    "dynamiq.nodes.llms.BaseLLM": LLM,
    "dynamiq.memory.backends.MemoryBackend": {"type": "dynamiq.memory.backends.InMemory"},
    "dynamiq.nodes.agents.base.Agent": {"type": "dynamiq.nodes.agents.Agent", "name": "a", "llm": LLM},
}
_MORE: dict[str, dict[str, Any]] = {
    "dynamiq.nodes.tools.Judgement": {"judge": LLM},
    "dynamiq.nodes.tools.SubAgentTool": {"agent_factory": {"a": 1}},
    "dynamiq.nodes.tools.ParallelToolCallsTool": {"name": "run-parallel"},
    "dynamiq.storages.memory.CompositeMemoryStore": {
        "routes": {"a": {"type": "dynamiq.storages.memory.DynamiqMemoryStore", "memory_store_id": "x"}}
    },
}
_SCALARS = {
    "str": "x", "int": 1, "float": 1.0, "bool": True, "bytes": "x", "date": "2024-01-01",
    "datetime": "2024-01-01T00:00:00",
}  # fmt: skip


@cache
def schema(name: str) -> dict[str, Any]:
    """The catalogue's schema of a class, with that of its base classes."""
    rows = schemas.rows()
    found: dict[str, Any] = {"properties": {}}
    for above in (*reversed(rows[name].get("above", ())), name):
        found["properties"] |= rows[above].get("properties", {})
        found |= {key: rows[above][key] for key in ("required", "rules") if key in rows[above]}
    return found


def nodes() -> list[str]:
    """Each class of node that can be instantiated."""
    rows = schemas.rows().items()
    return [name for name, row in rows if "dynamiq.nodes.Node" in row.get("above", ()) and not row.get("abstract")]


def own_fields(name: str) -> dict[str, Any]:
    """The fields of a class that its base classes lack."""
    return schemas.rows()[name].get("properties", {})


def node(name: str) -> dict[str, Any]:
    return {"id": "n", "name": "n", "type": name, **sample(name)}


def sample(name: str, depth: int = 0) -> dict[str, Any]:
    found = schema(name)
    wanted = [*found.get("required", ())]
    if any("validate_connection" in rule for rule in found.get("rules", ())):
        wanted.append("connection")
    fields = {key: _value(found["properties"][key], depth + 1) for key in wanted}
    return json.loads(json.dumps(fields | _MORE.get(name, {})))


def _value(found: dict[str, Any], depth: int) -> Any:
    if "object" in found:
        return _USUAL.get(found["object"]) or next(_objects(found["object"], depth))
    if "enum" in found:
        return found["enum"][0]
    if "anyOf" in found:
        return next(_value(one, depth) for one in found["anyOf"] if one != {"type": "null"})
    if "scalar" in found:
        kind = found["scalar"]
        return _SCALARS[kind if isinstance(kind, str) else kind["type"]]
    if found.get("type") == "array":
        return [_value(found["items"], depth)] * found.get("minItems", 0)
    return {} if found.get("type") == "object" else "x"


def _objects(above: str, depth: int) -> Iterator[dict[str, Any]]:
    for name, row in schemas.rows().items():
        if not row.get("abstract") and above in (name, *row.get("above", ())):
            is_plain = name == above and not {"dynamiq.nodes.Node", "dynamiq.connections.BaseConnection"} & set(
                row.get("above", ())
            )
            yield sample(name, depth) if is_plain else {"type": name, **sample(name, depth)}
