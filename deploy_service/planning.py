"""Looks at a deploy before it is made: what it would pin, what it would change, and why it would be refused."""

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

from deploy_service.config import SERVERLESS
from deploy_service.errors import AppArchived, RuntimeDeprecated, RuntimeNotFound, VersionMarkedBad
from deploy_service.model import Deployment, Pin, check_runtime
from deploy_service.pins import Resolved
from deploy_service.repository import deployments, runtimes
from service_kit.db import Connection
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb


@dataclass(frozen=True, slots=True)
class PinnedRuntime:
    """A runtime as it is written into a deployment."""

    id: UUID
    version: str
    label: str


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. None keeps what is live there: the runtime, the configuration (JSON bytes)."""

    environment: str
    resolved: Resolved
    runtime_id: UUID | None = None
    config: bytes | None = None
    reason: str | None = None
    force: bool = False
    plan_token: str | None = None
    source: Deployment | None = None
    """What is rolled back to or promoted. It brings the runtime, current or not, and the configuration where nothing is
    live."""
    kind: str | None = None
    """Deploy or rollback, by the version's number, unless given."""
    only_while_live: tuple[str, UUID] | None = None
    """An environment and what was live there when the order was made up; once that has moved, it is refused."""
    why: str = ""
    """For people: how the source was chosen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an order comes to, next to what is live."""

    live: Deployment | None
    last_live: UUID | None
    """The newest deployment that had this version live there."""
    pin: Pin
    runtime: PinnedRuntime | None
    config: bytes
    blockers: tuple[ServiceError, ...]
    token: str
    """Of all that was looked at; empty when there are blockers."""


async def look_at(db: Connection, project_id: UUID, app_id: UUID, archived: bool, order: Order) -> Outcome:
    """Under the app's lock the outcome is what a deploy writes down."""
    pin = order.resolved.pin
    standing = await deployments.find_standing(db, project_id, app_id, order.environment, pin.version_id)
    live, mark = standing.live, standing.mark
    blockers: list[ServiceError] = []
    runtime: PinnedRuntime | None = None
    if archived:
        blockers.append(AppArchived())
    try:
        runtime = await _runtime(db, order, live)
    except (RuntimeNotFound, RuntimeDeprecated) as refusal:
        blockers.append(refusal)
    if mark == "bad" and not order.force:
        blockers.append(VersionMarkedBad(pin.version_number))
    kept = live or order.source
    config = order.config or (kept.config if kept else SERVERLESS)
    token = "" if blockers else _token(project_id, app_id, order, live, runtime, config, mark)
    return Outcome(live, standing.last_live, pin, runtime, config, tuple(blockers), token)


async def _runtime(db: Connection, order: Order, live: Deployment | None) -> PinnedRuntime:
    """The source's as it was pinned, or the one asked for, or the live one as it was pinned, or the default."""
    pinned = order.source or (live if order.runtime_id is None else None)
    if pinned is not None:
        return PinnedRuntime(pinned.runtime_id, pinned.runtime_version, pinned.runtime_label)
    asked = order.runtime_id
    runtime = await runtimes.get_runtime(db, asked) if asked else await runtimes.get_default_runtime(db)
    check_runtime(runtime, live)
    return PinnedRuntime(runtime.id, runtime.version, runtime.label)


def _token(
    project_id: UUID,
    app_id: UUID,
    order: Order,
    live: Deployment | None,
    runtime: PinnedRuntime | None,
    config: bytes,
    mark: str | None,
) -> str:
    """A digest of all that the plan rests on. It proves nothing about who planned, and need not."""
    seen = {
        "project": str(project_id),
        "app": str(app_id),
        "environment": order.environment,
        "live": str(live.id) if live else None,
        "version": str(order.resolved.pin.version_id),
        "digest": order.resolved.pin.version_digest.hex(),
        "warnings": order.resolved.warnings,
        "runtime": str(runtime.id) if runtime else None,
        "config": json.loads(config),
        "mark": mark,
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def refused_plan(refusal: ServiceError) -> pb.Plan:
    """The plan of a deploy that pins nothing."""
    return pb.Plan(blockers=[pb.Blocker(reason=refusal.reason, message=refusal.message)])


def plan_message(outcome: Outcome, warnings: tuple[str, ...]) -> pb.Plan:
    plan = pb.Plan(
        plan_token=outcome.token,
        warnings=warnings,
        blockers=[pb.Blocker(reason=blocker.reason, message=blocker.message) for blocker in outcome.blockers],
    )
    live, runtime = outcome.live, outcome.runtime
    if runtime is not None:
        plan.changes.flow.CopyFrom(
            pb.Change(
                before=_version(live.pin) if live else None,
                after=_version(outcome.pin),
                changed=live is None or live.pin.version_digest != outcome.pin.version_digest,
            )
        )
        plan.changes.runtime.CopyFrom(
            pb.Change(
                before=live.runtime_label if live else None,
                after=runtime.label,
                changed=live is None or live.runtime_id != runtime.id,
            )
        )
        plan.changes.config.CopyFrom(
            pb.Change(
                before=live.config.decode() if live else None,
                after=outcome.config.decode(),
                changed=live is None or json.loads(live.config) != json.loads(outcome.config),
            )
        )
    return plan


def _version(pin: Pin) -> str:
    return f"{pin.workflow_name} v{pin.version_number}"
