"""The load's calls over gRPC, directly to the services."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from flowpin_cli.verify.load.calls import NO_ANSWER, UNREADABLE, Reply, Request
from flowpin_cli.verify.load.documents import FLOW_UI, digest_of
from flowpin_cli.verify.load.grpc_client import FlowpinClient, flowpin_client
from flowpin_cli.verify.load.options import Target
from flowpin_cli.verify.load.rest import PAGE_SIZE
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2

UNKNOWN = ("CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""Codes after which the call may have taken effect."""


class Grpc:
    name = "grpc"

    def __init__(self, client: FlowpinClient) -> None:
        self._client = client

    async def send(self, request: Request) -> Reply:
        try:
            call = self._start(request)
            message = await call
            etag = dict(await call.trailing_metadata() or ()).get("etag")
        except grpc.aio.AioRpcError as error:
            reason = ServiceError.from_rpc_error(error).reason
            is_unknown = error.code().name in UNKNOWN or reason in NO_ANSWER
            return Reply("unknown" if is_unknown else "refused", f"{error.code().name} {reason}")
        body = hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()[:16]
        try:
            got = _got(request.kind, message)
        except LookupError:
            return Reply("unknown", f"OK {UNREADABLE}", {"body": body})
        return Reply("answered", "OK", {**got, "etag": etag, "body": body})

    def _start(self, request: Request) -> Any:
        sent, target = request.sent, request.target
        names = {"idempotency-key": request.key, "if-match": sent.get("if_match")}
        metadata = tuple((name, value) for name, value in names.items() if value)
        workflows, deploys = self._client.workflows, self._client.deploys
        rpc: Any
        message: Any
        match request.kind:
            case "save":
                rpc = workflows.SaveWorkflow
                message = workflow_pb2.SaveWorkflowRequest(
                    workflow_id=target,
                    flow=workflow_pb2.Json(utf8=request.document),
                    flow_ui=workflow_pb2.Json(utf8=FLOW_UI),
                    description=request.operation,
                    base_version_id=None if sent.get("if_match") else sent.get("base"),
                )
            case "version":
                rpc = workflows.GetVersion
                message = workflow_pb2.GetVersionRequest(workflow_id=target, version=sent["version"])
            case "workflow":
                rpc, message = workflows.GetWorkflow, workflow_pb2.GetWorkflowRequest(workflow_id=target)
            case "versions":
                rpc = workflows.ListVersions
                message = workflow_pb2.ListVersionsRequest(workflow_id=target, page_size=PAGE_SIZE)
            case "deploy":
                rpc = deploys.DeployApp
                message = deploy_pb2.DeployAppRequest(
                    app_id=target,
                    workflow_id=sent["workflow_id"],
                    workflow_version_id=sent.get("version_id"),
                    reason=request.operation,
                )
            case "rollback":
                rpc = deploys.RollbackApp
                message = deploy_pb2.RollbackAppRequest(app_id=target, reason=request.operation)
            case "app":
                rpc, message = deploys.GetApp, deploy_pb2.GetAppRequest(app_id=target)
            case "deployments":
                rpc = deploys.ListDeployments
                message = deploy_pb2.ListDeploymentsRequest(app_id=target, page_size=PAGE_SIZE)
            case _:
                raise ValueError(request.kind)
        return rpc(message, metadata=metadata, timeout=request.patience_seconds)


@asynccontextmanager
async def open_grpc(target: Target, call_seconds: float) -> AsyncIterator[Grpc]:
    """`call_seconds` is the deadline of each call."""
    async with flowpin_client(
        workflow=target.workflow_grpc,
        deploy=target.deploy_grpc,
        token=target.token,
        ca=target.ca,
        timeout_seconds=call_seconds,
    ) as client:
        yield Grpc(client)


def _got(kind: str, message: Any) -> dict[str, Any]:
    data = message.data
    match kind:
        case "save":
            return {"id": data.id, "number": data.version, "digest": data.canvas_digest, "current": data.current}
        case "version":
            digest = digest_of(data.flow.utf8, data.flow_ui.utf8)
            return {"id": data.id, "number": data.version, "digest": digest, "current": data.current}
        case "workflow":
            latest = data.latest_version
            return {"id": latest.id, "number": latest.version, "digest": digest_of(data.flow.utf8, data.flow_ui.utf8)}
        case "versions":
            numbers, current = [row.version for row in data], [row.version for row in data if row.current]
            return {"ids": [row.id for row in data], "numbers": numbers, "current": current}
        case "deployments":
            return {"ids": [row.id for row in data], "live": next((row.id for row in data if row.live), None)}
        case "app":
            return {"live": data.environments[-1].deployment_id or None}
    status = deploy_pb2.DeploymentStatus.Name(data.status).removeprefix("DEPLOYMENT_STATUS_").lower()
    notes = {"notes": list(data.rollout_notes)} if data.rollout_notes else {}
    return {"id": data.id, "status": status, "live": data.live, "version_id": data.workflow_version_id, **notes}
