"""Looks at a deploy before it is made: what it would pin, what it would change, and why it would be refused."""

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

from deploy_service.config import SERVERLESS
from deploy_service.errors import AppArchived, RuntimeDeprecated, RuntimeNotFound, VersionMarkedBad
from deploy_service.model import Deployment, Pin, check_runtime
from deploy_service.pins import Resolved
from deploy_service.repository.standings import Standing, StandingKey
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

LARGE = 256 << 10
"""A flow from this size on is not written along with others, in bytes."""


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

    @property
    def goes_together(self) -> bool:
        """Whether it may be written down along with others: it is not large."""
        return len(self.resolved.flow or b"") < LARGE

    def key(self, project_id: UUID, app_id: UUID) -> StandingKey:
        """Of what it finds there."""
        watched = self.only_while_live[0] if self.only_while_live else None
        return project_id, app_id, self.environment, self.resolved.pin.version_id, self.runtime_id, watched


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an order comes to, where it finds `standing`."""

    standing: Standing
    runtime: PinnedRuntime | None
    config: bytes
    blockers: tuple[ServiceError, ...]


def outcome_of(order: Order, standing: Standing) -> Outcome:
    """What a deploy writes down, as long as the app is at this revision."""
    live = standing.live
    blockers: list[ServiceError] = []
    runtime: PinnedRuntime | None = None
    if standing.archived:
        blockers.append(AppArchived())
    try:
        runtime = _runtime(order, standing)
    except (RuntimeNotFound, RuntimeDeprecated) as refusal:
        blockers.append(refusal)
    if standing.mark == "bad" and not order.force:
        blockers.append(VersionMarkedBad(order.resolved.pin.version_number))
    kept = live or order.source
    config = order.config or (kept.config if kept else SERVERLESS)
    return Outcome(standing, runtime, config, tuple(blockers))


def _runtime(order: Order, standing: Standing) -> PinnedRuntime:
    """The source's as it was pinned, or the one asked for, or the live one as it was pinned, or the default."""
    pinned = order.source or (standing.live if order.runtime_id is None else None)
    if pinned is not None:
        return PinnedRuntime(pinned.runtime_id, pinned.runtime_version, pinned.runtime_label)
    runtime = standing.runtime
    if runtime is None:
        raise RuntimeNotFound
    check_runtime(runtime, standing.live)
    return PinnedRuntime(runtime.id, runtime.version, runtime.label)


def token_of(project_id: UUID, app_id: UUID, order: Order, outcome: Outcome) -> str:
    """A digest of all that the plan rests on; empty when there are blockers.

    It proves nothing about who planned, and need not.
    """
    if outcome.blockers:
        return ""
    live, runtime = outcome.standing.live, outcome.runtime
    seen = {
        "project": str(project_id),
        "app": str(app_id),
        "environment": order.environment,
        "live": str(live.id) if live else None,
        "version": str(order.resolved.pin.version_id),
        "digest": order.resolved.pin.version_digest.hex(),
        "warnings": order.resolved.warnings,
        "runtime": str(runtime.id) if runtime else None,
        "config": json.loads(outcome.config),
        "mark": outcome.standing.mark,
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def refused_plan(refusal: ServiceError) -> pb.Plan:
    """The plan of a deploy that pins nothing."""
    return pb.Plan(blockers=[pb.Blocker(reason=refusal.reason, message=refusal.message)])


def plan_message(order: Order, outcome: Outcome, token: str) -> pb.Plan:
    plan = pb.Plan(
        plan_token=token,
        warnings=order.resolved.warnings,
        blockers=[pb.Blocker(reason=blocker.reason, message=blocker.message) for blocker in outcome.blockers],
    )
    pin, live, runtime = order.resolved.pin, outcome.standing.live, outcome.runtime
    if runtime is not None:
        plan.changes.flow.CopyFrom(
            pb.Change(
                before=_version(live.pin) if live else None,
                after=_version(pin),
                changed=live is None or live.pin.version_digest != pin.version_digest,
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
