"""A run of the load, from start to end."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp
from rich.console import Console

from flowpin_cli.errors import CannotRun
from flowpin_cli.verify.load.app_callers import AppCallers
from flowpin_cli.verify.load.app_checks import IMPORT_SECONDS
from flowpin_cli.verify.load.app_face import open_apps
from flowpin_cli.verify.load.at_rest import findings_at_rest
from flowpin_cli.verify.load.faults.installation import Installation, open_installation
from flowpin_cli.verify.load.faults.schedule import Schedule
from flowpin_cli.verify.load.grpc_face import open_grpc
from flowpin_cli.verify.load.history import check
from flowpin_cli.verify.load.operations import Violation
from flowpin_cli.verify.load.options import LoadOptions, Target, target_of
from flowpin_cli.verify.load.reading import read_kept
from flowpin_cli.verify.load.recorder import Face, Recorder
from flowpin_cli.verify.load.report import RECOVERY, Report, print_json, print_text
from flowpin_cli.verify.load.rest import Rest, open_rest
from flowpin_cli.verify.load.workload import Workload

CALL_SECONDS = 10.0
"""The deadline of each call."""
HEALTHY_SECONDS = 30.0
"""How soon after the load, and after the last fault, the installation must answer reads, saves and deploys."""
POLL_SECONDS = 0.2


def run_load(options: LoadOptions) -> int:
    """Run the load, check its history and print the report. Returns 0, or 1 if a promise was broken. Raises
    CannotRun."""
    try:
        report = asyncio.run(_load_until_signal(options))
    except asyncio.CancelledError:
        raise CannotRun("the run was ended by a signal before its history was checked") from None
    (print_json if options.as_json else print_text)(report, Console())
    return 1 if report.violations else 0


async def _load_until_signal(options: LoadOptions) -> Report:
    """Let signals cancel the run, so that its own installation is stopped and removed."""
    loop, work = asyncio.get_running_loop(), asyncio.ensure_future(load(options))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, work.cancel)
    return await work


async def load(options: LoadOptions) -> Report:
    """The run itself, without its printing."""
    run = uuid4().hex[:8]
    path = options.history or Path(f"flowpin-verify-{run}.jsonl")
    async with AsyncExitStack() as stack:
        installation: Installation | None = None
        schedule: Schedule | None = None
        if options.faults:
            installation = await stack.enter_async_context(open_installation(options))
            schedule = Schedule(installation, options.faults, options.seed)
            target = installation.target
        else:
            target = target_of(options.data, options.environ)
        try:
            recorder = stack.enter_context(Recorder(path))
        except OSError as error:
            raise CannotRun(f"the history cannot be written to {path}: {error.strerror}") from None
        rest = await stack.enter_async_context(open_rest(target, CALL_SECONDS))
        faces: list[Face] = [rest]
        if target.workflow_grpc and target.deploy_grpc:
            faces.append(await stack.enter_async_context(open_grpc(target, CALL_SECONDS)))
        workload = Workload(recorder, faces, options.seed, run, runs_apps=bool(target.apps_url))
        callers = None
        if target.apps_url:
            callers = AppCallers(recorder, await stack.enter_async_context(open_apps(target)))
        return await _Run(options, target, recorder, rest, workload, callers, installation, schedule).to_report()


@dataclass
class _Run:
    options: LoadOptions
    target: Target
    recorder: Recorder
    rest: Rest
    workload: Workload
    callers: AppCallers | None
    """None if apps do not run."""
    installation: Installation | None
    """The run's own installation. None if it calls another one."""
    schedule: Schedule | None
    violations: list[Violation] = field(default_factory=list)

    async def to_report(self) -> Report:
        options, workload, recorder = self.options, self.workload, self.recorder
        await workload.prepare(self.rest, self.target.project_id, options.savers, options.deployers)
        working = asyncio.create_task(self._work())
        try:
            async with self._faults():
                await asyncio.wait({working}, timeout=options.seconds)
                workload.stop()
            healthy_after = await self._recovered()
            if self.callers is not None:
                self.callers.stop()
            await working
        finally:
            working.cancel()
        if healthy_after is not None:
            await workload.settle()
        self.violations += await self._checked()
        if self.installation is not None:
            self.violations += await findings_at_rest(self.installation)
        return Report(
            seconds=options.seconds,
            seed=options.seed,
            history=str(recorder.path),
            calls=recorder.calls,
            violations=self.violations,
            faults=self.schedule.made if self.schedule else Counter(),
            left_out=self.schedule.left_out if self.schedule else {},
            healthy_after=healthy_after,
            looked_at_rest=self.installation is not None,
            called_apps=self.callers is not None,
        )

    async def _work(self) -> None:
        """Run savers, deployers and callers of apps until they are stopped. Apps are called until the system has
        recovered, so the history shows when they answered."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.workload.work(self.options.savers, self.options.deployers))
            if self.callers is not None:
                tasks.create_task(self.callers.work(self.workload.apps))

    @asynccontextmanager
    async def _faults(self) -> AsyncIterator[None]:
        """Cause faults until the block ends, then wait for the end of the current one."""
        if self.schedule is None:
            yield
            return
        faults = asyncio.create_task(self.schedule.run(self.recorder))
        try:
            yield
        finally:
            self.schedule.stop()
            await faults

    async def _checked(self) -> list[Violation]:
        """The violations in the history. Data that cannot be read after the load is a violation too, because the
        installation did not recover."""
        try:
            kept = await read_kept(self.rest, self.workload.workflows, self.workload.apps)
        except CannotRun as error:
            return [Violation(RECOVERY, str(error), ())]
        for line in kept.lines():
            self.recorder.write(line)
        return check(self.recorder.calls, kept, self.recorder.faults)

    async def _recovered(self) -> float | None:
        """Seconds until recovery, and a violation if it took longer than the limit."""
        gave_up = self.schedule.gave_up() if self.schedule else None
        if gave_up is not None:
            self.violations.append(Violation(RECOVERY, gave_up, ()))
            return None
        began = time.monotonic()
        seconds = HEALTHY_SECONDS + (IMPORT_SECONDS if self.callers is not None else 0)
        while time.monotonic() < began + seconds:
            if await self._is_ready() and await self.workload.probe():
                return time.monotonic() - began
            await asyncio.sleep(POLL_SECONDS)
        says = f"The installation did not answer reads, saves and deploys again within {seconds:.0f} s."
        self.violations.append(Violation(RECOVERY, says, tuple(self.recorder.calls[-3:])))
        return None

    async def _is_ready(self) -> bool:
        try:
            answer = json.loads(await self.rest.get("/health/ready"))
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return False
        return all(state == "serving" for state in answer["services"].values())
