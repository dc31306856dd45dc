"""Builds the contract's messages for workflows and versions."""

import json
from typing import Any

from service_kit.errors import DocumentTooComplex
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.times import timestamp
from workflow_service.diff import MISSING, Edge, FlowDiff, ValueChange, diff_flows, parse, same_documents
from workflow_service.dynamiq_config.problems import Problem
from workflow_service.model import Label, LabelMove, Version, Workflow

MAX_DIFF_BYTES = 16 << 20


def workflow_message(workflow: Workflow) -> pb.Workflow:
    """Includes flow and flow_ui if the workflow has them."""
    message = pb.Workflow(
        id=str(workflow.id),
        name=workflow.name,
        description=workflow.description,
        status=pb.WORKFLOW_STATUS_DRAFT if workflow.is_draft else pb.WORKFLOW_STATUS_RELEASED,
        project_id=str(workflow.project_id),
        version_count=workflow.version_count - workflow.hidden_count,
        next_version=workflow.version_count + 1,
        created_at=timestamp(workflow.created_at),
        created_by=str(workflow.created_by),
        updated_at=timestamp(workflow.updated_at),
        updated_by=str(workflow.updated_by),
    )
    if workflow.latest is not None:
        message.latest_version.CopyFrom(
            pb.LatestVersion(
                id=str(workflow.latest.id),
                version=workflow.latest.number,
                label=f"v{workflow.latest.number}",
                description=workflow.latest.description,
                created_at=timestamp(workflow.latest.created_at),
                created_by=str(workflow.latest.created_by),
            )
        )
    if workflow.flow is not None and workflow.flow_ui is not None:
        message.flow.utf8 = workflow.flow
        message.flow_ui.utf8 = workflow.flow_ui
    return message


def version_message(version: Version) -> pb.Version:
    """Includes flow and flow_ui if the version has them."""
    message = pb.Version(
        id=str(version.id),
        version=version.number,
        label=f"v{version.number}",
        description=version.description,
        workflow_id=str(version.workflow_id),
        current=version.current,
        digest=f"sha256:{version.digest.hex()}",
        canvas_digest=f"sha256:{version.canvas_digest.hex()}",
        identical_to=version.identical_to,
        created_at=timestamp(version.created_at),
        created_by=str(version.created_by),
        created_by_name=version.created_by_name,
    )
    if version.archived_at is not None:
        message.archived_at.CopyFrom(timestamp(version.archived_at))
        message.archived_by = str(version.archived_by)
    if version.note is not None and version.noted_at is not None:
        message.note = version.note
        message.noted_at.CopyFrom(timestamp(version.noted_at))
        message.noted_by = str(version.noted_by)
    if version.flow is not None:
        message.flow.utf8 = version.flow
    if version.flow_ui is not None:
        message.flow_ui.utf8 = version.flow_ui
    return message


def label_message(label: Label) -> pb.Label:
    return pb.Label(
        name=label.name,
        workflow_id=str(label.workflow_id),
        workflow_version_id=str(label.version_id),
        version=label.number,
        moved_at=timestamp(label.moved_at),
        moved_by=str(label.moved_by),
        moved_by_name=label.moved_by_name,
    )


def move_message(move: LabelMove) -> pb.LabelMove:
    return pb.LabelMove(
        revision=move.revision,
        workflow_version_id=str(move.version_id) if move.version_id else None,
        version=move.number,
        moved_at=timestamp(move.moved_at),
        moved_by=str(move.moved_by),
        moved_by_name=move.moved_by_name,
    )


def compared(before: bytes, after: bytes, canvas_before: bytes, canvas_after: bytes) -> bytes:
    """The answer to DiffVersions, serialized. Raises DocumentTooComplex."""
    message = diff_message(
        diff_flows(parse(before), parse(after)),
        layout_changed=canvas_before != canvas_after and not same_documents(canvas_before, canvas_after),
    )
    if message.ByteSize() > MAX_DIFF_BYTES:
        raise DocumentTooComplex(f"differs in more than {MAX_DIFF_BYTES >> 20} MiB of values")
    return pb.DiffVersionsResponse(data=message).SerializeToString()


def diff_message(diff: FlowDiff, *, layout_changed: bool) -> pb.Diff:
    return pb.Diff(
        nodes=pb.NodeDiff(
            added=[pb.NodeRef(id=node_id, type=node_type) for node_id, node_type in diff.added],
            removed=[pb.NodeRef(id=node_id, type=node_type) for node_id, node_type in diff.removed],
            changed=[
                pb.NodeChange(id=node.id, type=node.type, changes=map(change_message, node.changes))
                for node in diff.changed
            ],
        ),
        edges=pb.EdgeDiff(added=map(edge_message, diff.edges_added), removed=map(edge_message, diff.edges_removed)),
        flow=map(change_message, diff.flow),
        layout_changed=layout_changed,
    )


def change_message(change: ValueChange) -> pb.ValueChange:
    return pb.ValueChange(path=change.path, before=json_message(change.before), after=json_message(change.after))


def json_message(value: Any) -> pb.Json | None:
    if value is MISSING:
        return None
    return pb.Json(utf8=json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def edge_message(edge: Edge) -> pb.Edge:
    return pb.Edge(**{"from": edge.source, "to": edge.target}, option=edge.option or None)


def problem_message(problem: Problem) -> pb.Problem:
    return pb.Problem(
        path=problem.path,
        message=problem.message,
        severity=pb.SEVERITY_ERROR if problem.severity == "error" else pb.SEVERITY_WARNING,
    )
