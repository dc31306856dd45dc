"""Base class of the servicers of WorkflowService, and what several RPCs share."""

import asyncio
from functools import partial
from typing import Any
from uuid import UUID

from cachetools import LRUCache

from service_kit import audit
from service_kit.access.caller import Caller
from service_kit.db import Connection
from service_kit.errors import ServiceError
from service_kit.idempotency import Context
from service_kit.ids import new_id
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2_grpc as rpc
from service_kit.pools import Pools
from service_kit.serving.watches import Watches
from service_kit.shared_work import SharedWork
from service_kit.signals import Signals
from workflow_service.deploy_client import DeployClient
from workflow_service.documents import MAX_QUICK_BYTES, Documents
from workflow_service.flow import Content
from workflow_service.model import Label, Version, Workflow
from workflow_service.repository import workflows
from workflow_service.saving import Saver
from workflow_service.signals import Topic
from workflow_service.version_cache import VersionReads

MAX_WARNINGS = 20
"""Maximum warnings about one flow in the answer to a save or a deploy."""
MAX_KEPT_WARNINGS = 1000
"""Maximum flows whose warnings are cached."""
SEARCH_SECONDS = 3.0
"""How long a save waits for the search for secrets in a large flow. After that, it continues without warnings."""
MAX_KEPT_LOADABLES_BYTES = 8 << 20
"""Maximum bytes of all cached loadables. A small one takes 2 to 7 ms to make."""


class ServicerBase(rpc.WorkflowServiceServicer):
    def __init__(
        self,
        pools: Pools,
        documents: Documents,
        deploys: DeployClient,
        signals: Signals,
        watches: Watches,
        cache_bytes: int,
    ) -> None:
        self._pool, self._pages = pools.hot, pools.pages
        self._documents = documents
        self._deploys = deploys
        self._signals = signals
        self._watches = watches
        self._reads = VersionReads(pools.hot, cache_bytes)
        self._saver = Saver(pools.hot, documents)
        self._warnings: LRUCache[str, list[str]] = LRUCache(MAX_KEPT_WARNINGS)
        self._secrets: LRUCache[bytes, list[str]] = LRUCache(MAX_KEPT_WARNINGS)
        self._loadables: LRUCache[str, pb.Loadable] = LRUCache(MAX_KEPT_LOADABLES_BYTES, getsizeof=_size)
        """Loadables by the flow's digest. One without a digest means that the SDK cannot load the flow."""
        # This work may take longer than a save or a deploy waits. It continues, and the next call finds the result.
        self._searches: SharedWork[list[str]] = SharedWork()
        self._validations: SharedWork[list[str]] = SharedWork()
        self._translations: SharedWork[pb.Loadable] = SharedWork()

    async def _content(self, request: Any) -> Content:
        """The flow and flow_ui of a request, checked. Raises InvalidFlow or FlowTooLarge."""
        return await self._documents.check(request.flow.utf8, request.flow_ui.utf8)

    async def _warnings_of_secrets(self, content: Content) -> list[str]:
        """Warnings of possible secrets in a flow to be saved. A save does not fail when they cannot be computed."""
        warnings = self._secrets.get(content.digest)
        if warnings is None:
            try:
                if len(content.flow) < MAX_QUICK_BYTES:  # most saves need neither a task nor a timeout
                    return await self._searched(content)
                async with asyncio.timeout(SEARCH_SECONDS):
                    return await self._searches.run(content.digest, partial(self._searched, content))
            except (ServiceError, TimeoutError):
                return []
        return warnings

    async def _searched(self, content: Content) -> list[str]:
        found = await self._documents.secrets_in(content.flow)
        warnings = [f"{problem.path} {problem.message}" for problem in found[:MAX_WARNINGS]]
        self._secrets[content.digest] = warnings
        return warnings

    def _tell(self, workflow_id: UUID) -> None:
        """Notify streams that versions of the workflow have changed."""
        self._signals.send(Topic.CHANGED, workflow_id)


def _size(loadable: pb.Loadable) -> int:
    return loadable.ByteSize() + 200


async def new_draft(
    db: Connection, caller: Caller, project_id: UUID, request: Any, content: Content, action: str
) -> Workflow:
    """Insert a draft with the request's name and description, and its audit event, in the caller's transaction."""
    workflow = await workflows.insert_draft(
        db, project_id, new_id(), request.name, request.description, content, caller.id
    )
    await audit.record(db, caller, project_id, workflow.id, action, workflow.id, name=request.name)
    return workflow


def tag(context: Context, answered: Workflow | Version | Label) -> None:
    context.set_trailing_metadata((("etag", answered.etag),))
