"""Deploys, rollbacks and promotions: each pins a version as an app's newest deployment, and cuts over.

A deploy reads the app's state at one revision, decides, and writes in one statement that checks the revision.
Concurrent deploys of different apps share that statement. A deploy that it skips is written by itself, under the app's
lock.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar
from uuid import UUID

import asyncpg
from google.protobuf.message import Message

from deploy_service.drivers import Driver
from deploy_service.errors import (
    DeploymentNeverLive,
    EnvironmentNotFound,
    NothingToRollBackTo,
    PlanOutdated,
    SourceNotFound,
)
from deploy_service.model import App, Deployment, Pin, environment_of
from deploy_service.planning import DeployCommand, DeployPlan, DeployRequest, DeploySpec, decide, plan_of
from deploy_service.repository import apps
from deploy_service.repository.app_states import DeployTarget, DeployTargetKey, find_app_states, find_targets
from deploy_service.repository.deployment_inserts import NewDeployment, insert_deployments
from deploy_service.rollouts import count_live
from deploy_service.signals import Topic
from deploy_service.sources import Source, promotion_source, rollback_source
from deploy_service.workflow_client import REFUSED, WorkflowClient
from service_kit import audit
from service_kit.access.caller import Caller
from service_kit.access.file import Project
from service_kit.db import Connection, Pool
from service_kit.errors import ServiceError
from service_kit.hotpath.coalescer import Coalescer
from service_kit.idempotency import IdempotentCall
from service_kit.ids import new_id
from service_kit.signals import Signals

MAX_DEPLOYS_PER_STATEMENT = 64

Answer = TypeVar("Answer", bound=Message)
AnswerOf: TypeAlias = Callable[[Deployment, DeploySpec], Answer]
SpecOf: TypeAlias = Callable[[Project, Pin | None], Awaitable[DeploySpec]]


@dataclass(frozen=True, slots=True)
class NewApp:
    """The fields of an app to create."""

    name: str
    description: str
    access_type: str


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """The request of a rollback or promotion."""

    environment: str
    reason: str | None
    force: bool
    plan_token: str | None = None


class Deployer:
    """Deploys, rolls back, promotes and plans."""

    def __init__(self, pool: Pool, workflows: WorkflowClient, driver: Driver, signals: Signals) -> None:
        self._pool = pool
        self._workflows = workflows
        self._driver = driver
        self._signals = signals
        self._targets: Coalescer[DeployTargetKey, DeployTarget] = Coalescer(pool, find_targets, only_reads=True)
        self._shared_inserts: Coalescer[DeployCommand, Deployment | None] = Coalescer(
            pool, lambda db, commands: deploy_shared(db, driver, commands), most=MAX_DEPLOYS_PER_STATEMENT
        )

    async def create(
        self,
        call: IdempotentCall[Answer],
        project: Project,
        new: NewApp,
        asked: DeployRequest,
        answer_of: Callable[[App], Answer],
    ) -> Answer:
        """Create an app and deploy a version to it, in one transaction."""
        kept = await call.replay()
        if kept is not None:
            return kept
        spec, caller = await self._requested(call.caller, project, asked, known=None), call.caller
        app_id, pin = new_id(), spec.resolved.pin

        async def create(db: Connection) -> Answer:
            async with db.transaction():
                await apps.insert_app(db, project.id, app_id, new.name, new.description, new.access_type, caller.id)
                await deploy_locked(db, self._driver, DeployCommand(caller, project.id, app_id, spec, None))
                details = {"environment": spec.environment, "version": f"v{pin.version_number}"}
                details |= {"label": spec.label} if spec.label else {}
                await audit.record(db, caller, project.id, app_id, "CreateApp", app_id, **details)
                return answer_of(await apps.get_app(db, [project.id], app_id))

        answer = await call.run(create)
        self._tell(app_id)
        return answer

    async def plan(self, caller: Caller, app_id: UUID, asked: DeployRequest) -> DeployPlan | ServiceError:
        """What a deployment would pin and change, or the error that prevents it. Raises AppNotFound."""
        target = await self._targets.get((caller.permitted_projects, app_id, asked.workflow_id, asked.version_id))
        try:
            spec = await self._requested(caller, caller.project(target.project_id), asked, target.known)
        except (EnvironmentNotFound, *REFUSED) as refusal:
            return refusal
        return await self._planned(target.project_id, app_id, spec)

    async def plan_rollback(
        self, caller: Caller, app_id: UUID, request_of: Callable[[Project], SourceRequest], deployment_id: UUID | None
    ) -> DeployPlan | ServiceError:
        """What a rollback would pin and change, or the error that prevents it. Raises AppNotFound."""
        target = await self._targets.get((caller.permitted_projects, app_id, None, None))
        project = caller.project(target.project_id)
        try:
            spec = await self._rollback_spec(caller, project, app_id, request_of(project), deployment_id)
        except (EnvironmentNotFound, SourceNotFound, DeploymentNeverLive, NothingToRollBackTo) as refusal:
            return refusal
        return await self._planned(project.id, app_id, spec)

    async def deploy(
        self, call: IdempotentCall[Answer], app_id: UUID, asked: DeployRequest, answer_of: AnswerOf[Answer]
    ) -> Answer:
        """Deploy a version. With `plan_token`, raises PlanOutdated when anything that the plan saw has changed."""

        async def spec_of(project: Project, known: Pin | None) -> DeploySpec:
            try:
                return await self._requested(call.caller, project, asked, known)
            except (EnvironmentNotFound, *REFUSED):
                if asked.plan_token is not None:
                    raise PlanOutdated from None  # a plan has a token only when its version could be pinned
                raise

        return await self._write(call, "DeployApp", app_id, spec_of, answer_of, asked.workflow_id, asked.version_id)

    async def rollback(
        self,
        call: IdempotentCall[Answer],
        app_id: UUID,
        request_of: Callable[[Project], SourceRequest],
        deployment_id: UUID | None,
        answer_of: AnswerOf[Answer],
    ) -> Answer:
        """Deploy again the previous deployment (see `history`), or the named one.

        Raises SourceNotFound, DeploymentNeverLive or NothingToRollBackTo. With `plan_token`, raises PlanOutdated when
        the deployment to roll back to, or the live one, has changed since the plan.
        """

        async def spec_of(project: Project, _: Pin | None) -> DeploySpec:
            return await self._rollback_spec(call.caller, project, app_id, request_of(project), deployment_id)

        return await self._write(call, "RollbackApp", app_id, spec_of, answer_of)

    async def promote(
        self,
        call: IdempotentCall[Answer],
        app_id: UUID,
        request_of: Callable[[Project], tuple[str, SourceRequest]],
        answer_of: AnswerOf[Answer],
    ) -> Answer:
        """Deploy what is live in one environment to another. Raises NothingLive."""

        async def spec_of(project: Project, _: Pin | None) -> DeploySpec:
            origin, asked = request_of(project)
            async with self._pool.acquire() as db:
                source = await promotion_source(db, project.id, app_id, origin)
            return await self._repeated(call.caller, project, asked, source, "promote")

        return await self._write(call, "PromoteApp", app_id, spec_of, answer_of)

    async def _planned(self, project_id: UUID, app_id: UUID, spec: DeploySpec) -> DeployPlan:
        async with self._pool.acquire() as db:
            (state,) = await find_app_states(db, [spec.key(project_id, app_id)])
        if isinstance(state, ServiceError):
            raise state
        return plan_of(project_id, app_id, spec, state)

    async def _rollback_spec(
        self, caller: Caller, project: Project, app_id: UUID, asked: SourceRequest, deployment_id: UUID | None
    ) -> DeploySpec:
        """The spec of a rollback, for its deploy and its plan. Raises SourceNotFound, DeploymentNeverLive or
        NothingToRollBackTo."""
        async with self._pool.acquire() as db:
            source = await rollback_source(db, project.id, app_id, asked.environment, deployment_id)
        return await self._repeated(caller, project, asked, source, "rollback")

    async def _requested(self, caller: Caller, project: Project, asked: DeployRequest, known: Pin | None) -> DeploySpec:
        environment = environment_of(project, asked.environment)
        resolved = await self._workflows.resolve(
            caller, project.id, asked.workflow_id, asked.version_id, known, asked.label
        )
        return DeploySpec(
            environment,
            resolved,
            asked.runtime_id,
            asked.config,
            asked.reason,
            asked.force,
            asked.plan_token,
            label=asked.label,
        )

    async def _repeated(
        self, caller: Caller, project: Project, asked: SourceRequest, source: Source, kind: str
    ) -> DeploySpec:
        """Pin the source again. The workflow service is called only for warnings."""
        pin = source.deployment.pin
        resolved = await self._workflows.resolve(caller, project.id, pin.workflow_id, pin.version_id, known=pin)
        return DeploySpec(
            asked.environment,
            resolved,
            config=source.deployment.config if kind == "rollback" else None,
            reason=asked.reason,
            force=asked.force,
            plan_token=asked.plan_token,
            source=source.deployment,
            kind=kind,
            only_while_live=(source.live.environment, source.live.id) if source.live else None,
            why=source.why,
        )

    async def _write(
        self,
        call: IdempotentCall[Answer],
        action: str,
        app_id: UUID,
        spec_of: SpecOf,
        answer_of: AnswerOf[Answer],
        workflow_id: UUID | None = None,
        version_id: UUID | None = None,
    ) -> Answer:
        """Make the spec without a connection, then write the deployment once, with its audit event."""
        kept = await call.replay()
        if kept is not None:
            return kept
        caller = call.caller
        target = await self._targets.get((caller.visible_projects, app_id, workflow_id, version_id))
        project = caller.project(target.project_id)
        spec = await spec_of(project, target.known)
        command = DeployCommand(caller, project.id, app_id, spec, action)
        if not call.has_key and not spec.is_large:
            deployment = await self._shared_inserts.get(command)
            if deployment is not None:
                self._tell(app_id)
                return answer_of(deployment, spec)

        async def write(db: Connection) -> Answer:
            async with db.transaction():
                return answer_of(await deploy_locked(db, self._driver, command), spec)

        answer = await call.run(write, changed=app_id)
        self._tell(app_id)
        return answer

    def _tell(self, app_id: UUID) -> None:
        """Notify other replicas and waiters of a committed deployment."""
        self._signals.send(Topic.CHANGED if self._driver.immediate else Topic.ASKED, app_id)


async def deploy_locked(db: Connection, driver: Driver, command: DeployCommand) -> Deployment:
    """Deploy under the app's lock, in the caller's transaction.

    Raises AppNotFound, LiveMoved, PlanOutdated, AppArchived, RuntimeNotFound, RuntimeDeprecated or VersionMarkedBad.
    """
    await apps.lock_app(db, [command.project_id], command.app_id)
    (done,) = await _deploy(db, driver, [command])
    if isinstance(done, ServiceError):
        raise done
    if done is None:
        raise LookupError("the app's revision changed while it was locked")
    return done


async def deploy_shared(
    db: Connection, driver: Driver, commands: Sequence[DeployCommand]
) -> list[Deployment | ServiceError | None]:
    """Deploy without waiting for a lock. Returns a deployment or an error for each command, in order.

    None means that the caller must write the command by itself: an earlier command is for the same app, or another
    transaction is changing the app.
    """
    first = {command.app_id: command for command in reversed(commands)}
    try:
        found = dict(zip(first, await _deploy(db, driver, list(first.values())), strict=True))
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return [None] * len(commands)
    return [found[command.app_id] if command is first[command.app_id] else None for command in commands]


async def _deploy(
    db: Connection, driver: Driver, commands: Sequence[DeployCommand]
) -> list[Deployment | ServiceError | None]:
    keys = [command.spec.key(command.project_id, command.app_id) for command in commands]
    states = await find_app_states(db, keys)
    decisions = [
        decide(command, state, live_at_once=driver.immediate) for command, state in zip(commands, states, strict=True)
    ]
    inserted = await insert_deployments(db, [each for each in decisions if isinstance(each, NewDeployment)])
    for deployment in inserted.values():
        if deployment.live_from is not None:
            count_live(deployment, deployment.live_from)
    return [inserted.get(each.id) if isinstance(each, NewDeployment) else each for each in decisions]


async def record_action(db: Connection, caller: Caller, action: str, deployment: Deployment, **details: str) -> None:
    """Record an action on a deployment as an audit event of its app."""
    pin = deployment.pin
    details = {"environment": deployment.environment, "version": f"v{pin.version_number}", **details}
    await audit.record(db, caller, deployment.project_id, deployment.app_id, action, deployment.id, **details)
