"""Links each call that creates something to calls that need its id. A link contains all required values."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor

from gateway.openapi.examples import Examples
from gateway.openapi.schemas import Schemas
from gateway.routes import CREATES, Route
from service_kit.validation import is_id, is_required

MAKES = (*CREATES, "Save", "Release")
"""Prefixes of RPCs whose answer is what they create."""
ALSO = {"version": ("version", "workflow_version_id"), "deployment": ("deployment_id",)}
"""Other names of ids than `<message>_id`."""
REFUSED: Mapping[str, tuple[str, ...]] = {
    "ArchiveVersion": MAKES,
    "CancelDeployment": MAKES,
    "CreateApp": ("CreateWorkflow", "ImportWorkflow"),
    "DeleteVersion": MAKES,
    "PromoteApp": MAKES,
    "ReleaseWorkflow": ("Fork", "Release", "Restore", "Save"),
    "RollbackApp": ("CreateApp",),
}
"""Calls that fail immediately after others, because of a latest version, a draft, or something live or released."""


def links_of(route: Route, routes: Iterable[Route], schemas: Schemas) -> dict[str, Any]:
    """Calls that need the id of what `route` creates, which is the `data` of its answer."""
    data = route.rpc.output_type.fields_by_name.get("data")
    if not route.rpc.name.startswith(MAKES) or data is None or data.message_type is None or data.is_repeated:
        return {}
    offered = _offered(data.message_type)
    links = {}
    for target in routes:
        named = [name for name in target.rpc.input_type.fields_by_name if name in offered]
        refused = route.rpc.name.startswith(REFUSED.get(target.rpc.name, ()) or "-") or target.is_stream
        if refused or not set(target.variables) <= set(named) or not any(offered[n].endswith("/id") for n in named):
            continue
        link: dict[str, Any] = {"operationId": target.operation_id}
        if target.has_body:
            given = {name: offered[name] for name in named if name not in target.variables}
            parameters = {name: offered[name] for name in target.variables}
            body = _examples(target, schemas) | given
            if any(is_id(target.rpc.input_type.fields_by_name[name]) for name in body.keys() - given.keys()):
                continue
            link |= {"requestBody": body} if body else {}
        else:
            parameters = {name: offered[name] for name in named}
            if any(is_required(field) for field in target.rpc.input_type.fields if field.name not in parameters):
                continue
        links[target.operation_id] = link | ({"parameters": parameters} if parameters else {})
    return links


def _examples(target: Route, schemas: Schemas) -> dict[str, Any]:
    """Example values of the fields that the target's body must have."""
    reference = schemas.body(target.rpc.input_type, target.variables)
    schema = schemas.components[reference["$ref"].rpartition("/")[2]]
    example = Examples(schemas.components, asked=True).of(reference)
    return {name: example[name] for name in schema.get("required", ())}


def _offered(made: Descriptor) -> dict[str, str]:
    """Names that other calls use for values of the answer, with the location of each."""
    if "id" not in made.fields_by_name:
        return {}
    noun = re.sub(r"(?<!^)(?=[A-Z])", "_", made.name).lower()
    own = [field.name for field in made.fields if field.name.endswith("_id")]
    ids = dict.fromkeys((f"{noun}_id", *ALSO.get(noun, ())), "$response.body#/data/id")
    return {**{name: f"$response.body#/data/{name}" for name in own}, **ids}
