"""Workflows, versions and labels, and their rules."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from service_kit.errors import InvalidFields
from service_kit.validation import is_uuid
from workflow_service.errors import VersionIsLatest, WorkflowNotDraft
from workflow_service.flow import Content

SLUG = re.compile(r"[a-z0-9]([a-z0-9]|-[a-z0-9])*")
MAX_NAME = 128
LABEL = re.compile(r"[a-z][a-z0-9-]{0,62}")
MAX_DESCRIPTION = 512
MAX_NOTE = 2000


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable state of a workflow. `flow` and `flow_ui` are None if they were not read."""

    id: UUID
    number: int
    description: str
    workflow_id: UUID
    current: bool
    digest: bytes
    canvas_digest: bytes
    identical_to: int | None
    created_at: datetime
    created_by: UUID
    created_by_name: str
    archived_at: datetime | None
    archived_by: UUID | None
    revision: int
    note: str | None
    noted_at: datetime | None
    noted_by: UUID | None
    flow: bytes | None = None
    flow_ui: bytes | None = None

    @property
    def label(self) -> str:
        return f"v{self.number}"

    @property
    def content(self) -> Content:
        """The version's content. Raises LookupError if flow and flow_ui were not read."""
        if self.flow is None or self.flow_ui is None:
            raise LookupError("the version was read without its content")
        return Content(self.flow, self.flow_ui, self.digest, self.canvas_digest)

    @property
    def etag(self) -> str:
        """Changes with everything that can change: archive state and note (through the revision), and whether it is the
        latest version."""
        return f'"{self.id}.{self.revision}{".current" if self.current else ""}"'

    def check_archivable(self) -> None:
        if self.current:
            raise VersionIsLatest(self.workflow_id, "archive")

    def check_deletable(self) -> None:
        if self.current:
            raise VersionIsLatest(self.workflow_id, "delete")


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest version of a workflow, without its content."""

    id: UUID
    number: int
    description: str
    created_at: datetime
    created_by: UUID


@dataclass(frozen=True, slots=True)
class Workflow:
    """A named graph with a history of versions. A draft has no version yet, only a canvas."""

    id: UUID
    name: str
    description: str
    project_id: UUID
    version_count: int
    hidden_count: int
    """Number of versions that the list omits."""
    revision: int
    created_at: datetime
    created_by: UUID
    updated_at: datetime
    updated_by: UUID
    latest: Latest | None
    flow: bytes | None = None
    flow_ui: bytes | None = None

    @property
    def is_draft(self) -> bool:
        return self.version_count == 0

    @property
    def etag(self) -> str:
        return f'"{self.latest.id if self.latest else "draft"}.{self.revision}"'


@dataclass(frozen=True, slots=True)
class LockedWorkflow:
    """A workflow that is locked until the transaction ends."""

    id: UUID
    project_id: UUID
    version_count: int
    accepts_release: bool
    latest_digest: bytes | None

    @property
    def is_draft(self) -> bool:
        return self.version_count == 0

    def check_releasable(self, digest: bytes, *, by_official_client: bool) -> None:
        """A draft can be released. The official client saves a draft before it releases it, so one such release with
        the same flow is accepted too."""
        accepts = by_official_client and self.accepts_release and self.latest_digest == digest
        if not self.is_draft and not accepts:
            raise WorkflowNotDraft(self.id)


@dataclass(frozen=True, slots=True)
class Label:
    """A named pointer of a workflow to one of its versions."""

    workflow_id: UUID
    name: str
    version_id: UUID
    number: int
    """The number of the version that the label points to."""
    revision: int
    moved_at: datetime
    moved_by: UUID
    moved_by_name: str

    @property
    def etag(self) -> str:
        return f'"label.{self.name}.{self.revision}"'


@dataclass(frozen=True, slots=True)
class LabelMove:
    """A label was set or removed. If it was removed, `version_id` and `number` are None."""

    revision: int
    version_id: UUID | None
    number: int | None
    moved_at: datetime
    moved_by: UUID
    moved_by_name: str


@dataclass(frozen=True, slots=True)
class VersionRef:
    """A reference to a version of a workflow: by id, as the latest, by number, or by a label."""

    by: Literal["id", "latest", "number", "label"]
    id: UUID | None = None
    number: int | None = None
    label: str | None = None

    @property
    def values(self) -> tuple[UUID | int | str, ...]:
        """Parameters of a query for the version."""
        return tuple(value for value in (self.id, self.number, self.label) if value is not None)

    def __str__(self) -> str:
        return f"@{self.label}" if self.label else str(self.id or self.number or "latest")

    @classmethod
    def parse(cls, text: str, field: str = "version") -> "VersionRef":
        """Raises InvalidFields naming `field`."""
        if text == "latest":
            return cls("latest")
        # Ten digits would exceed the range of the column.
        if text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= 2**31 - 1 and len(text) <= 10:
            return cls("number", number=int(text))
        if is_uuid(text):
            return cls("id", id=UUID(text))
        if text.startswith("@") and is_label(text[1:]):
            return cls("label", label=text[1:])
        raise InvalidFields({field: "must be a UUID, latest, a number from 1, or @ and a label"})

    @classmethod
    def of_id(cls, text: str) -> "VersionRef":
        """Parse a field `workflow_version_id` that has passed validation."""
        return cls("label", label=text[1:]) if text.startswith("@") else cls("id", id=UUID(text))


def is_label(name: str) -> bool:
    return LABEL.fullmatch(name) is not None and name != "latest"


def check_label(name: str) -> None:
    """Raises InvalidFields."""
    if not is_label(name):
        raise InvalidFields(
            {"name": "must be a letter and up to 62 more of a to z, 0 to 9 and hyphens, and not `latest`"}
        )


def check_texts(*, name: str | None = None, description: str | None = None, note: str | None = None) -> None:
    """Check the texts that people type. Raises InvalidFields naming each invalid field."""
    wrong = {}
    if name is not None and not (SLUG.fullmatch(name) and len(name) <= MAX_NAME):
        wrong["name"] = (
            "cannot be blank"
            if not name
            else f"must be lower-case letters and digits, single hyphens between them, up to {MAX_NAME} characters"
        )
    if description is not None and len(description) > MAX_DESCRIPTION:
        wrong["description"] = f"must be at most {MAX_DESCRIPTION} characters"
    if note is not None and len(note) > MAX_NOTE:
        wrong["note"] = f"must be at most {MAX_NOTE:,} characters"
    if wrong:
        raise InvalidFields(wrong)
