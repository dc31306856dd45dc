"""Parameters of a call in addition to its body: path variables, the query string, headers."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from gateway.codec.query import query_fields
from gateway.openapi.examples import Examples, last_word
from gateway.openapi.failures import failures_of, takes_key
from gateway.openapi.schemas import Schema, Schemas
from gateway.receiving import AFTER, LAST_EVENT_ID
from gateway.routes import Route
from service_kit import comments
from service_kit.validation import is_required

HEADERS = {
    "Idempotency-Key": (
        "Repeated with the same key within 24 hours, the call returns the first answer and changes nothing.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*[!-~][ -~]*$"},
        "order-total-2026-01-31",
    ),
    "If-None-Match": (
        "The `ETag` of an earlier answer. While it is current, the answer is 304 without a body.",
        {"type": "string"},
        '"0199c2f1.3"',
    ),
    "If-Match": (
        "The `ETag` of what is to be changed, the workflow or the label, or a list of up to 10: a 409 when someone "
        "else changed it since. Without it, the last change wins.",
        {"type": "string"},
        '"0199c2f1.3"',
    ),
    "Last-Event-ID": (
        "The `id` of the last event, after which the stream resumes. Browsers send it by themselves.",
        {"type": "string"},
        "17",
    ),
    "X-Request-Id": (
        "Named in the logs of every service, and returned. 1 to 128 printable ASCII characters; others are replaced.",
        {"type": "string"},
        "checkout-7",
    ),
}
"""Headers with their description, schema and example."""


def components() -> dict[str, Any]:
    return {
        name: {"name": name, "in": "header", "description": description, "schema": schema, "example": example}
        for name, (description, schema, example) in HEADERS.items()
    }


def parameters_of(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    return [
        *(_path(route.rpc.input_type.fields_by_name[name], schemas) for name in route.variables),
        *([] if route.has_body else _query(route, schemas)),
        *({"$ref": f"#/components/parameters/{name}"} for name in _headers(route)),
    ]


def _headers(route: Route) -> Iterator[str]:
    if takes_key(route.rpc):
        yield "Idempotency-Key"
    if route.is_stream and AFTER in route.rpc.input_type.fields_by_name:
        yield LAST_EVENT_ID
    if any(failure.reason in ("VERSION_CONFLICT", "LABEL_CONFLICT") for failure in failures_of(route)):
        yield "If-Match"
    if route.verb == "GET":
        yield "If-None-Match"
    yield "X-Request-Id"


def _path(field: FieldDescriptor, schemas: Schemas) -> dict[str, Any]:
    return _parameter("path", field.name, field, schemas, required=True)


def _query(route: Route, schemas: Schemas) -> Iterator[dict[str, Any]]:
    for path, field, _ in query_fields(route.rpc.input_type):
        if path[0] not in route.variables:
            yield _parameter("query", ":".join(path), field, schemas, required=len(path) == 1 and is_required(field))


def _parameter(place: str, name: str, field: FieldDescriptor, schemas: Schemas, *, required: bool) -> dict[str, Any]:
    schema: Schema = schemas.parameter(field)
    return {
        "name": name,
        "in": place,
        "description": comments.kept()[field.full_name],
        "required": required,
        "schema": schema,
        "example": Examples(schemas.components, asked=True).of(schema, field.name, _noun_of(field)),
    }


def _noun_of(field: FieldDescriptor) -> str:
    """The subject of the request: `label` for a SetLabelRequest."""
    return last_word(field.containing_type.name.removesuffix("Request")) if field.containing_type else ""
