"""Makes example objects. A value depends on the field's name if that is known, otherwise on its schema, so examples are
consistent."""

import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from gateway.openapi.example_values import OF_RPCS, TIME, VALUES
from gateway.openapi.schemas import Schema

SELDOM = (
    "archived_at",
    "archived_by",
    "identical_to",
    "error",
    "live_to",
    "autoscaling",
    "revoked_at",
    "archived",
    "source_deployment_id",
    "health_note",
)
"""Optional fields that are usually missing in answers."""
UNLISTED = ("flow", "flow_ui", "key")
"""Fields that lists leave out."""
TOLD = ("description", "reason")
"""Optional fields that are usually set in requests."""


def fitted(rpc: str, example: dict[str, Any]) -> dict[str, Any]:
    """The example of a request or an answer, with the values of OF_RPCS."""
    found = {name: OF_RPCS[rpc].get(name, value) for name, value in example.items()} if rpc in OF_RPCS else example
    if rpc in OF_RPCS and "kind" in example.get("data", {}):
        found["data"] = {**example["data"], **OF_RPCS[rpc]}
    return found


class Examples:
    def __init__(self, components: Mapping[str, Schema], *, asked: bool) -> None:
        self._components = components
        self._asked = asked

    def of(self, schema: Schema, name: str = "", owner: str = "") -> Any:
        """An instance of `schema`.

        `name` is that of the field. `owner` is the last word of the message that has the field: `version` for a
        LatestVersion.
        """
        schema = next((each for each in schema.get("anyOf", []) if "$ref" in each), schema)
        if "$ref" in schema:
            referred = schema["$ref"].rpartition("/")[2]
            target = self._components[referred]
            # The owner of an enum is the message that has the field. A message is the owner of its own fields.
            noun = owner if "enum" in target else last_word(re.sub("(Ref|Input|Request|Response)$", "", referred))
            return self.of(target, name, noun)
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "array":
            return [_without(UNLISTED, self.of(schema["items"], name, owner))]
        if kind == "object" and "properties" in schema:
            return self._object(schema, owner)
        if schema.get("format") == "uuid":
            return _id(owner if name == "id" else "person" if name.endswith("_by") else name.removesuffix("_id"))
        return _value(schema, kind, name, owner)

    def _object(self, schema: Schema, owner: str) -> Any:
        required = schema.get("required", [])
        found = {}
        for name, field in schema["properties"].items():
            usual = name in TOLD if self._asked and required else name not in SELDOM
            if name in required or usual:
                value = self.of(field, name, owner)
                found[name] = _without(UNLISTED, value) if "ithout flow" in field["description"] else value
        return found


def _without(names: Collection[str], value: Any) -> Any:
    return {name: each for name, each in value.items() if name not in names} if isinstance(value, dict) else value


def _value(schema: Schema, kind: str | None, name: str, owner: str) -> Any:
    values = VALUES.get(kind or "any", {})
    value = schema.get("default", values.get(f"{owner}.{name}", values.get(name)))
    if "enum" in schema:
        return value if value in schema["enum"] else schema["enum"][0]
    if schema.get("format") == "date-time":
        return TIME
    return _plain(schema, kind, name) if value is None else value


def _plain(schema: Schema, kind: str | None, name: str) -> Any:
    match kind:
        case "string":
            return name.replace("_", " ")
        case "integer":
            return max(1, schema["minimum"])
        case "number":
            return 0.5
        case "boolean":
            return False
        case "object":
            return {}
    return "any"


def _id(noun: str) -> str:
    digest = hashlib.sha256(last_word(noun).encode()).hexdigest()
    return f"0199c2f1-7a3e-7{digest[:3]}-8{digest[3:6]}-{digest[6:18]}"


def last_word(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower().rpartition("_")[2]
