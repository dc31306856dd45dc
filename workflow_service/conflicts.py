"""Whether a save would overwrite what someone else saved since."""

import json
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from uuid import UUID

from service_kit.auth import Caller
from service_kit.db import Connection
from service_kit.errors import InvalidFields
from service_kit.threads import in_thread
from service_kit.times import rfc3339
from workflow_service.diff import diff_flows, same
from workflow_service.errors import BaseNotFound, VersionConflict
from workflow_service.flow import Content
from workflow_service.model import LockedWorkflow, Version, VersionRef
from workflow_service.repository import versions

# A workflow's etag: the latest version's id or "draft", and a revision, which does not count here.
ETAG = re.compile(r'(?:W/)?"(?:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|draft)\.[0-9a-z.]+"')
MAX_NODES = 600
"""Characters of node ids in a conflict's details, which travel in a trailer."""


@dataclass(frozen=True, slots=True)
class Base:
    """What a save starts from: a version, or with `version_id` None a draft. `field` is where the caller said so."""

    field: str
    version_id: UUID | None


def base_of(request: Any, caller: Caller) -> Base | None:
    """From `base_version_id`, or else from the metadata `if-match`. None: the last save wins. Raises InvalidFields."""
    if request.HasField("base_version_id"):
        return Base("base_version_id", UUID(request.base_version_id))
    if caller.if_match is None or caller.if_match.strip() == "*":
        return None
    etag = ETAG.fullmatch(caller.if_match.strip())
    if etag is None:
        raise InvalidFields({"if-match": "must be the ETag of the workflow or of a version, or *"})
    return Base("if-match", UUID(etag[1]) if etag[1] else None)


async def check_base(db: Connection, workflow: LockedWorkflow, base: Base, content: Content) -> None:
    """Raises VersionConflict when another version than `base` is the latest, and is not what is being saved already.

    Never on a first save. Raises BaseNotFound when the workflow never had the base.
    """
    if workflow.is_draft:
        return
    latest = await versions.get_version(db, [workflow.project_id], workflow.id, VersionRef("latest"))
    if latest.id == base.version_id:
        return
    start = await _start(db, workflow, base)
    # In threads: large flows take seconds, and other calls are not to wait for them.
    if not await in_thread(_is_saved_already, latest, content):
        raise VersionConflict(
            author=latest.created_by_name,
            label=latest.label,
            version=str(latest.number),
            version_id=str(latest.id),
            author_id=str(latest.created_by),
            created_at=rfc3339(latest.created_at),
            nodes=_listed(await in_thread(_changed_by_both, start, latest, content)),
        )


async def _start(db: Connection, workflow: LockedWorkflow, base: Base) -> bytes | None:
    """The flow that the save starts from. It stays a base when it has been deleted since."""
    if base.version_id is None:
        return None
    flow = await versions.find_flow(db, workflow.project_id, workflow.id, base.version_id)
    if flow is None:
        raise BaseNotFound(base.field)
    return flow


def _listed(ids: list[str]) -> str:
    """As many whole ids as fit; "…" stands for the rest."""
    lengths = accumulate(len(node_id) + len(", ") for node_id in ids)
    fitting = sum(length <= MAX_NODES for length in lengths)
    return ", ".join(ids if fitting == len(ids) else [*ids[:fitting], "…"])


def _is_saved_already(latest: Version, content: Content) -> bool:
    if latest.canvas_digest == content.canvas_digest:
        return True
    return latest.digest == content.digest and same(json.loads(latest.flow_ui or b""), json.loads(content.flow_ui))


def _changed_by_both(start: bytes | None, latest: Version, content: Content) -> list[str]:
    """Node ids. A draft's canvas is gone once it is released, so what was changed in it is not known."""
    if start is None:
        return []
    before = json.loads(start)
    theirs = diff_flows(before, json.loads(latest.flow or b"")).touched
    return sorted(theirs & diff_flows(before, json.loads(content.flow)).touched)
