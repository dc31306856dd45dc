"""The gRPC client of `flowpin verify --load` sends a token and a deadline with each call."""

import grpc
import pytest

from flowpin_cli.verify.load.grpc_client import flowpin_client
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.support.observed_services import Backend, Observed
from tests.support.stack import Stack

CONTRACTS = [workflow_pb2, identity_pb2, deploy_pb2]


async def test_every_call_of_the_verify_client_is_authenticated(shared_stack: Stack):
    stack = shared_stack
    workflow = await stack.draft()

    async with flowpin_client(
        workflow=f"127.0.0.1:{stack.workflow_port}",
        deploy=f"127.0.0.1:{stack.deploy_port}",
        token=stack.people.secret("viewer"),
    ) as client:
        read = await client.workflows.GetWorkflow(workflow_pb2.GetWorkflowRequest(workflow_id=workflow["id"]))
        me = await client.identity.GetMe(identity_pb2.GetMeRequest())
        runtimes = await client.deploys.ListRuntimes(deploy_pb2.ListRuntimesRequest())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.workflows.DeleteWorkflow(workflow_pb2.DeleteWorkflowRequest(workflow_id=workflow["id"]))

    assert read.data.name == "flow"
    assert me.data.email == "ada@acme.test"
    assert len(runtimes.data) > 0
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_call_of_the_verify_client_without_a_timeout_has_the_clients_timeout():
    backend = Backend(Observed(hangs=True))
    await backend.start()
    target = f"127.0.0.1:{backend.port}"

    async with flowpin_client(workflow=target, deploy=target, token="t", timeout_seconds=0.2) as client:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await client.workflows.SaveWorkflow(workflow_pb2.SaveWorkflowRequest())
    await backend.stop()

    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert backend.observed.metadata["authorization"] == "Bearer t"


def test_the_verify_client_authenticates_every_kind_of_rpc():
    rpcs = [
        rpc
        for contract in CONTRACTS
        for service in contract.DESCRIPTOR.services_by_name.values()
        for rpc in service.methods
    ]

    streams = [rpc.name for rpc in rpcs if rpc.client_streaming or rpc.server_streaming]
    assert all(name.startswith("Watch") for name in streams), "the load watches nothing"
