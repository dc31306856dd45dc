"""`flowpin apply`: changes an app to the state in a file."""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from flowpin_cli import rendering, terminal
from flowpin_cli.errors import CannotRun, NotFound, WrongUsage
from flowpin_cli.rest import documents, names, rollouts
from flowpin_cli.rest.calls import Calls, Json

DIGEST_PREFIX = "sha256:"


@dataclass(frozen=True)
class Wanted:
    """The content of the file. None leaves a value unchanged."""

    app: str
    workflow: str
    version: str
    runtime: str | None = None
    environment: str | None = None
    config: Json | None = None
    project: str | None = None
    description: str | None = None
    access: str | None = None


def read_wanted(file: Path) -> Wanted:
    """WrongUsage names what is wrong in the file."""
    import yaml

    try:
        content = yaml.safe_load(documents.read_text(file))
    except (yaml.YAMLError, RecursionError) as error:
        raise WrongUsage(f"{file} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise WrongUsage(f"{file} must be a mapping; `flowpin apply --help` shows one")
    known = [field.name for field in fields(Wanted)]
    problems = [f"{name} is not known{_nearest(str(name), known)}" for name in content if name not in known]
    problems += [f"{name} is missing" for name in ("app", "workflow", "version") if content.get(name) is None]
    for name, value in content.items():
        if name == "config" and not isinstance(value, dict | None):
            problems.append("config must be a mapping")
        if name != "config" and name in known and isinstance(value, dict | list | bool | float):
            problems.append(f"{name} must be a text" + (', in quotes: "0.69"' if isinstance(value, float) else ""))
    if content.get("access") not in (None, "private", "public"):
        problems.append("access must be private or public")
    if problems:
        raise WrongUsage(f"{file}: " + "; ".join(problems))
    texts = {name: str(value) for name, value in content.items() if value is not None and name != "config"}
    return Wanted(config=content.get("config"), **texts)


def _nearest(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f" (is {near[0]} meant?)" if near else f"; there are {', '.join(known)}"


class Applying:
    """Applies one file."""

    def __init__(self, calls: Calls, wanted: Wanted, project: str | None, *, as_json: bool) -> None:
        self._calls = calls
        self._wanted = wanted
        self._as_json = as_json
        self._project_id = names.project_id(calls, project or wanted.project)
        self._workflow_id = names.workflow_id(calls, wanted.workflow, self._project_id)

    def run(self, *, dry_run: bool, asks: bool, waits: bool) -> bool:
        """Apply the file. Returns whether there was something to apply."""
        pins = self._pins()
        app = self._app()
        if app is None:
            self._say(terminal.paint(f"+ app {terminal.harmless(self._wanted.app)}", "green") + ", which is created")
            self._say(f"  {terminal.harmless(self._wanted.workflow)} {terminal.harmless(self._wanted.version)}")
            if dry_run:
                return self._tell("pending")
            self._confirm(asks)
            return self._create(pins, waits)
        plan = self._calls.post(f"/v1/apps/{app['id']}/deploy/plan", pins)
        record = self._changes_of_record(app)
        deploys = self._has_changes(plan)
        if not plan["blockers"] and not deploys and not record:
            self._say("Nothing to do.")
            self._tell("nothing", plan=plan)
            return False
        for line in rendering.plan_lines(plan):
            self._say(line)
        for name, value in record.items():
            self._say(terminal.harmless(f"{name:<8}  → {value}"))
        if plan["blockers"]:
            raise CannotRun("the deployment would be refused")
        if dry_run:
            return self._tell("pending", plan=plan)
        self._confirm(asks)
        if record:
            self._calls.put(f"/v1/apps/{app['id']}", record)
        row = self._deploy(app["id"], {**pins, "plan_token": plan["plan_token"]}, waits) if deploys else None
        return self._tell("applied", plan=plan, deployment=row)

    def _pins(self) -> Json:
        wanted = self._wanted
        pins = {
            "workflow_id": self._workflow_id,
            "workflow_version_id": self._version_id(wanted.version),
            "runtime_id": names.runtime_id(self._calls, wanted.runtime),
            "environment": wanted.environment,
            "deployment_config": wanted.config,
        }
        return {name: value for name, value in pins.items() if value is not None}

    def _version_id(self, spec: str) -> str | None:
        if not spec.startswith(DIGEST_PREFIX):
            return names.version_in_body(self._calls, self._workflow_id, spec)
        for row in self._calls.rows(f"/v1/workflows/{self._workflow_id}/versions", include_archived=True):
            if row["digest"] == spec:
                return str(row["id"])
        raise NotFound(f"no version of {self._wanted.workflow} has the digest {spec}")

    def _app(self) -> Json | None:
        try:
            app_id = names.app_id(self._calls, self._wanted.app, self._project_id)
        except NotFound:
            return None
        return dict(self._calls.get(f"/v1/apps/{app_id}"))

    def _changes_of_record(self, app: Json) -> Json:
        wanted: Json = {}
        if self._wanted.description is not None and self._wanted.description != app.get("description", ""):
            wanted["description"] = self._wanted.description
        if self._wanted.access is not None and self._wanted.access != app["access_control"]["access_type"]:
            wanted["access_control"] = {"access_type": self._wanted.access}
        return wanted

    def _has_changes(self, plan: Json) -> bool:
        """Whether the version changes. Another version with the same digest is a change, unless the file names a
        digest."""
        changes = rendering.changes_of(plan)
        if any(change["changed"] for change in changes.values()):
            return True
        flow = changes.get("flow", {})
        by_digest = self._wanted.version.startswith(DIGEST_PREFIX)
        return not by_digest and flow.get("before") != flow.get("after")

    def _create(self, pins: Json, waits: bool) -> bool:
        body = {**pins, "name": self._wanted.app, "project_id": self._project_id}
        if self._wanted.description is not None:
            body["description"] = self._wanted.description
        if self._wanted.access is not None:
            body["access_control"] = {"access_type": self._wanted.access}
        app = self._calls.post("/v1/apps", body)
        rows = self._calls.rows(f"/v1/apps/{app['id']}/deployments", 1)
        return self._tell("created", app=app, deployment=self._end(rows[0], waits))

    def _deploy(self, app_id: str, body: Json, waits: bool) -> Json:
        return self._end(self._calls.post(f"/v1/apps/{app_id}/deploy", body), waits)

    def _end(self, row: Json, waits: bool) -> Json:
        row = rollouts.ended(self._calls, row) if waits else row
        self._say(rendering.deployment_line(row))
        if problem := rollouts.problem_of(row):
            raise CannotRun(problem)
        return row

    def _confirm(self, asks: bool) -> None:
        if not asks:
            return
        if not sys.stdin.isatty():
            raise WrongUsage("cannot ask without a terminal; use --yes to apply this")
        terminal.hint("Apply this? [y/N]")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CannotRun("nothing was changed")

    def _say(self, line: str) -> None:
        if not self._as_json:
            terminal.say(line)

    def _tell(self, result: str, **more: Any) -> bool:
        """The result for programs. True: there was something to apply."""
        if self._as_json:
            terminal.print_json(
                {"result": result, **{name: value for name, value in more.items() if value is not None}}
            )
        return True
