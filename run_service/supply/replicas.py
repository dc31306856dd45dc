"""Decides which replicas run: those of live and rolling-out deployments, and for a while those of replaced ones."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import structlog

from run_service.errors import NoReplica
from run_service.hosting.client import Replica, ReplicaSpec
from run_service.settings import SupplyLimits
from run_service.supply.deploy_client import DeployClient
from run_service.supply.drains import CountedCall, Drains
from run_service.supply.host_link import HostLink, is_made_from
from run_service.supply.replica_group import ReplicaGroup
from run_service.supply.rollouts import NOT_LOADABLE, Rollouts
from run_service.supply.routes import MadeFrom, Pin, Route
from run_service.supply.starts import StartFailed
from run_service.supply.tasks import Tasks, open_tasks

SWEEP_SECONDS = 1.0
LOOK_SECONDS = 5.0
"""Seconds between two checks of replicas' memory."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A call that uses one deployment until its answer ends."""

    group: ReplicaGroup
    counted: CountedCall


class Replicas:
    def __init__(
        self,
        deploys: DeployClient,
        drains: Drains,
        hosts: HostLink,
        runtimes: Path,
        limits: SupplyLimits,
        tasks: Tasks,
    ) -> None:
        """`runtimes` is the folder of the installed runtimes."""
        self._deploys = deploys
        self._drains = drains
        self._hosts = hosts
        self._runtimes = runtimes
        self._limits = limits
        self._tasks = tasks
        self._groups: dict[MadeFrom, ReplicaGroup] = {}
        self._serving: dict[UUID, MadeFrom] = {}
        """What each live deployment is currently served with. It is older than its pin while a replica with new
        variables starts."""
        self._successors: dict[UUID, tuple[Pin, asyncio.Task[None]]] = {}
        self._rollouts = Rollouts(deploys, lambda pin: self._group(pin.made_from, pin.deployment_id), limits, tasks)
        self._routes: Iterable[Route] = ()
        self._is_known = False
        hosts.make_room = self._make_room

    @contextmanager
    def bound(self, pin: Pin) -> Iterator[BoundCall]:
        """Bind a call to the group of a live deployment until the block ends. Raises NoReplica if the SDK cannot load
        the flow."""
        group = self._group_of(pin)
        with group.bound(), self._drains.counted(pin.deployment_id) as counted:
            yield BoundCall(group, counted)

    def _group_of(self, pin: Pin) -> ReplicaGroup:
        if not pin.made_from.loadable_digest:
            raise NoReplica(NOT_LOADABLE)
        return self._group(self._serving.get(pin.deployment_id, pin.made_from), pin.deployment_id)

    def apply(self, routes: Iterable[Route]) -> None:
        """Apply all current `routes`: calls follow immediately, replicas in the background."""
        self._routes, self._is_known = routes, True
        wanted: dict[MadeFrom, int] = {}
        live: dict[UUID, Pin] = {}
        rolling_out: dict[UUID, Pin] = {}
        replaceable: dict[UUID, Pin] = {}
        for route in routes:
            for environment in route.environments:
                if environment.live is not None:
                    replaceable[environment.live.deployment_id] = environment.live
                rolling_out.update((pin.deployment_id, pin) for pin in environment.rolling_out)
                if environment.live and environment.live.made_from.loadable_digest and not route.is_archived:
                    live[environment.live.deployment_id] = environment.live
        for pin in rolling_out.values():
            if pin.made_from.loadable_digest:
                wanted[pin.made_from] = max(1, pin.kept_up, wanted.get(pin.made_from, 0))
        self._follow_live(live, wanted)
        pins = {pin.made_from: pin.deployment_id for pin in (*live.values(), *rolling_out.values())}
        for made_from, keep_up in wanted.items():
            self._group(made_from, pins.get(made_from)).want(keep_up=keep_up)
        revisions = {_place(pin.made_from): pin.made_from.variables_revision for pin in live.values()}
        for made_from, group in self._groups.items():
            if made_from not in wanted:
                # A group with older variables, or of a deleted app, will not be wanted again.
                may_come_back = revisions.get(_place(made_from)) == made_from.variables_revision
                group.retire(self._limits.warm_seconds if may_come_back else 0)
        self._rollouts.follow(rolling_out)
        self._drains.follow(replaceable)

    async def sweep(self) -> None:
        """Take over replicas that an earlier router left running, until canceled.

        Replicas that a group needs join it. The others are stopped.
        """
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            if not self._is_known:
                continue
            for replica in self._hosts.leftovers:
                group = self._group_for(replica)
                if group is None or group.is_whole:
                    self._tasks.start(self._hosts.stop_leftover(replica))
                else:
                    self._tasks.start(_try_once(group))

    async def look_at_memory(self) -> None:
        """Replace replicas whose memory has grown, until canceled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            usage = await self._hosts.usage()
            for group in self._groups.values():
                group.note_usage(usage)

    def _group_for(self, replica: Replica) -> ReplicaGroup | None:
        for made_from, group in self._groups.items():
            if is_made_from(replica, self._spec(made_from)):
                return group
        return None

    def _follow_live(self, live: dict[UUID, Pin], wanted: dict[MadeFrom, int]) -> None:
        for deployment_id in self._serving.keys() - live.keys():
            del self._serving[deployment_id]
        for deployment_id in self._successors.keys() - live.keys():
            self._end_succession(deployment_id)
        for deployment_id, pin in live.items():
            serving = self._serving.get(deployment_id)
            group = self._groups.get(serving) if serving else None
            if serving is None or serving == pin.made_from or group is None or not group.is_up:
                serving = self._serving[deployment_id] = pin.made_from
                self._end_succession(deployment_id)
            else:
                wanted[pin.made_from] = max(1, pin.kept_up, wanted.get(pin.made_from, 0))
                self._begin_succession(pin)
            wanted[serving] = max(pin.kept_up, wanted.get(serving, 0))

    def _begin_succession(self, pin: Pin) -> None:
        """Keep serving the deployment with its old variables until a replica with the new ones is up."""
        known = self._successors.get(pin.deployment_id)
        if known is None or known[0].made_from != pin.made_from:
            self._end_succession(pin.deployment_id)
            self._successors[pin.deployment_id] = pin, self._tasks.start(self._succeed(pin))

    def _end_succession(self, deployment_id: UUID) -> None:
        known = self._successors.pop(deployment_id, None)
        if known is not None and known[1] is not asyncio.current_task():
            known[1].cancel()

    async def _succeed(self, pin: Pin) -> None:
        while True:
            try:
                await self._group(pin.made_from, pin.deployment_id).brought_up()
            except StartFailed as failure:
                log.warning("replica_not_replaced", deployment=str(pin.deployment_id), reason=failure.reason)
                continue  # the group pauses between its tries
            self._serving[pin.deployment_id] = pin.made_from
            self.apply(self._routes)
            return

    def _group(self, made_from: MadeFrom, deployment_id: UUID | None) -> ReplicaGroup:
        group = self._groups.get(made_from)
        if group is None or group.is_over:

            async def make_spec() -> ReplicaSpec:
                flow = await self._deploys.loadable(made_from)
                variables = await self._deploys.variables(made_from)
                return self._spec(made_from, deployment_id, flow, variables)

            group = self._groups[made_from] = ReplicaGroup(make_spec, self._hosts, self._limits)
            self._tasks.start(self._keep(made_from, group))
        return group

    async def _make_room(self) -> bool:
        """Stop the replicas of the least needed idle group. False when all are in use."""
        spared = [(until, group) for group in self._groups.values() if (until := group.spared_until) is not None]
        if not spared:
            return False
        group = min(spared, key=lambda each: each[0])[1]
        log.info("replica_ended_early", error="the host process runs its maximum number of replicas")
        await group.end_early()
        return True

    async def _keep(self, made_from: MadeFrom, group: ReplicaGroup) -> None:
        await group.keep()
        if self._groups.get(made_from) is group:
            del self._groups[made_from]

    def _spec(
        self,
        made_from: MadeFrom,
        deployment_id: UUID | None = None,
        flow: bytes = b"",
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> ReplicaSpec:
        return ReplicaSpec(
            deployment_id=str(deployment_id or ""),
            project_id=str(made_from.project_id),
            runtime=self._runtimes / made_from.runtime_version,
            runtime_digest=made_from.runtime_digest,
            flow=flow,
            digest=made_from.loadable_digest,
            variables=variables,
            slots=self._limits.slots,
            labels={
                "app_id": str(made_from.app_id),
                "environment": made_from.environment,
                "runtime_version": made_from.runtime_version,
                "runtime_digest": made_from.runtime_digest,
                "variables_revision": str(made_from.variables_revision),
            },
        )


def _place(made_from: MadeFrom) -> tuple[UUID, str]:
    return made_from.app_id, made_from.environment


async def _try_once(group: ReplicaGroup) -> None:
    with suppress(StartFailed):
        await group.brought_up()


@asynccontextmanager
async def open_replicas(
    deploys: DeployClient, hosts: HostLink, runtimes: Path, limits: SupplyLimits
) -> AsyncIterator[Replicas]:
    """Manage replicas until the block ends. They continue to run, so that the next router can take them over."""
    async with open_tasks() as tasks:
        drains = Drains(deploys)
        replicas = Replicas(deploys, drains, hosts, runtimes, limits, tasks)
        tasks.start(drains.report())
        tasks.start(replicas.sweep())
        tasks.start(replicas.look_at_memory())
        yield replicas
