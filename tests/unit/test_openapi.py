"""The OpenAPI document matches the contracts, and its committed snapshot is current."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway import rules
from gateway.openapi.document import as_text, document
from gateway.openapi.failures import read
from gateway.routes import Route, routes_of
from gateway.server import ALL_CONTRACTS
from service_kit import codegen, comments

DOCUMENT = document(ALL_CONTRACTS)
ROUTES = routes_of(ALL_CONTRACTS)


def operation(route: Route) -> dict[str, Any]:
    return DOCUMENT["paths"][route.template][route.verb.lower()]


def answers(route: Route) -> dict[str, Any]:
    shared = DOCUMENT["components"]["responses"]
    found = operation(route)["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in found.items()
    }


def test_the_committed_openapi_document_matches_the_contracts():
    snapshot = (codegen.PROTOS / "openapi.json").read_text()

    assert snapshot == as_text(DOCUMENT), "python -m gateway openapi > protos/openapi.json"


def test_the_openapi_document_is_valid():
    validate(DOCUMENT)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation_id)
def test_every_error_of_an_rpc_is_documented_under_its_status(route):
    documented = answers(route)

    listed = read(comments.kept()[route.rpc.full_name])

    for failure in listed:
        assert f"`{failure.reason}`: {failure.when}" in documented[str(failure.status)]["description"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation_id)
def test_every_operation_has_a_summary_common_errors_and_its_path_parameters(route):
    call, documented = operation(route), answers(route)

    assert call["summary"]
    assert {"401", "500", "503", "504", str(route.status)} <= set(documented)
    assert all("X-Request-Id" in answer["headers"] for answer in documented.values())
    assert [each["name"] for each in call["parameters"] if each.get("in") == "path"] == list(route.variables)


def contents() -> list[tuple[str, dict[str, Any]]]:
    bodies = [(f"{each.operation_id} asks", operation(each)["requestBody"]) for each in ROUTES if each.has_body]
    answered = [
        (f"{each.operation_id} {status}", answer) for each in ROUTES for status, answer in answers(each).items()
    ]
    found = [(name, part.get("content", {}).get("application/json")) for name, part in bodies + answered]
    return [(name, content) for name, content in found if content is not None]


@pytest.mark.parametrize(("name", "content"), contents(), ids=[name for name, _ in contents()])
def test_an_openapi_example_fits_its_schema(name, content):
    schema = {**content["schema"], "components": DOCUMENT["components"]}

    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(content["example"])


def test_operation_ids_are_unique_and_links_lead_to_them():
    ids = [each.operation_id for each in ROUTES]
    linked = {
        link["operationId"]
        for each in ROUTES
        for link in operation(each)["responses"][str(each.status)].get("links", {}).values()
    }

    assert len(ids) == len(set(ids))
    assert {"SaveWorkflow", "CreateApp", "DeployApp"} <= linked <= set(ids)


def test_a_malformed_error_in_a_contract_fails_the_openapi_document():
    with pytest.raises(ValueError, match="VERSION_IS_LATEST - the latest"):
        read("Archives.\n\nErrors:\n- NOT_FOUND, VERSION_NOT_FOUND: none.\n- ABORTED, VERSION_IS_LATEST - the latest.")


def test_an_error_in_a_contract_may_have_two_lines():
    (found,) = read("Saves.\n\nErrors:\n- ABORTED, VERSION_CONFLICT: another version was saved,\n  and it won.")

    assert (found.status, found.word) == (409, "conflict")
    assert found.when == "another version was saved, and it won."


@pytest.mark.parametrize(
    ("comment", "schema"),
    [
        ("The workflow it belongs to, UUID.", {"format": "uuid"}),
        ("An id (UUID), `latest`, or a number.", {}),
        ("A slug: ^[a-z]+$, up to 128 characters.", {"pattern": "^[a-z]+$", "maxLength": 128}),
        ("Comma-separated fields. Default: `-version`.", {"default": "-version"}),
    ],
)
def test_rules_in_the_comment_of_a_string_are_in_its_schema(comment, schema):
    assert rules.of_string(comment) == schema


@pytest.mark.parametrize(
    ("comment", "schema"),
    [
        ("From 1. Default: 1.", {"minimum": 1, "default": 1}),
        ("1 to 500. Default: 25.", {"minimum": 1, "maximum": 500, "default": 25}),
        ("At most this many. Default: the larger of min_replicas and 2.", {}),
    ],
)
def test_rules_in_the_comment_of_an_integer_are_in_its_schema(comment, schema):
    assert rules.of_integer(comment) == schema
