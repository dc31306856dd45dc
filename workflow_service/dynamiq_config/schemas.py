"""Validates values with the JSON Schemas of the SDK's classes, which make_catalogue.py wrote.

Values are as the loader passes them to a class: an object that it has built is `{BUILT: name of its class}`.
make_schemas.py explains the custom keywords (`scalar`, `object`, `rules`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from workflow_service.dynamiq_config import catalogue
from workflow_service.dynamiq_config.interpolation import ENV
from workflow_service.dynamiq_config.rules import BUILT, REQUIRED, RULES

if TYPE_CHECKING:
    import jsonschema_rs

UNKNOWN = "?"
"""The class of an object about which nothing is known. It is accepted everywhere."""
FLOW = "dynamiq.flows.Flow"
PROMPT = "dynamiq.prompts.Prompt"
DEPENDENCY = "dynamiq.nodes.node.NodeDependency"
AGENT = "dynamiq.nodes.agents.base.Agent"
_URI = "sdk:///"
_MAX_ERRORS = 1000  # maximum per field; each takes 20 µs
_NO_FIELD = "is not a field of its class"
_MAX_NAMES = 12  # maximum values or classes that a sentence names
_SCALARS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "bytes": "text",
    "date": "a date",
    "datetime": "a time",
}
_BOUNDS = {
    "ge": "of at least {:g}",
    "gt": "greater than {:g}",
    "le": "of at most {:g}",
    "lt": "less than {:g}",
    "min_length": "of at least {} characters",
    "max_length": "of at most {} characters",
    "pattern": "that matches {}",
}


class Wrong(NamedTuple):
    """A problem of a value: the keys that lead to it, and a sentence without the value."""

    keys: tuple[str | int, ...]
    sentence: str


def class_name(name: str) -> str | None:
    """The class that a dotted name loads, as the name that the SDK writes. None if the SDK has no such class."""
    known = _names().get(name)
    return None if known is None or rows()[known].get("abstract") else known


def is_a(name: str, above: str) -> bool:
    return name in (above, UNKNOWN) or above in rows()[name].get("above", ())


def hook_class(kind: str) -> str | None:
    """The class of a hook by its short name, such as `pii`, or by its dotted name."""
    return _data()["hooks"].get(kind) or class_name(kind)


def wrong_with(value: Mapping[str, Any], name: str) -> list[Wrong]:
    """The problems that prevent an instance of the class with these fields. Environment variables may have any type."""
    schema = _schema(_URI + name)
    found: dict[Wrong, None] = {}
    for key, child in value.items():
        if key in schema["properties"]:
            errors = islice(_validator(_property(name, key)).iter_errors(child), _MAX_ERRORS)
            found |= dict.fromkeys(Wrong((key, *wrong.keys), wrong.sentence) for wrong in _all_wrong(errors, child))
        elif schema.get("additionalProperties") is False:
            found[Wrong((key,), _NO_FIELD)] = None
    found |= dict.fromkeys(Wrong((key,), REQUIRED) for key in schema.get("required", ()) if key not in value)
    found |= dict.fromkeys(_broken_rules(schema.get("rules", ()), value))
    return list(found)


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(resources.files(__package__).joinpath("schemas.json").read_bytes())
    return data


def rows() -> dict[str, dict[str, Any]]:
    """The differences of each class from its base classes, by the name that loads it."""
    found: dict[str, dict[str, Any]] = _data()["classes"]
    return found


@cache
def _names() -> dict[str, str]:
    own = {name: name for name in rows()}
    aliases = {alias: name for name, row in rows().items() for alias in row.get("aliases", ())}
    return aliases | catalogue.other_names() | own


@cache
def _property(name: str, key: str) -> str:
    """The schema of a field as JSON, so that classes with the same field share its validator."""
    return json.dumps(_schema(_URI + name)["properties"][key])


@cache
def _validator(schema: str) -> "jsonschema_rs.Validator":
    # Imported here: the library takes 6 MB, which services that do not check flows need not spend.
    import jsonschema_rs

    keywords: dict[str, Any] = {"scalar": _Scalar, "object": _Object, "rules": _Rules}
    return jsonschema_rs.validator_for(json.loads(schema), retriever=_schema, keywords=keywords)


@cache
def _schema(uri: str) -> dict[str, Any]:
    """The schema of a class, including its base classes."""
    name = uri.removeprefix(_URI)
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for above in (*reversed(rows()[name].get("above", ())), name):
        row = rows()[above]
        schema["properties"] |= row.get("properties", {})
        schema |= {key: row[key] for key in ("required", "rules", "additionalProperties") if key in row}
    return schema | {"properties": {key: _expanded(value) for key, value in schema["properties"].items()}}


def _expanded(schema: Any) -> Any:
    """A schema of the file, with the effects of its custom keywords written as standard keywords."""
    if isinstance(schema, list):
        return [_expanded(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "object" in schema:
        if rows()[schema["object"]].get("abstract"):
            return schema
        built = {"type": "object", "required": [BUILT]}
        return {**schema, "if": built, "else": {"$ref": _URI + schema["object"]}}
    expanded = {key: value if key == "enum" else _expanded(value) for key, value in schema.items()}
    return {**expanded, "properties": {BUILT: False}} if schema.get("type") == "object" else expanded


class _Scalar:
    """The keyword `scalar`."""

    def __init__(self, _parent: Any, leaf: str | dict[str, Any], _path: Any) -> None:
        self._check, self._sentence = _leaf(json.dumps(leaf))

    def validate(self, value: Any) -> None:
        if value is None or isinstance(value, list | dict):
            raise ValueError(self._sentence)  # takes a third of pydantic's time
        try:
            self._check(value)
        except ValueError:
            raise ValueError(self._sentence) from None


@cache
def _leaf(text: str) -> tuple[Any, str]:
    from pydantic_core import SchemaValidator

    found = json.loads(text)
    leaf: dict[str, Any] = {"type": found} if isinstance(found, str) else found
    bounds = [_BOUNDS[key].format(bound) for key, bound in leaf.items() if key in _BOUNDS]
    return SchemaValidator(leaf).validate_python, f"must be {_SCALARS[leaf['type']]} {' and '.join(bounds)}".strip()


class _Object:
    """The keyword `object`. `_expanded` adds the check of the fields, if the class is not abstract."""

    def __init__(self, _parent: Any, name: str, _path: Any) -> None:
        self._name, self._is_abstract = name, bool(rows()[name].get("abstract"))

    def validate(self, value: Any) -> None:
        built = value.get(BUILT) if isinstance(value, dict) else None
        if self._is_abstract if built is None else not is_a(built, self._name):
            raise ValueError(f"must be a {self._name}")


class _Rules:
    """The keyword `rules`."""

    def __init__(self, _parent: Any, names: Sequence[str], _path: Any) -> None:
        self._names = names

    def validate(self, value: Any) -> None:
        for error in self.iter_errors(value):
            raise error

    def iter_errors(self, value: Any) -> Iterator[ValueError]:
        return (ValueError(json.dumps(wrong)) for wrong in _broken_rules(self._names, value))


def _broken_rules(names: Sequence[str], value: Any) -> Iterator[Wrong]:
    for rule in (RULES[name] for name in names if name in RULES):
        fields = _Fields(value) if isinstance(value, dict) else {}
        try:
            wrong = [Wrong(keys, sentence) for keys, sentence in rule(fields)]
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # the value has the wrong type, which other keywords report
        if isinstance(fields, _Fields) and not fields.has_read_variable:
            yield from wrong


class _Fields(dict[str, Any]):
    """Fields that record whether an environment variable was read. Then problems are unknown before runtime."""

    has_read_variable = False

    def get(self, key: str, default: Any = None) -> Any:
        value = super().get(key, default)
        self.has_read_variable |= isinstance(value, dict) and ENV in value
        return value

    def __getitem__(self, key: str) -> Any:
        self.get(key)
        return super().__getitem__(key)


def _all_wrong(errors: Iterable["jsonschema_rs.ValidationError"], value: Any) -> Iterator[Wrong]:
    for error in errors:
        yield from _wrong(error, value)


def _wrong(error: "jsonschema_rs.ValidationError", value: Any) -> Iterator[Wrong]:
    keys, found = _found(value, error.instance_path)
    if isinstance(found, dict) and ENV in found:
        return
    kind = error.kind.as_dict()
    match error.kind.name:
        case "anyOf":
            yield from _wrong_with_each([[*_all_wrong(branch, value)] for branch in kind["context"]], keys)
        case "required":
            yield Wrong((*keys, kind["property"]), REQUIRED)
        case "additionalProperties":
            yield from (Wrong((*keys, key), _NO_FIELD) for key in kind["unexpected"])
        case "rules":
            below, sentence = json.loads(kind["message"])
            yield Wrong((*keys, *below), sentence)
        case "falseSchema":
            yield Wrong(keys[:-1], "must be an object that names no class as `type`")
        case name:
            yield Wrong(keys, _sentence(name, kind))


def _found(value: Any, path: Iterable[str | int]) -> tuple[tuple[str | int, ...], Any]:
    """The keys of a path, and the value at it. The library returns the key "0" of an object as a number."""
    keys: list[str | int] = []
    for key in path:
        keys.append(str(key) if isinstance(value, dict) else key)
        value = value[keys[-1]]
    return tuple(keys), value


def _wrong_with_each(branches: list[list[Wrong]], keys: tuple[str | int, ...]) -> list[Wrong]:
    """The problem of a value that matches none of several schemas: the nearest schema's problem, or the list of
    choices."""
    if not all(branches):
        return []
    inside = [branch for branch in branches if all(len(wrong.keys) > len(keys) for wrong in branch)]
    if inside:
        return min(inside, key=len)
    sentences = dict.fromkeys(wrong.sentence for branch in branches for wrong in branch if wrong.keys == keys)
    choices = [sentence.removeprefix("must be ") for sentence in sentences if sentence.startswith("must be ")]
    return [Wrong(keys, f"must be {' or '.join(choices[:_MAX_NAMES])}")]


def _sentence(name: str, kind: dict[str, Any]) -> str:
    match name:
        case "scalar" | "object":
            return str(kind["message"])
        case "enum":
            options = [json.dumps(option) for option in kind["options"]]
            more = f" or {len(options) - _MAX_NAMES} others" if len(options) > _MAX_NAMES else ""
            return f"must be {' or '.join(options[:_MAX_NAMES])}{more}"
        case "type":
            return {"array": "must be a list", "object": "must be an object", "null": "must be null"}[kind["types"][0]]
        case "minItems":
            return f"must have at least {kind['limit']} entries"
        case "maxItems":
            return f"must have at most {kind['limit']} entries"
        case "propertyNames":
            return "has a key that its class does not have"
    return "cannot be set in a flow"
