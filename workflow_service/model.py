"""Workflows and versions as the rules see them."""

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
MAX_DESCRIPTION = 512


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable state of a workflow. `flow` and `flow_ui` are None where they were not asked for."""

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
    flow: bytes | None = None
    flow_ui: bytes | None = None

    @property
    def label(self) -> str:
        return f"v{self.number}"

    @property
    def content(self) -> Content:
        """What it holds. Raises LookupError when flow and flow_ui were not asked for."""
        if self.flow is None or self.flow_ui is None:
            raise LookupError("the version was read without its content")
        return Content(self.flow, self.flow_ui, self.digest, self.canvas_digest)

    @property
    def etag(self) -> str:
        """Covers all that can change: the archive state by the revision, and whether it is the latest."""
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
    """A named graph with a history of versions; a draft has none yet and keeps its canvas instead."""

    id: UUID
    name: str
    description: str
    project_id: UUID
    version_count: int
    hidden_count: int
    """How many of its versions the list leaves out."""
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
    """A workflow that no one else can change until the transaction ends."""

    id: UUID
    project_id: UUID
    version_count: int
    accepts_release: bool
    latest_digest: bytes | None

    @property
    def is_draft(self) -> bool:
        return self.version_count == 0

    def check_releasable(self, digest: bytes) -> None:
        """A draft can be released, and, once, what a save has just released with the same flow."""
        if not self.is_draft and not (self.accepts_release and self.latest_digest == digest):
            raise WorkflowNotDraft(self.id)


@dataclass(frozen=True, slots=True)
class VersionRef:
    """How a request names a version of a workflow: by id, as the latest, or by number."""

    by: Literal["id", "latest", "number"]
    id: UUID | None = None
    number: int | None = None

    @property
    def values(self) -> tuple[UUID | int, ...]:
        """What a query that looks for it takes."""
        return (self.id,) if self.id else (self.number,) if self.number else ()

    def __str__(self) -> str:
        return str(self.id or self.number or "latest")

    @classmethod
    def parse(cls, text: str, field: str = "version") -> "VersionRef":
        """Raises InvalidFields naming `field`."""
        if text == "latest":
            return cls("latest")
        # Ten digits would pass the range of the column.
        if text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= 2**31 - 1 and len(text) <= 10:
            return cls("number", number=int(text))
        if is_uuid(text):
            return cls("id", id=UUID(text))
        raise InvalidFields({field: "must be a UUID, latest, or a number from 1"})


def check_texts(*, name: str | None = None, description: str | None = None) -> None:
    """The rules for what people type. Raises InvalidFields naming each that breaks its rule."""
    wrong = {}
    if name is not None and not (SLUG.fullmatch(name) and len(name) <= MAX_NAME):
        wrong["name"] = (
            "cannot be blank"
            if not name
            else f"must be lower-case letters and digits, single hyphens between them, up to {MAX_NAME} characters"
        )
    if description is not None and len(description) > MAX_DESCRIPTION:
        wrong["description"] = f"must be at most {MAX_DESCRIPTION} characters"
    if wrong:
        raise InvalidFields(wrong)
