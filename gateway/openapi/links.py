"""Which calls can follow: what one makes, others name in their path or body."""

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor

from gateway.routes import CREATES, Route

MAKES = (*CREATES, "Save", "Release")
"""RPCs named so answer what they make."""
ALSO = {"version": ("version", "workflow_version_id"), "deployment": ("deployment_id",)}
"""Fields that name a thing in another way than `<its message>_id`."""


def links_of(route: Route, routes: Iterable[Route]) -> dict[str, Any]:
    """Calls that take the id of what `route` makes, which is its answer's `data`."""
    data = route.rpc.output_type.fields_by_name.get("data")
    if not route.rpc.name.startswith(MAKES) or data is None or data.message_type is None or data.is_repeated:
        return {}
    offered = _offered(data.message_type)
    links = {}
    for target in routes:
        named = [name for name in target.rpc.input_type.fields_by_name if name in offered]
        if not set(target.variables) <= set(named) or not any(offered[name].endswith("/id") for name in named):
            continue
        link: dict[str, Any] = {"operationId": target.operation_id}
        if target.has_body:
            body = {name: offered[name] for name in named if name not in target.variables}
            parameters = {name: offered[name] for name in target.variables}
            link |= {"requestBody": body} if body else {}
        else:
            parameters = {name: offered[name] for name in named}
        links[target.operation_id] = link | ({"parameters": parameters} if parameters else {})
    return links


def _offered(made: Descriptor) -> dict[str, str]:
    """Names that other calls have for parts of the answer, and where these are."""
    if "id" not in made.fields_by_name:
        return {}
    noun = re.sub(r"(?<!^)(?=[A-Z])", "_", made.name).lower()
    own = [field.name for field in made.fields if field.name.endswith("_id")]
    ids = dict.fromkeys((f"{noun}_id", *ALSO.get(noun, ())), "$response.body#/data/id")
    return {**{name: f"$response.body#/data/{name}" for name in own}, **ids}
