"""The document as a whole."""

import json
import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FileDescriptor

from gateway.codec.form import files_field
from gateway.openapi import answers, parameters
from gateway.openapi.examples import Examples, fitted
from gateway.openapi.failures import said
from gateway.openapi.links import links_of
from gateway.openapi.schemas import Schemas
from gateway.openapi.tags import TAGS, tag_of
from gateway.routes import Route, routes_of
from service_kit.http.forms import FORM_TYPE

ABOUT = """\
Every Save of a workflow is an immutable, numbered version; an App keeps serving exactly the version, runtime and
configuration it was deployed with until its next deployment.

## Begin

Every call except `/health` needs a token, `dyn_pat_…`. On your own machine `flowpin up` creates one and prints it. This
sets the variables that the examples use:

```
source .flowpin/env
curl "$FLOWPIN_URL/v1/me" -H "Authorization: Bearer $FLOWPIN_TOKEN"
```

For another installation, ask its operators: `flowpin token new` creates a token with your roles in your projects.
Then create a workflow, save it, and deploy it as an app: CreateWorkflow, SaveWorkflow, CreateApp.

## All calls

- One thing is `{"data": {…}}`, a list `{"data": […], "pagination": {…}}`, a failure `{"error": {…}}`.
- Names are snake_case, ids are UUIDs, times are RFC 3339 in UTC. Unset optional fields are omitted.
- An empty body is `{}`. Unknown keys of a body are ignored. Null is the same as omitting a field.
- A filter's comparison is part of its key: `created_at:gte=2026-01-31T12:00:00Z`.
- Something that you cannot see is a 404 if the path names it, and a 400 if the body names it.

Errors that any call can have, in the usual envelope:

| Status | `code` | When |
|---|---|---|
| 404 | `not_found` | The path does not exist. |
| 405 | `method_not_allowed` | The path does not support this method. `Allow` names those that it supports. |
| 413 | `payload_too_large` | The body is over the size limit. |
| 415 | `unsupported_media_type` | The body's type or encoding is not supported. |
| 429 | `too_many_requests` | Too many requests are in progress. `Retry-After` says when to try again. |
| 503 | `unavailable` | A service does not answer. `Retry-After` says when to try again. |
| 504 | `timeout` | The call took too long and was canceled. |
"""
SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A Personal Access Token, `dyn_pat_…`. Its roles, by project: viewer, editor, admin.",
}


def document(contracts: Iterable[FileDescriptor]) -> dict[str, Any]:
    """OpenAPI 3.1. Raises ValueError when a comment cannot be read."""
    contracts = list(contracts)
    routes, schemas = routes_of(contracts), Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.verb.lower()] = _operation(route, routes, schemas)
    shared = answers.share(operation for path in paths.values() for operation in path.values())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Flowpin API",
            "contact": {"name": "The operators of this installation"},
            "version": "v1",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": description} for name, (_, description) in TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": SECURITY},
            "parameters": parameters.components(),
            "headers": answers.headers(),
            "responses": shared,
            "schemas": dict(sorted({**schemas.components, **answers.ERRORS}.items())),
        },
    }


def as_text(document: dict[str, Any]) -> str:
    """The document as it is committed and served, one value per line, so that a review shows changes."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _operation(route: Route, routes: list[Route], schemas: Schemas) -> dict[str, Any]:
    first, more = _sentences(said(route.rpc))
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "tags": [tag_of(route)],
        "summary": first,
        "description": f"{more}\n\nOver gRPC: `{route.rpc.full_name}`.".strip(),
        "x-grpc-method": route.rpc.full_name,
        "parameters": parameters.parameters_of(route, schemas),
    }
    if route.has_body:
        operation["requestBody"] = _body(route, schemas)
    operation["responses"] = answers.answers_of(route, schemas)
    if links := links_of(route, routes, schemas):
        operation["responses"][str(route.status)]["links"] = links
    return operation


def _body(route: Route, schemas: Schemas) -> dict[str, Any]:
    request = route.rpc.input_type
    files = files_field(request)
    schema = schemas.body(request, (*route.variables, files) if files else route.variables)
    example = fitted(route.rpc.name, Examples(schemas.components, asked=True).of(schema))
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": example}}
    if files:
        content[FORM_TYPE] = {"schema": schemas.form(request, route.variables)}
    return {"required": "required" in schemas.components[schema["$ref"].rpartition("/")[2]], "content": content}


def _sentences(comment: str) -> tuple[str, str]:
    """The first sentence, in one line, and the rest. A sentence ends before the next sentence or at the end of the
    comment."""
    first = re.match(r".+?[.:;](?=\s+[A-Z`]|\s*$)", comment, re.DOTALL)
    head = first[0] if first else comment
    return " ".join(head.split()), comment[len(head) :].strip()
