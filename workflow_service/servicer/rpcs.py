"""What all of the workflow contract's RPCs stand on."""

from typing import Any
from uuid import UUID

from cachetools import LRUCache

from service_kit import audit
from service_kit.auth import Caller
from service_kit.batches import Batches
from service_kit.db import Connection, Pool
from service_kit.idempotency import Context, ProjectOf
from service_kit.ids import new_id
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2_grpc as rpc
from service_kit.threads import read_in_thread
from service_kit.turns import Turns
from workflow_service.flow import LARGE, Content, check_content
from workflow_service.model import Version, Workflow
from workflow_service.repository import workflows
from workflow_service.repository.new_versions import insert_versions
from workflow_service.version_reads import VersionReads

MOST_SAVES = 64
"""In one statement."""
WARNINGS_KEPT = 1000
"""Of how many flows it is known what validate says."""


class Rpcs(rpc.WorkflowServiceServicer):
    def __init__(self, pool: Pool, max_flow_bytes: int, cache_bytes: int) -> None:
        self._pool = pool
        self._reads = VersionReads(pool, cache_bytes)
        self._max_flow_bytes = max_flow_bytes
        self._turns = Turns()
        self._saves = Batches(pool, insert_versions, most=MOST_SAVES)
        self._warnings: LRUCache[str, list[str]] = LRUCache(WARNINGS_KEPT)

    async def _content(self, request: Any) -> Content:
        """The flow and flow_ui of a request, checked. Raises InvalidFlow or FlowTooLarge."""
        return await self._checked(request.flow.utf8, request.flow_ui.utf8)

    async def _checked(self, flow: bytes, flow_ui: bytes) -> Content:
        if len(flow) + len(flow_ui) < LARGE:
            return check_content(flow, flow_ui, self._max_flow_bytes)
        # Other calls are not to wait for it.
        return await read_in_thread(check_content, flow, flow_ui, self._max_flow_bytes)


async def new_draft(
    db: Connection, caller: Caller, project_id: UUID, request: Any, content: Content, action: str
) -> Workflow:
    """A draft with the request's name and description, and its event. In the caller's transaction."""
    workflow = await workflows.insert_draft(
        db, project_id, new_id(), request.name, request.description, content, caller.id
    )
    await audit.record(db, caller, project_id, workflow.id, action, workflow.id, name=request.name)
    return workflow


def tag(context: Context, answered: Workflow | Version) -> None:
    context.set_trailing_metadata((("etag", answered.etag),))


def owner_of(caller: Caller, workflow_id: UUID) -> ProjectOf:
    """Finds the project that owns a workflow. That raises WorkflowNotFound or RoleTooSmall."""

    async def project_of(db: Connection) -> UUID:
        project_id = await workflows.find_project(db, caller.visible, workflow_id)
        caller.require(project_id)
        return project_id

    return project_of
