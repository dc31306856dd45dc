"""Sets and removes labels, the named pointers of a workflow to its versions. One transaction writes the change, its
move and its audit event."""

import re
from dataclasses import dataclass
from uuid import UUID

from service_kit import audit
from service_kit.access.caller import Caller
from service_kit.access.file import Role
from service_kit.db import Connection
from service_kit.errors import InvalidFields
from service_kit.times import rfc3339
from workflow_service.conflicts import ENTITY_TAG, ENTITY_TAGS, MAX_ETAGS
from workflow_service.errors import LabelConflict, LabelNotFound, NoSuchVersion, TooManyLabels, VersionNotFound
from workflow_service.model import Label, LockedWorkflow, VersionRef
from workflow_service.permissions import lock_workflow
from workflow_service.repository import labels, versions

MAX_NAMES = 100
"""Maximum number of labels per workflow, including removed ones, whose history is kept."""
ETAG = re.compile(r'"label\.([a-z][a-z0-9-]*)\.(\d+)"')


@dataclass(frozen=True, slots=True)
class Expected:
    """The condition for a move: the label points to this version, or has one of these ETags.

    With `anything`, the label must only exist.
    """

    version_id: UUID | None = None
    etags: frozenset[str] = frozenset()
    anything: bool = False

    def is_met_by(self, label: Label | None) -> bool:
        if label is None:
            return False
        return self.anything or label.etag in self.etags or label.version_id == self.version_id


def expected_of(caller: Caller, version_id: UUID | None = None) -> Expected | None:
    """The condition from the request's field, or otherwise from the metadata `if-match`. None means that the last move
    wins. Raises InvalidFields."""
    if version_id is not None:
        return Expected(version_id=version_id)
    if caller.if_match is None:
        return None
    if caller.if_match.strip() == "*":
        return Expected(anything=True)
    tags = re.findall(ENTITY_TAG, caller.if_match) if ENTITY_TAGS.fullmatch(caller.if_match) else []
    ours = frozenset(tag for tag in tags if ETAG.fullmatch(tag))
    if not 0 < len(ours) <= MAX_ETAGS:
        raise InvalidFields({"if-match": f"must be the ETag of the label, up to {MAX_ETAGS} of them, or *"})
    return Expected(etags=ours)


async def set_label(
    db: Connection, caller: Caller, workflow_id: UUID, name: str, ref: VersionRef, expected: Expected | None
) -> Label:
    """Raises WorkflowNotFound, InsufficientRole, NoSuchVersion, LabelConflict or TooManyLabels."""
    async with db.transaction():
        workflow, label = await _lock_label(db, caller, workflow_id, name)
        try:
            version = await versions.get_version_head(db, [workflow.project_id], workflow_id, ref)
        except VersionNotFound:
            raise NoSuchVersion("workflow_version_id") from None
        if label is not None and label.version_id == version.id:
            return label
        _check_expected(name, label, expected)
        if label is None and await labels.count_other_names(db, workflow.project_id, workflow_id, name) >= MAX_NAMES:
            raise TooManyLabels(MAX_NAMES)
        await labels.move_label(db, workflow.project_id, workflow_id, name, version.number, caller.id, caller.name)
        details = {"label": name, "version": version.label} | _previous(label)
        await audit.record(db, caller, workflow.project_id, workflow_id, "SetLabel", version.id, **details)
        return await labels.get_label(db, [workflow.project_id], workflow_id, name)


async def delete_label(db: Connection, caller: Caller, workflow_id: UUID, name: str, expected: Expected | None) -> None:
    """Raises WorkflowNotFound, InsufficientRole, LabelNotFound or LabelConflict."""
    async with db.transaction():
        workflow, label = await _lock_label(db, caller, workflow_id, name)
        if label is None:
            raise LabelNotFound(name)
        _check_expected(name, label, expected)
        await labels.move_label(db, workflow.project_id, workflow_id, name, None, caller.id, caller.name)
        details = {"label": name} | _previous(label)
        await audit.record(db, caller, workflow.project_id, workflow_id, "DeleteLabel", label.version_id, **details)


async def _lock_label(
    db: Connection, caller: Caller, workflow_id: UUID, name: str
) -> tuple[LockedWorkflow, Label | None]:
    """Lock the workflow. Returns it and its label of this name, if there is one."""
    workflow = await lock_workflow(db, caller, workflow_id)
    if name in caller.project(workflow.project_id).protected_labels:
        caller.require(workflow.project_id, Role.ADMIN)
    try:
        return workflow, await labels.get_label(db, [workflow.project_id], workflow_id, name)
    except LabelNotFound:
        return workflow, None


def _check_expected(name: str, label: Label | None, expected: Expected | None) -> None:
    if expected is None or expected.is_met_by(label):
        return
    if label is None:
        raise LabelConflict(f"The label {name} does not exist now.")
    raise LabelConflict(
        f"{label.moved_by_name} moved {name} to v{label.number} since.",
        author=label.moved_by_name,
        author_id=str(label.moved_by),
        version=str(label.number),
        version_id=str(label.version_id),
        moved_at=rfc3339(label.moved_at),
    )


def _previous(label: Label | None) -> dict[str, str]:
    return {} if label is None else {"previous": f"v{label.number}"}
