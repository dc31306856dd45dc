"""Builds the contract's messages for runs."""

from uuid import UUID

from run_service.model import Run
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb
from service_kit.times import timestamp


def optional_text(found: UUID | None) -> str | None:
    return None if found is None else str(found)


def run_message(run: Run) -> pb.Run:
    message = pb.Run(
        id=str(run.id),
        app_id=optional_text(run.app_id),
        environment=run.environment,
        deployment_id=optional_text(run.deployment_id),
        workflow_version_id=optional_text(run.version_id),
        version=run.version_number,
        status=pb.RunStatus.Value(f"RUN_STATUS_{run.status.upper()}"),
        started_at=timestamp(run.started_at),
        ended_at=timestamp(run.ended_at) if run.ended_at else None,
        stream=run.is_stream,
        user_id=optional_text(run.user_id),
    )
    if run.error_code is not None:
        message.error.CopyFrom(pb.RunError(code=run.error_code, message=run.error_message or "", node=run.error_node))
    if run.access_key_id is not None:
        message.access_key.CopyFrom(pb.RunAccessKey(id=str(run.access_key_id), preview=run.access_key_preview or ""))
    return message
