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
from service_kit.access.caller import Caller
from service_kit.calls import Rpc, SecondTries, single_call
from service_kit.errors import ServiceError
from service_kit.hotpath.rpc_batches import RpcBatcher
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.times import moment

RESOLVE = "/flowpin.workflow.v1.WorkflowService/ResolveVersion"
ASK_SECONDS = 5.0
# What this app has had live deploys without the workflow service, which is only asked what is worth a warning.
ASK_ABOUT_KNOWN_SECONDS = 1.0
ASK_AGAIN_SECONDS = 0.5
"""When another replica is asked as well."""

REFUSED = (WorkflowNotFound, WorkflowNotReleased, VersionNotFound, VersionDeleted, VersionOfOtherWorkflow)
"""Why there is nothing to pin."""
REFUSALS: dict[str, Callable[[], ServiceError]] = {refusal.reason: refusal for refusal in REFUSED}


@dataclass(frozen=True, slots=True)
class ResolvedVersion:
    """A pin, its documents (None when this service has kept them already), and what the person should know."""

    pin: Pin
    flow: bytes | None
    warnings: tuple[str, ...]
    loadable: bytes | None = None
    """What replicas load."""


class WorkflowClient:
    """The workflow service, asked as this service's own account."""

    def __init__(
        self, channel: grpc.aio.Channel, token: str, *, together: bool = True, has_replicas: bool = False
    ) -> None:
        """`together`: what is asked at the same time goes as one call."""
        tries = SecondTries(ASK_AGAIN_SECONDS) if has_replicas else None
        self._ask = _rpc(channel, ASK_SECONDS, together, tries)
        self._ask_about_known = _rpc(channel, ASK_ABOUT_KNOWN_SECONDS, together, tries)
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
        """What to pin: the version of this id, or what the label names now, or else the latest version.

        `known` is the pin as this app last had it live.

        Raises WorkflowNotFound, VersionNotFound, VersionOfOtherWorkflow, WorkflowNotReleased or
        WorkflowServiceUnavailable; with `known`, none of them.
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
            raise WorkflowServiceUnavailable from failure
        return _resolved(workflow_pb2.ResolveVersionResponse.FromString(answer), known)


def _rpc(channel: grpc.aio.Channel, seconds: float, together: bool, tries: SecondTries | None) -> Rpc:
    rpc = single_call(channel, RESOLVE, seconds, tries)
    return RpcBatcher(channel, seconds, tries).rpc(RESOLVE, rpc) if together else rpc


def _warning(failure: ServiceError) -> str:
    if failure.reason in ("WORKFLOW_NOT_FOUND", "VERSION_NOT_FOUND", "VERSION_DELETED"):
        return "The workflow or this version of it has been deleted; the app keeps what it had live."
    return "The workflow service did not answer, so whether the version is archived is not known."


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
        # What is pinned once stays so, however flows are translated by now.
        loadable_digest=(known.loadable_digest if known else None) or answer.loadable.digest or None,
    )
    archived = (f"Version {version.label} is archived.",) if version.HasField("archived_at") else ()
    return ResolvedVersion(
        pin,
        None if known else version.flow.utf8,
        (*archived, *answer.warnings),
        answer.loadable.document.utf8 if answer.HasField("loadable") else None,
    )
