"""The RPCs that stream the events of deployments."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from deploy_service.deployment_watch import watch_deployments
from deploy_service.repository import apps
from deploy_service.servicer.base import ServicerBase
from service_kit.access.caller import current_caller
from service_kit.errors import InvalidFields
from service_kit.fields import optional, optional_id
from service_kit.idempotency import Context
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb


class WatchMethods(ServicerBase):
    async def WatchDeployments(
        self, request: pb.WatchDeploymentsRequest, context: Context
    ) -> AsyncIterator[pb.WatchDeploymentsResponse]:
        caller = current_caller()
        app_id, project_id = optional_id(request, "app_id"), optional_id(request, "project_id")
        if app_id is not None and project_id is None:
            async with self._pages.acquire() as db:
                project_id = await apps.find_project(db, caller.permitted_projects, app_id)
        elif project_id is not None and app_id is None:
            project_id = caller.project(project_id).id
        else:
            raise InvalidFields({"project_id": "must be given if app_id is not, and only then"})
        watching = watch_deployments(
            self._pages, self._watches, self._signals, caller, project_id, app_id, optional(request, "after")
        )
        async with aclosing(watching) as responses:
            async for response in responses:
                yield response
