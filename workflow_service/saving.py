"""Saves and releases: each appends the next version of a workflow, and its audit event, in one transaction.

Concurrent saves share one statement. A save with an idempotency key, a base or a large document, or one that the shared
statement skips, is written by itself.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from google.protobuf.message import Message

from service_kit import audit
from service_kit.db import Connection, Pool
from service_kit.hotpath.coalescer import Coalescer
from service_kit.idempotency import IdempotentCall
from workflow_service.conflicts import Base, BaseMoved, check_base, refuse_conflict
from workflow_service.documents import Documents
from workflow_service.errors import WorkflowNotFound
from workflow_service.model import Version, Workflow
from workflow_service.permissions import lock_workflow
from workflow_service.repository import workflows
from workflow_service.repository.version_inserts import NewVersion, insert_version, insert_versions

MAX_SAVES_PER_STATEMENT = 64

Answer = TypeVar("Answer", bound=Message)


class Saver:
    """Saves and releases workflows."""

    def __init__(self, pool: Pool, documents: Documents) -> None:
        self._documents = documents
        self._shared_inserts = Coalescer(pool, insert_versions, most=MAX_SAVES_PER_STATEMENT)

    async def save(
        self,
        call: IdempotentCall[Answer],
        new: NewVersion,
        base: Base | None,
        answer_of: Callable[[Version], Answer],
    ) -> Answer:
        """Append `new` as the next version, unless another version was saved since `base`.

        Raises WorkflowNotFound, InsufficientRole, VersionConflict or BaseNotFound.
        """
        if base is None and not call.has_key and not new.content.is_large:
            version = await self._shared_inserts.get(new)
            if version is not None:
                return answer_of(version)

        async def append(base: Base | None, db: Connection) -> Answer:
            try:
                return answer_of(await _append(db, new, base))
            except WorkflowNotFound:
                await call.project_of(db)  # raises InsufficientRole if the caller may read the workflow
                raise

        return await self._write(call, append, new, base)

    async def release(
        self,
        call: IdempotentCall[Answer],
        new: NewVersion,
        base: Base | None,
        answer_of: Callable[[Workflow], Answer],
    ) -> Answer:
        """Append `new` to a draft as version 1. Also accepts the one release of the official client after its first
        save.

        Raises WorkflowNotFound, InsufficientRole, WorkflowNotDraft, VersionConflict or BaseNotFound.
        """

        async def release(base: Base | None, db: Connection) -> Answer:
            async with db.transaction():
                return answer_of(await _release(db, new, base))

        return await self._write(call, release, new, base)

    async def _write(
        self,
        call: IdempotentCall[Answer],
        write: Callable[[Base | None, Connection], Awaitable[Answer]],
        new: NewVersion,
        base: Base | None,
    ) -> Answer:
        """Write on `base`, or on the latest version if that already has the content of `new`.

        Holds neither a connection nor a lock while it compares versions. Raises VersionConflict.
        """
        while True:
            try:
                return await call.run(partial(write, base), changed=new.workflow_id)
            except BaseMoved as moved:
                await refuse_conflict(self._documents, moved, new.content)
                base = Base("base_version_id", (moved.latest.id,))


async def _append(db: Connection, new: NewVersion, base: Base | None) -> Version:
    if base is None:
        return await insert_version(db, new)
    async with db.transaction():
        workflow = await workflows.lock_workflow(db, new.caller.permitted_projects, new.workflow_id)
        await check_base(db, workflow, base)
        return await insert_version(db, new)


async def _release(db: Connection, new: NewVersion, base: Base | None) -> Workflow:
    caller, name = new.caller, new.name or ""
    workflow = await lock_workflow(db, caller, new.workflow_id)
    if base is not None:
        await check_base(db, workflow, base)
    workflow.check_releasable(new.content.digest, by_official_client=caller.is_official_client)
    if workflow.is_draft:
        await insert_version(db, new)
    else:
        await workflows.accept_release(db, workflow.id, workflow.project_id, name, caller.id)
        await audit.record(db, caller, workflow.project_id, workflow.id, new.action, workflow.id, name=name)
    return await workflows.get_workflow(db, caller.permitted_projects, workflow.id)
