"""The RPCs of the routing contract. The run service calls them to serve live deployments."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

from deploy_service.errors import DeploymentNotFound, LoadableNotFound, RouterNotFound
from deploy_service.repository import apps, deployments, loadables, rollout_reports, routers, variables
from deploy_service.repository.rollout_reports import Report
from deploy_service.route_watch import LEASE, RouteWatches
from deploy_service.sealing import Sealer
from deploy_service.signals import Topic
from service_kit.access.caller import Caller, current_caller
from service_kit.errors import InsufficientRole, InvalidFields
from service_kit.idempotency import Context
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pb.flowpin.routing.v1 import routing_pb2_grpc as rpc
from service_kit.pools import Pools
from service_kit.signals import EVERY, Signals

DIGEST = re.compile(r"[0-9a-f]{64}")
REASON = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
MAX_NAME_CHARS = 200
MAX_MESSAGE_CHARS = 2000


class RoutingServicer(rpc.RoutingServiceServicer):
    """Implements RoutingService."""

    def __init__(self, pools: Pools, signals: Signals, watches: RouteWatches, sealer: Sealer) -> None:
        self._pool, self._pages = pools.hot, pools.pages
        self._signals = signals
        self._watches = watches
        self._sealer = sealer

    async def WatchRoutes(
        self, request: pb.WatchRoutesRequest, context: Context
    ) -> AsyncIterator[pb.WatchRoutesResponse]:
        caller = _runner()
        if len(request.name) > MAX_NAME_CHARS:
            raise InvalidFields({"name": f"must be at most {MAX_NAME_CHARS} characters"})
        watching = self._watches.watch(caller.principal, UUID(request.router_id), request.name)
        async with aclosing(watching) as responses:
            async for response in responses:
                yield response

    async def AcknowledgeRoutes(
        self, request: pb.AcknowledgeRoutesRequest, context: Context
    ) -> pb.AcknowledgeRoutesResponse:
        permitted = {str(project_id) for project_id in _runner().permitted_projects}
        router_id = UUID(request.router_id)
        served = [
            (UUID(each.project_id), UUID(each.app_id), each.revision)
            for each in request.acknowledgements
            if each.project_id.lower() in permitted
        ]
        async with self._pool.acquire() as db:
            if not await routers.acknowledge(db, router_id, served, LEASE):
                raise RouterNotFound(router_id)
            if request.leaving:
                await routers.leave(db, router_id)
        for app_id in {app_id for _, app_id, _ in served}:
            self._signals.send(Topic.ACKNOWLEDGED, app_id)
        if request.leaving:
            self._signals.send(Topic.ACKNOWLEDGED, EVERY)
        return pb.AcknowledgeRoutesResponse()

    async def GetLoadable(self, request: pb.GetLoadableRequest, context: Context) -> pb.GetLoadableResponse:
        project = current_caller().project(UUID(request.project_id))
        digest = _digest("digest", request.digest)
        async with self._pages.acquire() as db:
            document = await loadables.find_loadable(db, project.id, digest)
        if document is None:
            raise LoadableNotFound(request.digest)
        return pb.GetLoadableResponse(loadable=pb.Json(utf8=document))

    async def ReportRollout(self, request: pb.ReportRolloutRequest, context: Context) -> pb.ReportRolloutResponse:
        project = current_caller().project(UUID(request.project_id))
        deployment_id, report = UUID(request.deployment_id), _report(request)
        async with self._pool.acquire() as db:
            counts = await rollout_reports.insert_report(db, project.id, deployment_id, report)
        if counts is None:
            raise DeploymentNotFound(deployment_id)
        if counts:
            self._signals.send(Topic.REPORTED, deployment_id)
        return pb.ReportRolloutResponse()

    async def ReportDrain(self, request: pb.ReportDrainRequest, context: Context) -> pb.ReportDrainResponse:
        project = current_caller().project(UUID(request.project_id))
        deployment_id, counts = UUID(request.deployment_id), {"drained": request.drained, "killed": request.killed}
        if wrong := {name: "must be 0 or more" for name, count in counts.items() if count < 0}:
            raise InvalidFields(wrong)
        async with self._pool.acquire() as db:
            if not await deployments.note_drained(db, project.id, deployment_id, **counts):
                raise DeploymentNotFound(deployment_id)
        return pb.ReportDrainResponse()

    async def GetVariables(self, request: pb.GetVariablesRequest, context: Context) -> pb.GetVariablesResponse:
        project = current_caller().project(UUID(request.project_id))
        app_id = UUID(request.app_id)
        async with self._pool.acquire() as db:
            await apps.find_project(db, [project.id], app_id)
            found, revision = await variables.find_in_force(db, project.id, app_id, request.environment)
        values = {each.name: self._sealer.open(each.sealed, each.place) for each in found}
        return pb.GetVariablesResponse(variables=values, revision=revision)


def _runner() -> Caller:
    """Raises InsufficientRole unless the caller has the role runner in some project."""
    caller = current_caller()
    if not caller.permitted_projects:
        raise InsufficientRole("runner", "a project or an org")
    return caller


def _report(request: pb.ReportRolloutRequest) -> Report:
    """Raises InvalidFields."""
    match request.WhichOneof("outcome"):
        case "up":
            return Report(_digest("up.digest", request.up.digest), None, None)
        case "failed":
            reason, message = request.failed.reason, request.failed.message
            wrong = {}
            if not REASON.fullmatch(reason):
                wrong["failed.reason"] = "must be upper-case letters, digits and _, up to 64 characters"
            if not (message.strip() and len(message) <= MAX_MESSAGE_CHARS):
                wrong["failed.message"] = f"must be 1 to {MAX_MESSAGE_CHARS:,} characters and not blank"
            if wrong:
                raise InvalidFields(wrong)
            return Report(None, reason, message)
    raise InvalidFields({"up": "either this or failed must be set"})


def _digest(field: str, text: str) -> bytes:
    """Raises InvalidFields."""
    if not DIGEST.fullmatch(text):
        raise InvalidFields({field: "must be 64 lower-case hexadecimal digits"})
    return bytes.fromhex(text)
