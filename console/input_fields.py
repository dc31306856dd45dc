"""The fields of a flow's Input node as controls of a form, and the typed input."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_FIELDS = 100
"""A flow with more fields accepts its input only as JSON, because a form has at most 200 fields."""
INPUT_TYPE = "dynamiq.nodes.utils.Input"
KINDS = {
    **dict.fromkeys(("string", "str", "text"), "text"),
    **dict.fromkeys(("integer", "int"), "integer"),
    **dict.fromkeys(("number", "float"), "number"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("array", "list"), "list"),
    **dict.fromkeys(("object", "dict", "map"), "object"),
    **dict.fromkeys(("file", "files", "list[file]", "list[files]"), "files"),
}
"""Kinds by the schema's types: those of JSON Schema, and the platform's. Other types accept anything."""
EXAMPLES: Mapping[str, Any] = {"text": "", "integer": 0, "number": 0.0, "boolean": False, "list": [], "object": {}}


@dataclass(frozen=True, slots=True)
class InputField:
    """A control. `kind` is one of the values of KINDS, `choice` or `any`."""

    name: str
    kind: str
    type: str
    """The type in the schema."""
    is_required: bool
    default: str
    """The default as typed text. Empty without one."""
    description: str
    choices: Sequence[str] = ()
    """The values of an enumeration, as JSON texts."""

    @property
    def control(self) -> str:
        """Its name in the form."""
        return f"input.{self.name}"


class InputNotRead(Exception):
    """The typed input is invalid. `errors` are by field. The field `input` means the whole as JSON."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("The input was not read.")
        self.errors = errors


def read_fields(flow: bytes) -> Sequence[InputField]:
    """The fields of all Input nodes, in order. Empty for a flow without a schema, or an unreadable flow."""
    fields: dict[str, InputField] = {}
    try:
        for node in json.loads(flow)["nodes"]:
            if node.get("type") != INPUT_TYPE or not isinstance(node.get("schema"), dict):
                continue
            required = node["schema"].get("required")
            for name, about in node["schema"].get("properties", {}).items():
                is_required = isinstance(required, list) and name in required
                fields.setdefault(name, _field(name, about if isinstance(about, dict) else {}, is_required))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(fields.values()) if len(fields) <= MOST_FIELDS else ()


def example_of(fields: Sequence[InputField]) -> str:
    """JSON with a value for each field: its default, or an empty value of its type."""
    example = {}
    for field in fields:
        if field.default:
            example[field.name] = _value(field, field.default)
        elif field.kind in EXAMPLES:
            example[field.name] = EXAMPLES[field.kind]
    return json.dumps(example, indent=2, ensure_ascii=False)


def input_from_fields(fields: Sequence[InputField], typed: Mapping[str, str]) -> str:
    """The input as JSON, from a form's values by the controls' names. Empty controls are left out.

    Raises InputNotRead.
    """
    given, errors = {}, {}
    for field in fields:
        text = typed.get(field.control, "")
        if not text.strip():
            if field.is_required and field.kind != "files":
                errors[field.name] = "is required"
            continue
        try:
            if field.kind == "choice" and text not in field.choices:
                raise ValueError("must be one of the choices")
            given[field.name] = _value(field, text)
        except ValueError as error:
            errors[field.name] = str(error)
    if errors:
        raise InputNotRead(errors)
    return json.dumps(given, ensure_ascii=False)


def input_from_json(text: str) -> str:
    """The text, after a check that it is a JSON object. Raises InputNotRead."""
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InputNotRead({"input": f"must be JSON{where}"}) from None
    except RecursionError:
        raise InputNotRead({"input": "is nested too deeply"}) from None
    if not isinstance(found, dict):
        raise InputNotRead({"input": "must be an object, such as {}"})
    return text or "{}"


def _field(name: str, about: Mapping[str, Any], is_required: bool) -> InputField:
    named = about.get("type")
    said = named if isinstance(named, str) else "Any"
    kind = KINDS.get(said.lower().replace(" ", ""), "any")
    choices = about.get("enum")
    is_choice = isinstance(choices, list) and 0 < len(choices) <= MOST_FIELDS
    description = about.get("description")
    return InputField(
        name,
        "choice" if is_choice else kind,
        said,
        is_required or about.get("required") is True,
        _default_text(about.get("default"), "choice" if is_choice else kind),
        description if isinstance(description, str) else "",
        tuple(map(json.dumps, choices)) if is_choice and isinstance(choices, list) else (),
    )


def _default_text(value: Any, kind: str) -> str:
    if value is None or kind == "files":
        return ""
    if isinstance(value, str) and kind in ("text", "any"):
        return value
    return json.dumps(value, ensure_ascii=False)


def _value(field: InputField, text: str) -> Any:
    """Convert a typed value. Raises ValueError, which says what the field must be."""
    return READERS[field.kind](text)


def _text(text: str) -> str:
    return text


def _integer(text: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise ValueError("must be a whole number") from None


def _number(text: str) -> float | int:
    try:
        return int(text.strip())
    except ValueError:
        pass
    try:
        found = float(text.strip())
    except ValueError:
        raise ValueError("must be a number") from None
    if not math.isfinite(found):
        raise ValueError("must be a number")
    return found


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _json_of(kind: type, sentence: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(sentence) from None
        if not isinstance(found, kind):
            raise ValueError(sentence)
        return found

    return read


def _anything(text: str) -> Any:
    """The text as JSON if it is JSON, otherwise as a string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _no_files(_: str) -> Any:
    raise ValueError("cannot be given: files are not taken yet")


READERS: Mapping[str, Callable[[str], Any]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "list": _json_of(list, "must be a JSON list, such as []"),
    "object": _json_of(dict, "must be a JSON object, such as {}"),
    "any": _anything,
    "choice": _json_of(object, "must be one of the choices"),
    "files": _no_files,
}
