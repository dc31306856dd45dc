"""Makes JSON Schemas of the SDK's classes from pydantic's core schemas. Part of make_catalogue.py.

In addition to the standard keywords there are three of our own, which `schemas.py` reads:

- `scalar`: pydantic accepts the value for this leaf of a core schema. For example, it accepts `"5"` as an integer.
- `object`: the value is an object of this class or a subclass that the loader has built, or the object's fields.
- `rules`: the SDK's own validators, which `rules.py` implements again.
"""

import inspect
import re
from collections.abc import Callable

SCALARS = {"str", "int", "float", "bool", "bytes", "date", "datetime"}
BOUNDS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern", "strip_whitespace")
NO_VALUE = {"not": {}}
"""A schema that matches no JSON value, for Python objects that the loader does not build."""
CHECK_CONNECTION = ("ConnectionNode.validate_connection_client", "VectorStoreNode.validate_connection_client")
CHECKED_WHEN_MADE = ("Agent", "DecisionTable", "Expression", "Rules")
"""Classes whose constructors refuse values that their fields take."""
UNCHECKED = {
    "Composio": ["input_props"],
    "VertexAIDocumentEmbedder": ["model", "input_type"],
    "VertexAITextEmbedder": ["model", "input_type"],
}
"""Constructor arguments that set fields without validation."""
ANYTHING_BEFORE = ("Rule.unknown_policy_is_unset",)
"""Validators that run before the field's own check and turn every value into a valid one."""
NULL_BEFORE = ("Dynamiq.normalize_skills",)
INHERITED = {"required": [], "rules": [], "additionalProperties": True}


class Schemas:
    """Schemas of `roots`, of the classes in their fields, and of all their subclasses in the SDK."""

    def __init__(self, roots: list[type], loads_as: Callable[[type], str], base: type) -> None:
        self._loads_as, self._base = loads_as, base
        self._left = list(roots)
        self._classes = {}
        self._definitions = {}
        while self._left:
            cls = self._left.pop()
            if cls not in self._classes:
                self._classes[cls] = self._class(cls)

    def rows(self, names: dict[type, set[str]], listed: dict) -> dict[str, dict]:
        """One row per class: its differences from its base classes. `above` lists these, the nearest first.

        `names` are the dotted names that load each class. For `listed` classes, the catalogue has them.
        """
        known = set(self._classes)
        rows = {}
        for cls in sorted(known, key=lambda cls: (len(cls.__mro__), self._loads_as(cls))):
            above = [self._loads_as(base) for base in cls.__mro__[1:] if base in known]
            name = self._loads_as(cls)
            row = {"above": above} if above else {}
            if name not in listed and (aliases := sorted(names[cls] - {name})):
                row["aliases"] = aliases
            if inspect.isabstract(cls):
                row["abstract"] = True
            rows[name] = row | differences(self._classes[cls], inherited(above, rows))
        return dict(sorted(rows.items()))

    def _class(self, cls: type) -> dict:
        if cls.__module__.startswith("dynamiq."):
            self._left += [sub for sub in cls.__subclasses__() if sub.__module__.startswith("dynamiq.")]
        rules = []
        schema = cls.__pydantic_core_schema__
        self._definitions |= {found["ref"]: found for found in schema.get("definitions", ())}
        while schema["type"] != "model-fields":
            if schema["type"].startswith("function"):
                rules.append(schema["function"]["function"].__qualname__)
            elif schema["type"] == "definition-ref":
                schema = self._definitions[schema["schema_ref"]]
                continue
            extra = schema.get("config", {}).get("extra_fields_behavior", "ignore")
            schema = schema["schema"]
        properties, required = {}, []
        for name, field in schema["fields"].items():
            name = field.get("validation_alias", name)
            inner = field["schema"]
            if inner["type"] != "default":
                required.append(name)
            properties[name] = self._value(inner)
            rules += properties[name].pop("rules", ())
        made = {f"{kind.__name__}.__init__" for kind in cls.__mro__ if kind.__name__ in CHECKED_WHEN_MADE}
        rules += sorted(made)
        if "input_schema" in required:
            # The constructor computes it from the tool's description of its input, so it is not required. Composio
            # omits that description too.
            required.remove("input_schema")
        for name in UNCHECKED.get(cls.__name__, ()):
            properties[name] = {}
        others = connects(cls)
        if others is not None:
            properties["connection"] = any_of([{"type": "null"}, properties["connection"]])
            # The class creates a connection unless it gets a client or a vector store.
            unless = f"{'needs' if 'connection' in required else 'takes'} connection unless {others}"
            rules += [unless] if others else []
        if others is not None or has_default(cls):
            rules = [rule for rule in rules if rule not in CHECK_CONNECTION]
            required = [name for name in required if name != "connection"]
        found = {"properties": properties, "required": required, "rules": rules}
        return found | ({"additionalProperties": False} if extra == "forbid" else {})

    def _value(self, schema: dict) -> dict:
        kind = schema["type"]
        if kind in SCALARS:
            bounds = {key: schema[key] for key in BOUNDS if key in schema}
            return {"scalar": {"type": kind, **bounds} if bounds else kind}
        if kind == "none":
            return {"type": "null"}
        if kind == "literal":
            values = [getattr(value, "value", value) for value in schema["expected"]]
            return {"enum": [*values, 0] if False in values else values}
        if kind == "enum":
            return {"enum": [member.value for member in schema["members"]]}
        if kind == "nullable":
            return any_of([{"type": "null"}, self._value(schema["schema"])])
        if kind in ("union", "tagged-union"):
            choices = schema["choices"].values() if kind == "tagged-union" else schema["choices"]
            return any_of([self._value(one[0] if isinstance(one, tuple) else one) for one in choices])
        if kind in ("list", "set", "frozenset"):
            bounds = {"minItems": schema.get("min_length"), "maxItems": schema.get("max_length")}
            items = self._value(schema["items_schema"]) if "items_schema" in schema else {}
            return {"type": "array", "items": items} | {key: v for key, v in bounds.items() if v is not None}
        if kind == "tuple":
            items = [self._value(item) for item in schema["items_schema"]]
            if (rest := schema.get("variadic_item_index")) is not None:
                return {"type": "array", "items": items[rest]}
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        if kind == "dict":
            found = {"type": "object"}
            if (keys := self._value(schema.get("keys_schema", {"type": "any"}))) not in ({}, {"scalar": "str"}):
                found["propertyNames"] = keys
            if values := self._value(schema.get("values_schema", {"type": "any"})):
                found["additionalProperties"] = values
            return found
        if kind == "model":
            return self._object(schema["cls"])
        if kind == "is-instance":
            return self._object(schema["cls"]) if issubclass(schema["cls"], self._base) else NO_VALUE
        if kind == "definition-ref":
            return self._value(self._definitions[schema["schema_ref"]])
        if kind == "definitions":
            self._definitions |= {found["ref"]: found for found in schema["definitions"]}
            return self._value(schema["schema"])
        if kind == "default":
            return self._value(schema["schema"])
        if kind == "lax-or-strict":
            return self._value(schema["lax_schema"])
        if kind == "json-or-python":
            return self._value(schema["python_schema"])
        if kind == "function-after":
            inner = self._value(schema["schema"])
            name = schema["function"]["function"].__qualname__
            if "object" in inner or "<locals>" in name:
                return inner
            return {**inner, "rules": [*inner.get("rules", ()), name]}
        if kind == "any":
            return {}
        if kind == "function-before":
            name, inner = schema["function"]["function"].__qualname__, self._value(schema["schema"])
            if name in NULL_BEFORE:
                return any_of([{"type": "null"}, inner])
            return {} if name in ANYTHING_BEFORE else inner
        if kind in ("is-subclass", "callable"):
            return NO_VALUE
        raise ValueError(f"no rule for {kind}: {schema}")

    def _object(self, cls: type) -> dict:
        self._left.append(cls)
        return {"object": self._loads_as(cls)}


