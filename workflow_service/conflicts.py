"""Whether a save would overwrite what someone else saved since."""

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

# A workflow's etag: the latest version's id or "draft", and a revision, which does not count here.
ETAG = re.compile(r'"(?:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|draft)\.[0-9a-z.]+"')
ENTITY_TAG = r'(?:W/)?("[!#-~]*")'
ENTITY_TAGS = re.compile(rf"\s*{ENTITY_TAG}(?:\s*,\s*{ENTITY_TAG})*\s*")
"""If-Match, RFC 9110 section 13.1.1."""
MAX_ETAGS = 10
MAX_NODE_IDS_CHARS = 600
"""Characters of node ids in a conflict's details, which travel in a trailer."""


@dataclass(frozen=True, slots=True)
class Base:
    """The versions that a save may be based on; None is the draft. `field` is where the caller named them."""

    field: str
    version_ids: tuple[UUID | None, ...]


def base_of(request: Any, caller: Caller) -> Base | None:
    """The base in `base_version_id`, or else in the metadata `if-match`. None: the last save wins. Raises
    InvalidFields."""
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
    """The base is not the latest version. Whether that is a conflict is decided without a lock."""

    def __init__(self, latest: Version, start: bytes | None) -> None:
        """`start` is the flow of the base; None for a draft, whose canvas is gone once it is released."""
        super().__init__(latest.id)
        self.latest = latest
        self.start = start


async def check_base(db: Connection, workflow: LockedWorkflow, base: Base) -> None:
    """Raises BaseMoved, but never on a first save; BaseNotFound when the workflow never had the base."""
    if workflow.is_draft:
        return
    latest = await versions.get_version(db, [workflow.project_id], workflow.id, VersionRef("latest"))
    if latest.id not in base.version_ids:
        raise BaseMoved(latest, await _start(db, workflow, base))


async def refuse_conflict(documents: Documents, moved: BaseMoved, content: Content) -> None:
    """Raises VersionConflict unless the latest version is what is being saved already."""
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
    """The flow that the save starts from. It stays a base when it has been deleted since."""
    for version_id in base.version_ids:
        if version_id is None:
            return None
        flow = await versions.find_flow(db, workflow.project_id, workflow.id, version_id)
        if flow is not None:
            return flow
    raise BaseNotFound(base.field)


def _listed(ids: list[str]) -> str:
    """As many whole ids as fit. "…" replaces the rest."""
    lengths = accumulate(len(node_id) + len(", ") for node_id in ids)
    fitting = sum(length <= MAX_NODE_IDS_CHARS for length in lengths)
    return ", ".join(ids if fitting == len(ids) else [*ids[:fitting], "…"])
