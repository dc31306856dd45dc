"""The links of the OpenAPI document fill in everything that the linked calls need."""

import json
import re
from typing import Any

import pytest

from gateway.openapi.document import document
from gateway.server import ALL_CONTRACTS
from service_kit.ids import new_id
from tests.support.paths import ROOT
from tests.support.stack import FLOW, FLOW_UI, Stack

DOCUMENT = document(ALL_CONTRACTS)
CALLS = {
    call["operationId"]: (verb.upper(), path, call)
    for path, calls in DOCUMENT["paths"].items()
    for verb, call in calls.items()
}
LINKED = [name for name, (_, _, call) in CALLS.items() if any("links" in each for each in call["responses"].values())]
CONFIG = ROOT / "tests" / "data" / "config.yaml"
CONTENT = {"flow": json.loads(FLOW), "flow_ui": json.loads(FLOW_UI)}


def filled(part: Any, answer: Any) -> Any:
    """The value of a link with its expressions replaced by parts of the answer."""
    if isinstance(part, dict):
        return {name: filled(each, answer) for name, each in part.items()}
    if isinstance(part, list):
        return [filled(each, answer) for each in part]
    if isinstance(part, str) and part.startswith("$response.body#/"):
        for name in part.removeprefix("$response.body#/").split("/"):
            answer = answer[name]
        return answer
    return part


async def make(stack: Stack, name: str) -> Any:
    """The answer of the operation that has the links."""
    project = str(stack.people.staged if name == "PromoteApp" else stack.people.project)
    workflow = await stack.draft(project=stack.people.staged if name == "PromoteApp" else None)
    path = f"/v1/workflows/{workflow['id']}"
    match name:
        case "CreateWorkflow":
            return await stack.rest("POST", "/v1/workflows", {"name": "a", "project_id": project, **CONTENT})
        case "ImportWorkflow":
            body = {"name": "a", "project_id": project, "config": CONFIG.read_text()}
            return await stack.rest("POST", "/v1/workflows/import", body)
        case "ReleaseWorkflow":
            return await stack.rest("POST", f"{path}/release", {"name": "a", **CONTENT})
        case "CreateRuntime":
            new = {"version": new_id().hex, "label": "Dynamiq 0.70", "lock": "dynamiq==0.70.0\n"}
            return await stack.rest("POST", "/v1/runtimes", new, token="operator")
        case "CreateAccessKey":
            return await stack.rest("POST", "/v1/access-keys", {"project_id": project, "name": "key"})
    saved = [await stack.rest("POST", f"{path}/save", {**CONTENT, "description": note}) for note in ("1", "2")]
    match name:
        case "SaveWorkflow":
            return saved[1]
        case "RestoreVersion":
            return await stack.rest("POST", f"{path}/versions/1/restore", {})
        case "ForkWorkflow":
            return await stack.rest("POST", f"{path}/fork", {"name": "fork"})
    create = {"name": "app", "project_id": project, "workflow_id": workflow["id"]}
    create |= {"environment": "staging"} if name == "PromoteApp" else {"workflow_version_id": saved[0].data["id"]}
    app = await stack.rest("POST", "/v1/apps", create)
    match name:
        case "CreateApp":
            return app
        case "PromoteApp":
            return await stack.rest("POST", f"/v1/apps/{app.data['id']}/promote", {})
    deployed = await stack.rest("POST", f"/v1/apps/{app.data['id']}/deploy", {"workflow_id": workflow["id"]})
    if name == "RollbackApp":
        return await stack.rest("POST", f"/v1/apps/{app.data['id']}/rollback", {})
    return deployed


@pytest.mark.parametrize("name", LINKED)
async def test_the_links_of_an_openapi_operation_lead_to_successful_calls(shared_stack: Stack, name: str):
    stack, (_, _, call) = shared_stack, CALLS[name]
    (links,) = [each["links"] for each in call["responses"].values() if "links" in each]
    in_order = sorted(links.items(), key=lambda link: CALLS[link[0]][0] == "DELETE")
    made, refused = await make(stack, name), {}

    for target, link in in_order:
        made = made if CALLS[target][0] == "GET" else await make(stack, name)
        verb, path, _ = CALLS[target]
        parameters = filled(link.get("parameters", {}), made.body)
        where = re.sub(r"\{(\w+)\}", lambda found, given=parameters: str(given.pop(found[1])), path)
        query = "&".join(f"{each}={value}" for each, value in parameters.items())
        body = None if verb in ("GET", "DELETE") else filled(link.get("requestBody", {}), made.body)
        token = "operator" if "Runtime" in target else "admin"
        answer = await stack.rest(verb, f"{where}?{query}" if query else where, body, token=token)
        if answer.status >= 300 and answer.status != 501:
            refused[target] = answer.content.decode()

    assert made.status < 300
    assert refused == {}
