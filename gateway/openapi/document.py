"""The document as a whole."""

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from gateway.codec.form import files_field
from gateway.openapi import answers, parameters
from gateway.openapi.examples import Examples
from gateway.openapi.failures import said
from gateway.openapi.links import links_of
from gateway.openapi.schemas import Schemas
from gateway.routes import Route, routes_of
from service_kit.http.forms import FORM_TYPE

ABOUT = """\
Every Save of a workflow is an immutable, numbered version; an App keeps serving exactly the version, runtime and
configuration it was deployed with until its next deployment.

- One thing is `{"data": {…}}`, a list `{"data": […], "pagination": {…}}`, a failure `{"error": {…}}`.
- Names are snake_case, ids UUIDs, times RFC 3339 in UTC. Optional fields that are unset are left out.
- An empty body is `{}`. Unknown keys of a body are ignored, and null is as good as leaving a field out.
- A filter's comparison stands in its key: `created_at:gte=2026-01-31T12:00:00Z`.
- What a path names and you cannot see is a 404; what a body names and you cannot see is a 400.
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
    services = [service for contract in contracts for service in contract.services_by_name.values()]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flowpin", "version": "v1", "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [_tag(service) for service in services],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": SECURITY},
            "parameters": parameters.components(),
            "headers": answers.headers(),
            "responses": shared,
            "schemas": dict(sorted({**schemas.components, "Error": answers.ERROR}.items())),
        },
    }


def as_text(document: dict[str, Any]) -> str:
    """As it is committed and served: a line each, so that a review shows what changed."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _operation(route: Route, routes: list[Route], schemas: Schemas) -> dict[str, Any]:
    first, _, more = said(route.rpc).partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "tags": [route.rpc.containing_service.name],
        "summary": first,
        **({"description": more} if more else {}),
        "parameters": parameters.parameters_of(route, schemas),
    }
    if route.has_body:
        operation["requestBody"] = _body(route, schemas)
    operation["responses"] = answers.answers_of(route, schemas)
    if links := links_of(route, routes):
        operation["responses"][str(route.status)]["links"] = links
    return operation


def _body(route: Route, schemas: Schemas) -> dict[str, Any]:
    request = route.rpc.input_type
    files = files_field(request)
    schema = schemas.body(request, (*route.variables, files) if files else route.variables)
    example = Examples(schemas.components, asked=True).of(schema)
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": example}}
    if files:
        content[FORM_TYPE] = {"schema": schemas.form(request, route.variables)}
    return {"required": "required" in schemas.components[schema["$ref"].rpartition("/")[2]], "content": content}


def _tag(service: ServiceDescriptor) -> dict[str, str]:
    return {"name": service.name, "description": said(service)}
