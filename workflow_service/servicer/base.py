"""Base class of the servicers of WorkflowService, and what several RPCs share."""

from typing import Any
from uuid import UUID

from cachetools import LRUCache

from service_kit import audit
from service_kit.access.caller import Caller
from service_kit.db import Connection
from service_kit.idempotency import Context
from service_kit.ids import new_id
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2_grpc as rpc
from service_kit.pools import Pools
from workflow_service.documents import Documents
from workflow_service.flow import Content
from workflow_service.model import Label, Version, Workflow
from workflow_service.repository import workflows
from workflow_service.saving import Saver
from workflow_service.version_cache import VersionReads

MAX_KEPT_WARNINGS = 1000
"""Flows whose warnings are remembered."""
MAX_KEPT_LOADABLES_BYTES = 8 << 20
"""Of all loadables that are remembered. A small one takes 2 to 7 ms to make."""


class ServicerBase(rpc.WorkflowServiceServicer):
    def __init__(self, pools: Pools, documents: Documents, cache_bytes: int) -> None:
        self._pool, self._pages = pools.hot, pools.pages
        self._documents = documents
        self._reads = VersionReads(pools.hot, cache_bytes)
        self._saver = Saver(pools.hot, documents)
        self._warnings: LRUCache[str, list[str]] = LRUCache(MAX_KEPT_WARNINGS)
        self._loadables: LRUCache[str, pb.Loadable] = LRUCache(MAX_KEPT_LOADABLES_BYTES, getsizeof=_size)
        """By the flow's digest; an empty one stands for none."""

    async def _content(self, request: Any) -> Content:
        """The flow and flow_ui of a request, checked. Raises InvalidFlow or FlowTooLarge."""
        return await self._documents.check(request.flow.utf8, request.flow_ui.utf8)


def _size(loadable: pb.Loadable) -> int:
    return loadable.ByteSize() + 200


async def new_draft(
    db: Connection, caller: Caller, project_id: UUID, request: Any, content: Content, action: str
) -> Workflow:
    """A draft with the request's name and description, and its event. In the caller's transaction."""
    workflow = await workflows.insert_draft(
        db, project_id, new_id(), request.name, request.description, content, caller.id
    )
    await audit.record(db, caller, project_id, workflow.id, action, workflow.id, name=request.name)
    return workflow


def tag(context: Context, answered: Workflow | Version | Label) -> None:
    context.set_trailing_metadata((("etag", answered.etag),))
