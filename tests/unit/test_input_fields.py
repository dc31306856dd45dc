"""Fields of Input nodes are shown as controls, and their values are read as the input."""

import json
from typing import Any

import pytest

from console.input_fields import (
    MOST_FIELDS,
    InputNotRead,
    example_of,
    input_from_fields,
    input_from_json,
    read_fields,
)


def flow(properties: Any, **schema: Any) -> bytes:
    node = {"id": "in", "type": "dynamiq.nodes.utils.Input", "schema": {"properties": properties, **schema}}
    return json.dumps({"nodes": [node, {"id": "out", "type": "dynamiq.nodes.utils.Output"}]}).encode()


TYPES = {
    "text": {"type": "string", "description": "What to ask", "default": "why"},
    "count": {"type": "int"},
    "price": {"type": "float", "default": 2.5},
    "flag": {"type": "bool"},
    "tags": {"type": "list"},
    "more": {"type": "dict"},
    "files": {"type": "list[files]"},
    "free": {"type": "Any"},
    "mode": {"enum": ["fast", "good"], "required": True},
}


def test_each_type_of_an_input_field_has_its_kind_of_control():
    fields = read_fields(flow(TYPES, required=["count"]))

    assert [(each.name, each.kind) for each in fields] == [
        ("text", "text"),
        ("count", "integer"),
        ("price", "number"),
        ("flag", "boolean"),
        ("tags", "list"),
        ("more", "object"),
        ("files", "files"),
        ("free", "any"),
        ("mode", "choice"),
    ]
    assert [each.name for each in fields if each.is_required] == ["count", "mode"]
    assert (fields[0].description, fields[0].default, fields[2].default) == ("What to ask", "why", "2.5")


def test_typed_input_is_converted_to_the_types_of_its_fields():
    fields = read_fields(flow(TYPES))
    typed = {
        "input.text": "12",
        "input.count": " 3 ",
        "input.price": "0.5",
        "input.flag": "false",
        "input.tags": '["a"]',
        "input.more": "",
        "input.free": "not {json",
        "input.mode": '"good"',
    }

    given = json.loads(input_from_fields(fields, typed))

    assert given == {
        "text": "12",
        "count": 3,
        "price": 0.5,
        "flag": False,
        "tags": ["a"],
        "free": "not {json",
        "mode": "good",
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("count", "1.5", "must be a whole number"),
        ("price", "inf", "must be a number"),
        ("flag", "maybe", "must be true or false"),
        ("tags", "{}", "must be a JSON list, such as []"),
        ("mode", "", "is required"),
        ("mode", '"slow"', "must be one of the choices"),
    ],
)
def test_a_wrong_input_is_reported_at_its_field(name: str, text: str, said: str):
    fields = read_fields(flow(TYPES))

    with pytest.raises(InputNotRead) as caught:
        input_from_fields(fields, {"input.mode": '"good"', f"input.{name}": text})

    assert caught.value.errors == {name: said}


@pytest.mark.parametrize("text", ["[]", "{", "1", "[" * 100_000])
def test_json_input_that_is_not_an_object_is_refused(text: str):
    with pytest.raises(InputNotRead):
        input_from_json(text)


@pytest.mark.parametrize(
    "document",
    [
        b"no json",
        b"[]",
        b'{"nodes": {"a": 1}}',
        b'{"nodes": [1]}',
        b'{"nodes": [{"type": "dynamiq.nodes.utils.Input"}]}',
        flow(["a"]),
        flow({str(number): {} for number in range(MOST_FIELDS + 1)}),
    ],
)
def test_a_flow_whose_input_fields_cannot_be_shown_has_no_controls(document: bytes):
    assert read_fields(document) == ()


def test_the_example_input_has_a_value_for_each_field():
    example = json.loads(
        example_of(read_fields(flow({"q": {"type": "string", "default": "why"}, "n": {"type": "int"}})))
    )

    assert example == {"q": "why", "n": 0}
