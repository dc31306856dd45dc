"""The RPC that streams the events of versions."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

from service_kit.access.caller import current_caller
from service_kit.fields import optional
from service_kit.idempotency import Context
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from workflow_service.servicer.base import ServicerBase
from workflow_service.version_watch import watch_versions


class WatchMethods(ServicerBase):
    async def WatchVersions(
        self, request: pb.WatchVersionsRequest, context: Context
    ) -> AsyncIterator[pb.WatchVersionsResponse]:
        watching = watch_versions(
            self._pages,
            self._watches,
            self._signals,
            current_caller(),
            UUID(request.workflow_id),
            optional(request, "after"),
        )
        async with aclosing(watching) as responses:
            async for response in responses:
                yield response
