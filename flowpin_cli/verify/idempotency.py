"""Checks of stored answers of calls with an idempotency key: the objects that they name exist."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from flowpin_cli.verify.check import Check, Finding, Outcome, Snapshots, is_uuid
from flowpin_cli.verify.snapshot import Row, Snapshot
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2

_ANSWERS = """
    SELECT project_id, principal_id, rpc, key, answer, octet_length(request_digest) AS digest_bytes
    FROM idempotency_keys ORDER BY project_id, principal_id, rpc, key
"""
_MADE: Mapping[str, str] = {
    "Version": """
        SELECT v.id, v.workflow_id::text AS workflow_id, v.number::text AS version,
            'sha256:' || encode(v.digest, 'hex') AS digest,
            'sha256:' || encode(v.canvas_digest, 'hex') AS canvas_digest
        FROM unnest($1::uuid[], $2::uuid[]) AS made (project_id, id)
        JOIN versions v ON v.project_id = made.project_id AND v.id = made.id
    """,
    "Workflow": """
        SELECT made.id, made.project_id::text AS project_id
        FROM unnest($1::uuid[], $2::uuid[]) AS made (project_id, id)
        WHERE EXISTS (SELECT FROM workflows w WHERE w.project_id = made.project_id AND w.id = made.id)
            -- A draft that is deleted is gone.
            OR EXISTS (
                SELECT FROM audit_events e
                WHERE e.project_id = made.project_id AND e.subject_id = made.id AND e.action = 'DeleteWorkflow'
            )
    """,
    "App": """
        SELECT a.id, a.project_id::text AS project_id
        FROM unnest($1::uuid[], $2::uuid[]) AS made (project_id, id)
        JOIN apps a ON a.project_id = made.project_id AND a.id = made.id
    """,
    "Deployment": """
        SELECT d.id, d.app_id::text AS app_id, d.environment, d.workflow_id::text AS workflow_id,
            d.version_id::text AS workflow_version_id, d.runtime_id::text AS runtime_id
        FROM unnest($1::uuid[], $2::uuid[]) AS made (project_id, id)
        JOIN deployments d ON d.project_id = made.project_id AND d.id = made.id
    """,
    "Runtime": """
        SELECT r.id, r.version FROM unnest($1::uuid[], $2::uuid[]) AS made (project_id, id)
        JOIN runtimes r ON r.id = made.id
    """,
    "AccessKey": """
        SELECT k.id, k.name, k.preview, '' AS key -- the secret is not kept
        FROM unnest($1::uuid[], $2::uuid[]) AS made (project_id, id)
        JOIN access_keys k ON k.project_id = made.project_id AND k.id = made.id
    """,
}
"""Queries for the stored object of each kind of answer, with the answer's field names."""
_LATEST = {"Workflow": ("latest_version", "Version"), "App": ("latest_deployment_id", "Deployment")}
"""The other object that the same call created, and the answer's field with its id."""


def _answers(services: list[ServiceDescriptor]) -> dict[str, MethodDescriptor]:
    return {method.input_type.full_name: method for service in services for method in service.methods}


_METHODS = _answers(
    [
        workflow_pb2.DESCRIPTOR.services_by_name["WorkflowService"],
        deploy_pb2.DESCRIPTOR.services_by_name["DeployService"],
    ]
)


async def _look(snapshots: Snapshots, outcome: Outcome) -> None:
    for snapshot in (snapshots["workflow"], snapshots["deploy"]):
        async for rows in snapshot.batches(_ANSWERS, at_once=100):
            await _look_at(snapshot, rows, outcome)
            outcome.count(len(rows))


async def _look_at(snapshot: Snapshot, rows: list[Row], outcome: Outcome) -> None:
    made: dict[str, list[tuple[Finding, UUID, UUID, Any]]] = defaultdict(list)
    for row in rows:
        rpc = row["rpc"].rpartition(".")[2].removesuffix("Request")
        piece: Finding = {"service": snapshot.service, "rpc": rpc, "key": row["key"], "project": str(row["project_id"])}
        if row["digest_bytes"] != 32:
            outcome.add(piece | {"what": "the request's digest has not 32 bytes", "found": row["digest_bytes"]})
        method = _METHODS.get(row["rpc"])
        data = _data(method, row["answer"]) if method else None
        if data is None:
            outcome.add(piece | {"what": "the kept answer cannot be read"})
            continue
        for kind, text, message in _named(data):
            if is_uuid(text):
                made[kind].append((piece, row["project_id"], UUID(text), message))
            else:
                outcome.add(piece | {"what": f"the kept answer has no id of a {kind}", "found": text})
    for kind, each in made.items():
        keys = [project for _, project, _, _ in each], [id_ for _, _, id_, _ in each]
        found = {row["id"]: row for row in await snapshot.fetch(_MADE[kind], *keys)}
        for piece, _, id_, message in each:
            _compare(piece, kind, id_, message, found.get(id_), outcome)


def _data(method: MethodDescriptor, answer: bytes) -> Message | None:
    """The answer's `data`. None if the answer is not one of this method."""
    try:
        message: Any = GetMessageClass(method.output_type).FromString(answer)
        data: Message = message.data
    except (DecodeError, AttributeError):
        return None
    return data if data.DESCRIPTOR.name in {*_MADE, "Label"} else None


def _named(data: Any) -> Iterator[tuple[str, str, Any]]:
    """The created objects in an answer: kind, id, and the message with details, if any."""
    kind = data.DESCRIPTOR.name
    if kind == "Label":  # the label may have been moved later
        yield "Version", data.workflow_version_id, None
        return
    yield kind, data.id, data
    name, other = _LATEST.get(kind, ("", ""))
    if name and data.HasField(name):
        latest = getattr(data, name)
        yield other, latest if isinstance(latest, str) else latest.id, None


def _compare(piece: Finding, kind: str, id_: UUID, message: Any, found: Row | None, outcome: Outcome) -> None:
    if found is None:
        outcome.add(piece | {kind.lower(): str(id_), "what": f"the {kind.lower()} of the kept answer does not exist"})
        return
    if message is None:
        return
    for name, value in found.items():
        if name != "id" and str(getattr(message, name)) != value:
            what = f"the {name} in the kept answer is not that of the {kind.lower()}"
            outcome.add(
                piece | {kind.lower(): str(id_), "what": what, "expected": value, "found": str(getattr(message, name))}
            )


CHECKS = (
    Check(
        "idempotency.answers",
        "The version, workflow, deployment, app, access key or runtime that a kept answer names is there, as the "
        "answer says.",
        "kept answers",
        _look,
    ),
)
