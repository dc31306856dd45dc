"""The loadable that ResolveVersion returns for replicas."""

import json
from hashlib import sha256

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.stack import FLOW, Stack


async def resolve(stack: Stack, workflow_id: str, *, omit_flow: bool = False) -> pb.ResolveVersionResponse:
    request = pb.ResolveVersionRequest(
        project_id=str(stack.people.project), workflow_id=workflow_id, omit_flow=omit_flow
    )
    return await stack.workflows.ResolveVersion(request, metadata=stack.as_("service"))


async def test_resolve_version_returns_the_loadable_of_the_flow_and_its_digest(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow()

    for _ in range(2):  # translated, then from the cache
        loadable = (await resolve(shared_stack, workflow["id"])).loadable
        assert json.loads(loadable.document.utf8)["nodes"].keys() == {node["id"] for node in json.loads(FLOW)["nodes"]}
        assert loadable.digest == sha256(loadable.document.utf8).digest()


async def test_resolve_version_omits_the_loadable_with_the_flow(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow()

    answer = await resolve(shared_stack, workflow["id"], omit_flow=True)

    assert not answer.HasField("loadable")
    assert not answer.version.HasField("flow")


async def test_a_flow_that_cannot_be_translated_has_warnings_and_no_loadable(shared_stack: Stack):
    workflow = await shared_stack.draft()
    flow = json.loads(FLOW)
    flow["nodes"][1]["depends"] = [{"node": "nobody"}]
    body = {"flow": flow, "flow_ui": {}}
    await shared_stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body)

    for _ in range(2):
        answer = await resolve(shared_stack, workflow["id"])
        assert not answer.HasField("loadable")
        assert answer.warnings[0].startswith("flow.nodes[1].depends[0].node must be a node of the flow")