def any_of(schemas: list[dict]) -> dict:
    """Combine schemas with anyOf, without duplicates. If one of them matches any value, the result does too. Schemas
    that match no value are dropped."""
    flat = []
    for schema in schemas:
        flat += [one for one in schema.get("anyOf", [schema]) if one not in flat and one != NO_VALUE]
    return {} if {} in flat else {"anyOf": flat} if len(flat) > 1 else flat[0]


def has_default(cls: type) -> bool:
    field = cls.model_fields.get("connection")
    return field is not None and field.default_factory is not None


def connects(cls: type) -> str | None:
    """The field without which a class creates its own connection. "" if it always creates one, None if it never
    does."""
    for base in cls.__mro__:
        if "__init__" in vars(base) and base.__module__.startswith("dynamiq."):
            source = inspect.getsource(base.__init__)
            if made := re.search(r"if (.*)connection.*? is None:\s+(kwargs\[.)?connection.* = ", source):
                other = re.search(r'get\("(client|vector_store)"\) is None', made[1])
                return other[1] if other else ""
    return None


def inherited(above: list[str], rows: dict[str, dict]) -> dict:
    """The rows of these classes combined, nearest first."""
    found = {"properties": {}}
    for name in reversed(above):
        found["properties"] |= rows[name].get("properties", {})
        found |= {key: rows[name][key] for key in INHERITED if key in rows[name]}
    return found


def differences(own: dict, found: dict) -> dict:
    properties = {key: value for key, value in own["properties"].items() if found["properties"].get(key) != value}
    # Base classes have these names as fields, this class does not.
    gone = {key: {} for key in found["properties"] if key not in own["properties"] and found["properties"][key] != {}}
    row = {"properties": properties | gone} if properties or gone else {}
    for key, usual in INHERITED.items():
        if own.get(key, usual) != found.get(key, usual):
            row[key] = own.get(key, usual)
    return row
