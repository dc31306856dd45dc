"""Decides what a deploy pins and changes, or why it is refused, before it is written."""

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

from deploy_service.deployment_config import SERVERLESS
from deploy_service.errors import (
    AppArchived,
    LiveMoved,
    PlanOutdated,
    RuntimeDeprecated,
    RuntimeNotFound,
    VersionMarkedBad,
)
from deploy_service.model import Deployment, check_runtime, kind_of
from deploy_service.repository.app_states import AppState, AppStateKey
from deploy_service.repository.deployment_inserts import NewDeployment
from deploy_service.workflow_client import ResolvedVersion
from service_kit.access.caller import Caller
from service_kit.documents import LARGE_DOCUMENT_BYTES
from service_kit.errors import ServiceError


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """A caller's request. None means the default environment, the latest version, and the live runtime and config.

    `config` is JSON.
    """

    environment: str | None
    workflow_id: UUID
    version_id: UUID | None
    runtime_id: UUID | None
    config: bytes | None
    label: str | None = None
    """Selects the version, instead of an id."""
    reason: str | None = None
    force: bool = False
    plan_token: str | None = None


@dataclass(frozen=True, slots=True)
class PinnedRuntime:
    """A runtime as a deployment records it."""

    id: UUID
    version: str
    label: str
    digest: bytes | None
    """Digest of its lock. None without a lock."""


@dataclass(frozen=True, slots=True)
class DeploySpec:
    """What to deploy, resolved. None keeps the live runtime or configuration (JSON)."""

    environment: str
    resolved: ResolvedVersion
    runtime_id: UUID | None = None
    config: bytes | None = None
    reason: str | None = None
    force: bool = False
    plan_token: str | None = None
    source: Deployment | None = None
    """The deployment to roll back to or promote. Its runtime is used even if deprecated. Its configuration is used only
    where nothing is live."""
    kind: str | None = None
    """Default: deploy or rollback, by the version's number."""
    only_while_live: tuple[str, UUID] | None = None
    """An environment, and the deployment that was live there when the spec was made. The deploy is refused when another
    one is live."""
    label: str | None = None
    """The label in the request."""
    why: str = ""
    """Why the source was chosen: a sentence for people."""

    @property
    def is_large(self) -> bool:
        """A large deployment is written by its own statement."""
        return len(self.resolved.flow or b"") + len(self.resolved.loadable or b"") >= LARGE_DOCUMENT_BYTES

    def key(self, project_id: UUID, app_id: UUID) -> AppStateKey:
        """The key of the state that the deploy depends on."""
        watched = self.only_while_live[0] if self.only_while_live else None
        return project_id, app_id, self.environment, self.resolved.pin.version_id, self.runtime_id, watched


@dataclass(frozen=True, slots=True)
class DeployCommand:
    """A spec for an app, and who requested it."""

    caller: Caller
    project_id: UUID
    app_id: UUID
    spec: DeploySpec
    action: str | None
    """Recorded in the app's audit events if set."""


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What a spec would do in the app's current state."""

    spec: DeploySpec
    state: AppState
    runtime: PinnedRuntime | None
    config: bytes
    blockers: tuple[ServiceError, ...]
    token: str
    """A digest of everything that the plan depends on. It is empty if there are blockers, and not secret."""


def plan_of(project_id: UUID, app_id: UUID, spec: DeploySpec, state: AppState) -> DeployPlan:
    """What a deploy writes if the app is still at the state's revision."""
    blockers: list[ServiceError] = []
    runtime: PinnedRuntime | None = None
    if state.archived:
        blockers.append(AppArchived())
    try:
        runtime = _runtime(spec, state)
    except (RuntimeNotFound, RuntimeDeprecated) as refusal:
        blockers.append(refusal)
    if state.mark == "bad" and not spec.force:
        blockers.append(VersionMarkedBad(spec.resolved.pin.version_number))
    kept = state.live or spec.source
    config = spec.config or (kept.config if kept else SERVERLESS)
    token = "" if blockers else _token(project_id, app_id, spec, state, runtime, config)
    return DeployPlan(spec, state, runtime, config, tuple(blockers), token)


def decide(
    command: DeployCommand, state: AppState | ServiceError, *, live_at_once: bool
) -> NewDeployment | ServiceError:
    """The deployment to write, or the error that prevents it."""
    if isinstance(state, ServiceError):
        return state
    spec = command.spec
    if spec.only_while_live is not None and state.live_in_watched != spec.only_while_live[1]:
        return LiveMoved(spec.only_while_live[0])
    plan = plan_of(command.project_id, command.app_id, spec, state)
    if spec.plan_token is not None and spec.plan_token != plan.token:
        return PlanOutdated()
    for blocker in plan.blockers:
        return blocker
    if plan.runtime is None:
        raise LookupError("a plan without blockers has a runtime")
    kind = spec.kind or kind_of(spec.resolved.pin, state.live)
    source = spec.source.id if spec.source else None
    return NewDeployment(
        caller=command.caller,
        project_id=command.project_id,
        app_id=command.app_id,
        revision=state.revision,
        environment=spec.environment,
        kind=kind,
        reason=spec.reason,
        pin=spec.resolved.pin,
        flow=spec.resolved.flow,
        loadable=spec.resolved.loadable,
        runtime_id=plan.runtime.id,
        runtime_version=plan.runtime.version,
        runtime_label=plan.runtime.label,
        runtime_digest=plan.runtime.digest,
        config=plan.config,
        warnings=spec.resolved.warnings,
        source_deployment_id=source or (state.last_live if kind == "rollback" else None),
        live=live_at_once,
        action=command.action,
        label=spec.label,
    )


def _runtime(spec: DeploySpec, state: AppState) -> PinnedRuntime:
    """The runtime of the source as it was pinned, or else the requested, the live or the default one with its current
    lock."""
    pinned = spec.source or (state.live if spec.runtime_id is None else None)
    if pinned is not None:
        digest = pinned.runtime_digest if spec.source else state.live_runtime_lock
        return PinnedRuntime(pinned.runtime_id, pinned.runtime_version, pinned.runtime_label, digest)
    if state.runtime is None:
        raise RuntimeNotFound
    check_runtime(state.runtime, state.live)
    return PinnedRuntime(state.runtime.id, state.runtime.version, state.runtime.label, state.runtime.lock_digest)


def _token(
    project_id: UUID, app_id: UUID, spec: DeploySpec, state: AppState, runtime: PinnedRuntime | None, config: bytes
) -> str:
    pin = spec.resolved.pin
    seen = {
        "project": str(project_id),
        "app": str(app_id),
        "environment": spec.environment,
        "live": str(state.live.id) if state.live else None,
        "version": str(pin.version_id),
        "digest": pin.version_digest.hex(),
        # A rollback does not depend on warnings: they need the workflow service.
        "warnings": None if spec.source else spec.resolved.warnings,
        "source": str(spec.source.id) if spec.source else None,
        "runtime": str(runtime.id) if runtime else None,
        "runtime_digest": runtime.digest.hex() if runtime and runtime.digest else None,
        "config": json.loads(config),
        "mark": state.mark,
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()
