"""Detects saves that would overwrite a version which someone else saved since."""

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from uuid import UUID

from service_kit.access.caller import Caller
from service_kit.db import Connection
from service_kit.errors import DocumentTooComplex, InvalidFields
from service_kit.times import rfc3339
from workflow_service.documents import Documents
from workflow_service.errors import BaseNotFound, VersionConflict
from workflow_service.flow import Content
from workflow_service.model import LockedWorkflow, Version, VersionRef
from workflow_service.repository import versions

# A workflow's ETag: the latest version's id or "draft", then a revision, which is ignored here.
ETAG = re.compile(r'"(?:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|draft)\.[0-9a-z.]+"')
ENTITY_TAG = r'(?:W/)?("[!#-~]*")'
ENTITY_TAGS = re.compile(rf"\s*{ENTITY_TAG}(?:\s*,\s*{ENTITY_TAG})*\s*")
"""Syntax of If-Match, RFC 9110 section 13.1.1."""
MAX_ETAGS = 10
MAX_NODE_IDS_CHARS = 600
"""Maximum characters of node ids in a conflict's details, which are sent in a trailer."""


@dataclass(frozen=True, slots=True)
class Base:
    """The versions that a save may be based on. None means the draft. `field` is the request field that names them."""

    field: str
    version_ids: tuple[UUID | None, ...]


def base_of(request: Any, caller: Caller) -> Base | None:
    """The base from `base_version_id`, or otherwise from the metadata `if-match`. None means that the last save wins.
    Raises InvalidFields."""
    if request.HasField("base_version_id"):
        return Base("base_version_id", (UUID(request.base_version_id),))
    if caller.if_match is None or caller.if_match.strip() == "*":
        return None
    tags = re.findall(ENTITY_TAG, caller.if_match) if ENTITY_TAGS.fullmatch(caller.if_match) else []
    ours = [etag for tag in tags if (etag := ETAG.fullmatch(tag))]
    if not 0 < len(ours) <= MAX_ETAGS:
        raise InvalidFields({"if-match": "must be the ETag of the workflow or of a version, up to 10 of them, or *"})
    return Base("if-match", tuple(UUID(etag[1]) if etag[1] else None for etag in ours))


class BaseMoved(Exception):
    """The base is not the latest version. The caller compares the versions after the lock is released."""

    def __init__(self, latest: Version, start: bytes | None) -> None:
        """`start` is the flow of the base. None if the base is the draft, because a release deletes its canvas."""
        super().__init__(latest.id)
        self.latest = latest
        self.start = start


async def check_base(db: Connection, workflow: LockedWorkflow, base: Base) -> None:
    """Raises BaseMoved if the base is not the latest version, except on a first save. Raises BaseNotFound if the
    workflow never had the base."""
    if workflow.is_draft:
        return
    latest = await versions.get_version(db, [workflow.project_id], workflow.id, VersionRef("latest"))
    if latest.id not in base.version_ids:
        raise BaseMoved(latest, await _start(db, workflow, base))


async def refuse_conflict(documents: Documents, moved: BaseMoved, content: Content) -> None:
    """Raises VersionConflict unless the latest version already has the content that is being saved."""
    latest = moved.latest
    with suppress(DocumentTooComplex):  # assumed to be a conflict
        if await documents.mean_the_same(latest.content, content):
            return
    raise VersionConflict(
        author=latest.created_by_name,
        label=latest.label,
        version=str(latest.number),
        version_id=str(latest.id),
        author_id=str(latest.created_by),
        created_at=rfc3339(latest.created_at),
        nodes=await _changed_by_both(documents, moved, content),
    )


async def _changed_by_both(documents: Documents, moved: BaseMoved, content: Content) -> str:
    if moved.start is None:
        return ""
    try:
        ids = await documents.nodes_changed_by_both(moved.start, moved.latest.content.flow, content.flow)
    except DocumentTooComplex:
        return "…"
    return _listed(ids)


async def _start(db: Connection, workflow: LockedWorkflow, base: Base) -> bytes | None:
    """The flow that the save starts from. A deleted version is still a valid base."""
    for version_id in base.version_ids:
        if version_id is None:
            return None
        flow = await versions.find_flow(db, workflow.project_id, workflow.id, version_id)
        if flow is not None:
            return flow
    raise BaseNotFound(base.field)


def _listed(ids: list[str]) -> str:
    """As many complete ids as fit. "…" replaces the rest."""
    lengths = accumulate(len(node_id) + len(", ") for node_id in ids)
    fitting = sum(length <= MAX_NODE_IDS_CHARS for length in lengths)
    return ", ".join(ids if fitting == len(ids) else [*ids[:fitting], "…"])
