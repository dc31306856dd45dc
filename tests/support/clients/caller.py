"""A caller of the light client that `mypy --strict` must accept. Both clients do the same, and print it."""

import asyncio
import os

import grpc
from flowpin_client import open_async_client, open_client, reason_of
from flowpin_client.pb.flowpin.identity.v1 import identity_pb2
from flowpin_client.pb.flowpin.workflow.v1 import workflow_pb2

WORKFLOW, DEPLOY, TOKEN = os.environ["WORKFLOW"], os.environ["DEPLOY"], os.environ["TOKEN"]
GET = workflow_pb2.GetVersionRequest(workflow_id=os.environ["WORKFLOW_ID"], version="latest")
WATCH = workflow_pb2.WatchVersionsRequest(workflow_id=os.environ["WORKFLOW_ID"])
UNKNOWN = workflow_pb2.GetVersionRequest(workflow_id="00000000-0000-7000-8000-000000000000", version="latest")


def blocking() -> list[str]:
    with open_client(workflow=WORKFLOW, deploy=DEPLOY, token=TOKEN) as client:
        label: str = client.workflows.GetVersion(GET).data.label
        email: str = client.identity.GetMe(identity_pb2.GetMeRequest()).data.email
        for change in client.workflows.WatchVersions(WATCH, timeout=10):
            assert change.sequence
            break
        try:
            client.workflows.GetVersion(UNKNOWN)
        except grpc.RpcError as error:
            return [label, email, str(reason_of(error))]
    return []


async def awaiting() -> list[str]:
    async with open_async_client(workflow=WORKFLOW, deploy=DEPLOY, token=TOKEN) as client:
        label: str = (await client.workflows.GetVersion(GET)).data.label
        email: str = (await client.identity.GetMe(identity_pb2.GetMeRequest())).data.email
        async for change in client.workflows.WatchVersions(WATCH, timeout=10):
            assert change.sequence
            break
        try:
            await client.workflows.GetVersion(UNKNOWN)
        except grpc.RpcError as error:
            return [label, email, str(reason_of(error))]
    return []


print(blocking(), asyncio.run(awaiting()))  # noqa: T201 - the test reads it
