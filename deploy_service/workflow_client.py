"""Asks the workflow service to resolve versions for deployments, and to export pinned flows."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import grpc

from deploy_service.errors import (
    AccountNotPermitted,
    ExportUnavailable,
    VersionDeleted,
    VersionNotFound,
    VersionOfOtherWorkflow,
    WorkflowNotFound,
    WorkflowNotReleased,
    WorkflowServiceUnavailable,
)
from deploy_service.model import Pin
from service_kit.access.caller import Caller
from service_kit.calls import Rpc, SecondTries, single_call
from service_kit.errors import ServiceError
from service_kit.hotpath.rpc_batches import RpcBatcher
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.times import moment

RESOLVE = "/flowpin.workflow.v1.WorkflowService/ResolveVersion"
EXPORT = "/flowpin.workflow.v1.WorkflowService/ExportWorkflow"
ASK_SECONDS = 5.0
EXPORT_SECONDS = 25.0
# A version that was live in the app can be deployed without the workflow service. The call then only finds warnings, so
# it has less time.
ASK_ABOUT_KNOWN_SECONDS = 1.0
ASK_AGAIN_SECONDS = 0.5
"""Seconds after which the call is also sent to another replica."""

REFUSED = (WorkflowNotFound, WorkflowNotReleased, VersionNotFound, VersionDeleted, VersionOfOtherWorkflow)
"""Errors that mean that there is nothing to pin."""
REFUSALS: dict[str, Callable[[], ServiceError]] = {refusal.reason: refusal for refusal in REFUSED}

FLOW_REFUSED = ("INVALID_FLOW", "FLOW_TOO_LARGE", "DOCUMENT_TOO_COMPLEX")
"""Reasons why a flow cannot be exported. The caller gets these errors unchanged."""


@dataclass(frozen=True, slots=True)
class ResolvedVersion:
    """A pin, its documents (None if this service has already stored them), and warnings for the person."""

    pin: Pin
    flow: bytes | None
    warnings: tuple[str, ...]
    loadable: bytes | None = None
    """The document that replicas load."""


class WorkflowClient:
    """Calls the workflow service with this service's own account."""

    def __init__(
        self, channel: grpc.aio.Channel, token: str, *, together: bool = True, has_replicas: bool = False
    ) -> None:
        """`together`: concurrent requests are combined into one call."""
        tries = SecondTries(ASK_AGAIN_SECONDS) if has_replicas else None
        self._ask = _rpc(channel, ASK_SECONDS, together, tries)
        self._ask_about_known = _rpc(channel, ASK_ABOUT_KNOWN_SECONDS, together, tries)
        self._export = single_call(channel, EXPORT, EXPORT_SECONDS)
        self._authorization = f"Bearer {token}"

    async def resolve(
        self,
        caller: Caller,
        project_id: UUID,
        workflow_id: UUID,
        version_id: UUID | None,
        known: Pin | None,
        label: str | None = None,
    ) -> ResolvedVersion:
        """The version to pin: by id, by the label's current version, or the latest. `known` is its pin if it was live
        in this app.

        Raises WorkflowNotFound, VersionNotFound, VersionOfOtherWorkflow, WorkflowNotReleased, AccountNotPermitted or
        WorkflowServiceUnavailable. With `known`, raises none of them.
        """
        request = workflow_pb2.ResolveVersionRequest(
            project_id=str(project_id),
            workflow_id=str(workflow_id),
            workflow_version_id=f"@{label}" if label else str(version_id) if version_id else None,
            omit_flow=known is not None and known.loadable_digest is not None,
        )
        ask = self._ask_about_known if known else self._ask
        try:
            answer, _ = await ask(
                request.SerializeToString(),
                {"authorization": self._authorization, "x-request-id": caller.request_id},
            )
        except ServiceError as failure:
            if known is not None:
                return ResolvedVersion(known, None, (_warning(failure),))
            if refusal := REFUSALS.get(failure.reason):
                raise refusal() from None
            raise _why_not_read(failure) from failure
        return _resolved(workflow_pb2.ResolveVersionResponse.FromString(answer), known)

    async def export(self, caller: Caller, project_id: UUID, flow: bytes, version: int) -> bytes:
        """The archive of a flow, as if it were this version. Raises an error of FLOW_REFUSED, or ExportUnavailable."""
        request = workflow_pb2.ExportWorkflowRequest(
            project_id=str(project_id), flow=workflow_pb2.Json(utf8=flow), version_number=version
        )
        try:
            answer, _ = await self._export(
                request.SerializeToString(),
                {"authorization": self._authorization, "x-request-id": caller.request_id},
            )
        except ServiceError as failure:
            if failure.reason in FLOW_REFUSED:
                raise
            raise (AccountNotPermitted() if _is_refused(failure) else ExportUnavailable()) from failure
        archive: bytes = workflow_pb2.ExportWorkflowResponse.FromString(answer).data.data
        return archive


def _why_not_read(failure: ServiceError) -> ServiceError:
    return AccountNotPermitted() if _is_refused(failure) else WorkflowServiceUnavailable()


def _is_refused(failure: ServiceError) -> bool:
    """Whether this service's own account lacks the permission."""
    refusals = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    return failure.code in refusals or failure.reason == "PROJECT_NOT_FOUND"


def _rpc(channel: grpc.aio.Channel, seconds: float, together: bool, tries: SecondTries | None) -> Rpc:
    rpc = single_call(channel, RESOLVE, seconds, tries)
    return RpcBatcher(channel, seconds, tries).rpc(RESOLVE, rpc) if together else rpc


def _warning(failure: ServiceError) -> str:
    if failure.reason in ("WORKFLOW_NOT_FOUND", "VERSION_NOT_FOUND", "VERSION_DELETED"):
        return "The workflow or this version was deleted. What is live stays live."
    return "The workflow service did not answer, so it is not known whether the version is archived."


def _resolved(answer: workflow_pb2.ResolveVersionResponse, known: Pin | None) -> ResolvedVersion:
    workflow, version = answer.workflow, answer.version
    pin = Pin(
        workflow_id=UUID(workflow.id),
        workflow_name=workflow.name,
        workflow_description=workflow.description,
        version_id=UUID(version.id),
        version_number=version.version,
        version_description=version.description,
        version_digest=bytes.fromhex(version.digest.removeprefix("sha256:")),
        version_created_at=moment("created_at", version.created_at),
        # Keep the known pin, even if the workflow service now translates flows differently.
        loadable_digest=(known.loadable_digest if known else None) or answer.loadable.digest or None,
    )
    archived = (f"Version {version.label} is archived.",) if version.HasField("archived_at") else ()
    return ResolvedVersion(
        pin,
        None if known else version.flow.utf8,
        (*archived, *answer.warnings),
        answer.loadable.document.utf8 if answer.HasField("loadable") else None,
    )
