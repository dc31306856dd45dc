"""Runs a call on a replica of its deployment, and records the run."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from run_service.errors import NoReplica
from run_service.hosting.client import Connection, ReplicaGone, RunEnded, RunEvent, RunRequest, RunStarted
from run_service.model import Run, RunError
from run_service.recorder import RunRecorder
from run_service.router.access import Target
from run_service.router.call_body import Call
from run_service.supply.replicas import BoundCall

TRIES = 3
"""Maximum replicas that are tried. A run that one has not begun may be sent to the next."""
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

RUNS = Counter("flowpin_runs_total", "Runs that have ended.", ["status"])
DURATION = Histogram("flowpin_run_seconds", "How long runs took, from when they had a slot.", buckets=SECONDS)
WAIT = Histogram("flowpin_run_wait_seconds", "How long calls waited for a slot.", buckets=SECONDS)

log = structlog.get_logger()


class Calls:
    def __init__(self, recorder: RunRecorder, run_seconds: float) -> None:
        self._recorder = recorder
        self._run_seconds = run_seconds

    async def run(
        self, run_id: UUID, request_id: str, target: Target, bound: BoundCall, call: Call
    ) -> AsyncGenerator[RunEvent, None]:
        """The events of the call's run, which the caller closes with `aclosing`. A caller that leaves early cancels the
        run.

        The last event is RunEnded. Raises NoSlot or NoReplica if nothing has run.
        """
        began = time.monotonic()
        for _ in range(TRIES):
            async with bound.group.slot() as connection:
                WAIT.observe(time.monotonic() - began)
                request = RunRequest(
                    run_id=str(run_id),
                    input=call.input,
                    stream=call.is_stream,
                    deadline_seconds=self._run_seconds,
                )
                try:
                    run = _run(run_id, target, call)
                    async with aclosing(self._recorded(connection.run(request), run, request_id)) as events:
                        async for event in events:
                            if isinstance(event, RunEnded):
                                bound.counted.was_killed = event.status == "timed_out" or event.is_replica_lost
                            yield event
                    return
                except ReplicaGone as error:
                    bound.group.lost(connection, str(error))
        raise NoReplica("The app's replicas end as soon as they have started.")

    async def run_on(
        self, connection: Connection, run: Run, call: Call, request_id: str, seconds: float
    ) -> AsyncGenerator[RunEvent, None]:
        """The events of a run that has a replica to itself. Raises NoReplica if nothing has run."""
        request = RunRequest(run_id=str(run.id), input=call.input, stream=call.is_stream, deadline_seconds=seconds)
        try:
            async with aclosing(self._recorded(connection.run(request), run, request_id)) as events:
                async for event in events:
                    yield event
        except ReplicaGone as error:
            raise NoReplica(str(error)) from error

    async def _recorded(
        self, events: AsyncGenerator[RunEvent, None], run: Run, request_id: str
    ) -> AsyncGenerator[RunEvent, None]:
        began = time.monotonic()
        ended, has_begun = RunEnded("canceled"), False
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, RunStarted):
                        self._recorder.record(run)
                    elif isinstance(event, RunEnded):
                        ended = event
                    has_begun = True
                    yield event
        except ReplicaGone:
            raise
        except BaseException:
            has_begun = True  # the run was sent, but its caller has left
            raise
        finally:
            if has_begun:
                status, error = _outcome(ended, self._run_seconds)
                self._recorder.record(run.ended(status, error))
                RUNS.labels(ended.status).inc()
                DURATION.observe(time.monotonic() - began)
                log.info(
                    "run_ended",
                    run_id=str(run.id),
                    request_id=request_id,
                    app_id=run.app_id and str(run.app_id),
                    deployment_id=run.deployment_id and str(run.deployment_id),
                    status=ended.status,
                    duration_ms=round((time.monotonic() - began) * 1000, 2),
                )


def _run(run_id: UUID, target: Target, call: Call) -> Run:
    return Run(
        project_id=target.route.project_id,
        id=run_id,
        app_id=target.route.app_id,
        environment=target.environment,
        deployment_id=target.pin.deployment_id,
        version_id=target.pin.version_id,
        version_number=target.pin.version_number,
        is_stream=call.is_stream,
        started_at=datetime.now(UTC),
        access_key_id=target.key.id if target.key else None,
        access_key_preview=target.key.preview if target.key else None,
        user_id=target.user_id,
    )


def _outcome(ended: RunEnded, run_seconds: float) -> tuple[str, RunError | None]:
    """The run's status and error as they are recorded."""
    match ended.status:
        case "failed":
            return "failed", RunError("run_failed", ended.error or "The run failed.", ended.node)
        case "timed_out":
            return "failed", RunError("timeout", f"The run did not end within {run_seconds:g} s.", ended.node)
    return ended.status, None
