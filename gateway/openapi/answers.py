"""The answers of a call: success, 304, and every error in the comments, by HTTP status."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from gateway.codec.encode import download_field, is_passed_on
from gateway.openapi.examples import Examples, fitted
from gateway.openapi.failures import Failure, failures_of, said, sends_etag, takes_key
from gateway.openapi.schemas import Schema, Schemas
from gateway.routes import Route
from service_kit import comments
from service_kit.http.event_stream import CONTENT_TYPE

Answer = dict[str, Any]

ERROR: Schema = {
    "type": "object",
    "description": "The body of every error.",
    "required": ["error"],
    "properties": {"error": {"$ref": "#/components/schemas/ErrorBody"}},
}
BODY: Schema = {
    "type": "object",
    "description": "What went wrong.",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "description": "One word for each HTTP status."},
        "message": {"type": "string", "description": "For people."},
        "details": {
            "type": "object",
            "description": "`reason` is the constant that the answers below list. A path of a field maps to a "
            "sentence about it.",
            "properties": {"reason": {"type": "string"}},
            "additionalProperties": {"type": "string"},
        },
    },
}
ERRORS = {"ErrorEnvelope": ERROR, "ErrorBody": BODY}
"""Schemas by name. For a schema Error with a field `error`, openapi-python-client (0.29) writes code that does not
typecheck."""
HEADERS = {
    "X-Request-Id": ("The request's id, from the caller or generated. The logs of every service have it.", True),
    "Flowpin-Version": ("The release of Flowpin.", True),
    "ETag": ("Changes exactly when the body changes.", True),
    "Retry-After": ("Seconds to wait.", False),
    "WWW-Authenticate": ("`Bearer`.", True),
    "Idempotent-Replayed": ("`true` when this is the answer to an earlier call with this Idempotency-Key.", False),
    "Content-Disposition": ("The file's name.", True),
}
"""Headers with their description, and whether they are always present."""
ANSWER = {"id": "0199c2f1-7a3e-7000-8000-000000000000", "output": {"total": 10.0}}
"""An example of a forwarded answer."""
HEADERS_OF = {401: ["WWW-Authenticate"], 409: ["Retry-After"], 429: ["Retry-After"], 503: ["Retry-After"]}


def headers() -> dict[str, Any]:
    return {
        name: {"description": description, "required": always, "schema": {"type": "string"}}
        for name, (description, always) in HEADERS.items()
    }


def answers_of(route: Route, schemas: Schemas) -> dict[str, Answer]:
    by_status = sorted(failures_of(route), key=lambda failure: failure.status)
    failed = {
        str(status): _failed(status, list(group)) for status, group in groupby(by_status, lambda each: each.status)
    }
    unchanged = {"304": {"description": "Unchanged since `If-None-Match`.", "headers": _headers("ETag")}}
    return {
        str(route.status): _succeeded(route, schemas),
        **(unchanged if route.verb == "GET" else {}),
        **failed,
    }


def share(operations: Iterable[dict[str, Any]]) -> dict[str, Answer]:
    """Remove the most common failure of each status from the operations. Returns these by the envelope's code."""
    failed = [each["responses"] for each in operations]
    counted = Counter((status, json.dumps(answer)) for answers in failed for status, answer in answers.items())
    shared: dict[str, Answer] = {}
    for (status, text), count in counted.most_common():
        answer = json.loads(text)
        word = answer.get("content", {}).get("application/json", {}).get("example", {}).get("error", {}).get("code")
        if word is None or word in shared or count == 1:
            continue
        shared[word] = answer
        for answers in failed:
            if answers.get(status) == answer:
                answers[status] = {"$ref": f"#/components/responses/{word}"}
    return dict(sorted(shared.items()))


def _succeeded(route: Route, schemas: Schemas) -> Answer:
    output, named = route.rpc.output_type, []
    if route.is_stream:
        return _streamed(route)
    if route.verb == "GET" or sends_etag(route.rpc):
        named.append("ETag")
    if takes_key(route.rpc):
        named.append("Idempotent-Replayed")
    downloaded = download_field(output)
    if downloaded is not None:
        schema = {"type": "string", "contentMediaType": "application/octet-stream"}
        return {
            "description": comments.kept()[output.fields_by_name[downloaded].full_name],
            "headers": _headers(*named, "Content-Disposition"),
            "content": {"application/octet-stream": {"schema": schema}},
        }
    schema = schemas.reference(output)
    example = fitted(route.rpc.name, Examples(schemas.components, asked=False).of(schema))
    return {
        "description": said(output),
        "headers": _headers(*named),
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _streamed(route: Route) -> Answer:
    """Events have no schema in OpenAPI. The RPC's comment describes them."""
    events: dict[str, Any] = {CONTENT_TYPE: {"schema": {}}}  # some clients read an event as text, others as an object
    if is_passed_on(route.rpc.output_type):
        description = "The service's answer as a stream. It may have another status."
        content = {"application/json": {"schema": {}, "example": ANSWER}, **events}
        return {"description": description, "headers": _headers(), "content": content}
    return {"description": "One event per message.", "headers": _headers(), "content": events}


def _failed(status: int, failures: list[Failure]) -> Answer:
    first = failures[0]
    error = {"code": first.word, "message": f"{first.when[0].upper()}{first.when[1:]}"}
    if status != 500:
        error |= {"details": {"reason": first.reason}}  # type: ignore[dict-item]
    return {
        "description": "\n".join(f"- `{failure.reason}`: {failure.when}" for failure in failures),
        "headers": _headers(*HEADERS_OF.get(status, [])),
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/ErrorEnvelope"}, "example": {"error": error}}
        },
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, "X-Request-Id", "Flowpin-Version")}
