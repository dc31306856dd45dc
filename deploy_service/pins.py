"""Finds out what a deployment pins: from the workflow service, or from what the app has had live."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import grpc

from deploy_service.errors import (
    VersionDeleted,
    VersionNotFound,
    VersionOfOtherWorkflow,
    WorkflowNotFound,
    WorkflowNotReleased,
    WorkflowServiceUnavailable,
)
from deploy_service.model import Pin
from service_kit.auth import Caller
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from service_kit.times import moment

ASK_SECONDS = 5.0
# What this app has had live deploys without the workflow service, which is only asked what is worth a warning.
ASK_ABOUT_KNOWN_SECONDS = 1.0

REFUSED = (WorkflowNotFound, WorkflowNotReleased, VersionNotFound, VersionDeleted, VersionOfOtherWorkflow)
"""Why there is nothing to pin."""
REFUSALS: dict[str, Callable[[], ServiceError]] = {refusal.reason: refusal for refusal in REFUSED}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A pin, its flow's bytes (None when this service has kept them already), and what the person should know."""

    pin: Pin
    flow: bytes | None
    warnings: tuple[str, ...]


class Workflows:
    """The workflow service, asked as this service's own account."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._stub = workflow_pb2_grpc.WorkflowServiceStub(channel)
        self._token = token

    async def resolve(
        self, caller: Caller, project_id: UUID, workflow_id: UUID, version_id: UUID | None, known: Pin | None
    ) -> Resolved:
        """What to pin; the latest version when `version_id` is None. `known` is the pin as this app last had it live.

        Raises WorkflowNotFound, VersionNotFound, VersionOfOtherWorkflow, WorkflowNotReleased or
        WorkflowServiceUnavailable; with `known`, none of them.
        """
        request = workflow_pb2.ResolveVersionRequest(
            project_id=str(project_id),
            workflow_id=str(workflow_id),
            workflow_version_id=str(version_id) if version_id else None,
            omit_flow=known is not None,
        )
        try:
            answer = await self._stub.ResolveVersion(
                request,
                timeout=ASK_ABOUT_KNOWN_SECONDS if known else ASK_SECONDS,
                metadata=(("authorization", f"Bearer {self._token}"), ("x-request-id", caller.request_id)),
            )
        except grpc.aio.AioRpcError as error:
            failure = ServiceError.from_rpc_error(error)
            if known is not None:
                return Resolved(known, None, (_warning(failure),))
            if refusal := REFUSALS.get(failure.reason):
                raise refusal() from None
            raise WorkflowServiceUnavailable from error
        return _resolved(answer, known)


def _warning(failure: ServiceError) -> str:
    if failure.reason in ("WORKFLOW_NOT_FOUND", "VERSION_NOT_FOUND", "VERSION_DELETED"):
        return "The workflow or this version of it has been deleted; the app keeps what it had live."
    return "The workflow service did not answer, so whether the version is archived is not known."


def _resolved(answer: workflow_pb2.ResolveVersionResponse, known: Pin | None) -> Resolved:
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
    )
    archived = (f"Version {version.label} is archived.",) if version.HasField("archived_at") else ()
    return Resolved(pin, None if known else version.flow.utf8, (*archived, *answer.warnings))
