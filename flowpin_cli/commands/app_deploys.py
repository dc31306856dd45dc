"""Commands of `flowpin app` about deployments."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowpin_cli.commands import remote
from flowpin_cli.commands.remote import App, AsJson, Data, Environment, Force, NoWait, Project, Reason

if TYPE_CHECKING:
    from flowpin_cli.rest.calls import Calls

OptionalVersion = Annotated[str, typer.Argument(metavar="VERSION", help=remote.VERSION_HELP)]
OtherWorkflow = Annotated[
    str | None, typer.Option("--workflow", metavar="NAME|ID", help="The workflow of VERSION. Default: the app's own.")
]
Runtime = Annotated[
    str | None, typer.Option(metavar="VERSION", help="The runtime, such as 0.69 or an id. Default: the live one.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A deployment_config as JSON. Default: the live one.")
]


def deploy(
    app: App,
    version: OptionalVersion = "latest",
    workflow: OtherWorkflow = None,
    environment: Environment = None,
    runtime: Runtime = None,
    config: ConfigFile = None,
    reason: Reason = None,
    force: Force = False,
    no_wait: NoWait = False,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Deploy a version to an app. Keeps the runtime and the configuration unless you give others.

    - `flowpin app deploy "Order total"` deploys the latest version
    - `flowpin app deploy "Order total" v3 --reason "v4 miscounts"`
    - `flowpin app deploy "Order total" @production --environment staging`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        app_id = names.app_id(calls, app, project)
        body = _pins(calls, app_id, version, workflow, environment, runtime, config, force, project)
        _go(calls, f"/v1/apps/{app_id}/deploy", body | _given(reason=reason), no_wait=no_wait, as_json=as_json)


def plan(
    app: App,
    version: OptionalVersion = "latest",
    workflow: OtherWorkflow = None,
    environment: Environment = None,
    runtime: Runtime = None,
    config: ConfigFile = None,
    force: Force = False,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what a deployment would change. Changes nothing. Exits with 1 when the deployment would be refused.

    Example: `flowpin app plan "Order total" v4`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        app_id = names.app_id(calls, app, project)
        body = _pins(calls, app_id, version, workflow, environment, runtime, config, force, project)
        planned = calls.post(f"/v1/apps/{app_id}/deploy/plan", body)
    _show_plan(planned, as_json=as_json)


def history(
    app: App,
    environment: Annotated[str | None, typer.Option(metavar="NAME", help="Only this environment.")] = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="pending, deploying, succeeded, failed or canceled.")
    ] = None,
    live_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what was live at this time, such as 2026-11-30T12:00:00Z.")
    ] = None,
    limit: remote.Limit = 25,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List an app's deployments, newest first; ● marks what is live.

    - `flowpin app history "Order total"`
    - `flowpin app history "Order total" --live-at 2026-11-30T12:00:00Z`
    """
    from flowpin_cli import rendering, terminal
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        path = f"/v1/apps/{names.app_id(calls, app, project)}/deployments"
        rows = calls.rows(path, limit, environment=environment, status=status, live_at=live_at)
        if as_json:
            terminal.print_json(rows)
            return
        rendering.print_history(rows)
        remote.tell_rest(rows)


def rollback(
    app: App,
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION|ID", help="A version that was live, or a deployment. Default: the one before."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show which deployment it would return to, and why. Changes nothing.")
    ] = False,
    reason: Reason = None,
    environment: Environment = None,
    force: Force = False,
    no_wait: NoWait = False,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Return to what was live before, with its runtime and configuration. Prints which one, and why.

    - `flowpin app rollback "Order total" --plan` shows it before it happens
    - `flowpin app rollback "Order total" --reason "v4 miscounts"`
    - `flowpin app rollback "Order total" --to v2`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        app_id = names.app_id(calls, app, project)
        target = (
            names.deployment_of(calls, app_id, to, environment or _default_environment(calls, app_id)) if to else {}
        )
        body = _given(deployment_id=target.get("id"), environment=environment, reason=reason, force=force)
        path = f"/v1/apps/{app_id}/rollback"
        if plan:
            _show_plan(calls.post(f"{path}/plan", body), as_json=as_json)
        else:
            _go(calls, path, body, no_wait=no_wait, as_json=as_json)


def promote(
    app: App,
    to: Annotated[str | None, typer.Option(metavar="NAME", help="The target. Default: the last environment.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="The source. Default: the environment before the target."),
    ] = None,
    reason: Reason = None,
    force: Force = False,
    no_wait: NoWait = False,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Deploy what is live in one environment to the next. The target keeps its configuration.

    Example: `flowpin app promote "Order total" --from staging --to production`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        app_id = names.app_id(calls, app, project)
        body = _given(environment=to, from_environment=source, reason=reason, force=force)
        _go(calls, f"/v1/apps/{app_id}/promote", body, no_wait=no_wait, as_json=as_json)


def mark(
    app: App,
    deployment: Annotated[str, typer.Argument(metavar="VERSION|ID", help="A version that was live, or a deployment.")],
    health: Annotated[str, typer.Argument(metavar="HEALTH", help="good or bad.")],
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="Why.")] = None,
    environment: Environment = None,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Mark a deployment as good or bad. A bad version is deployed again only with `--force`.

    Example: `flowpin app mark "Order total" v4 bad --note "miscounts"`
    """
    from flowpin_cli import terminal
    from flowpin_cli.errors import WrongUsage
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        if health not in ("good", "bad"):
            raise WrongUsage("HEALTH must be good or bad")
        app_id = names.app_id(calls, app, project)
        found = names.deployment_of(calls, app_id, deployment, environment or _default_environment(calls, app_id))
        row = calls.post(f"/v1/deployments/{found['id']}/health", {"health": health} | _given(note=note))
        if as_json:
            terminal.print_json(row)
            return
        terminal.say(f"{row['workflow_version']['label']}  {row['health']}  {terminal.paint(row['id'], 'dim')}")


def _pins(
    calls: "Calls",
    app_id: str,
    version: str,
    workflow: str | None,
    environment: str | None,
    runtime: str | None,
    config: Path | None,
    force: bool,
    project: str | None,
) -> dict[str, Any]:
    from flowpin_cli.rest import documents, names

    owner = calls.get(f"/v1/apps/{app_id}")
    workflow_id = (
        names.workflow_id(calls, workflow, project or owner["project_id"]) if workflow else owner["workflow_id"]
    )
    return {"workflow_id": workflow_id} | _given(
        workflow_version_id=names.version_in_body(calls, workflow_id, version),
        environment=environment,
        runtime_id=names.runtime_id(calls, runtime),
        deployment_config=json.loads(documents.read_object(config)) if config else None,
        force=force,
    )


def _default_environment(calls: "Calls", app_id: str) -> str:
    return str(calls.get(f"/v1/apps/{app_id}")["environments"][-1]["name"])


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _show_plan(planned: dict[str, Any], *, as_json: bool) -> None:
    """Exits with 1 when the deployment would be refused."""
    from flowpin_cli import terminal
    from flowpin_cli.rendering import plan_lines

    if as_json:
        terminal.print_json(planned)
    else:
        for line in plan_lines(planned):
            terminal.say(line)
    if planned["blockers"]:
        raise typer.Exit(1)


def _go(calls: "Calls", path: str, body: dict[str, Any], *, no_wait: bool, as_json: bool) -> None:
    """Deploy, wait and show the outcome."""
    from flowpin_cli import rendering, terminal
    from flowpin_cli.errors import CannotRun
    from flowpin_cli.rest import rollouts

    answer = calls.post_all(path, body)
    row = answer["data"] if no_wait else rollouts.ended(calls, answer["data"])
    for warning in row.get("warnings", []):
        terminal.hint(f"! {terminal.harmless(warning)}")
    if as_json:
        terminal.print_json(row)
    else:
        terminal.say(rendering.deployment_line(row))
        if answer.get("message"):
            terminal.hint(terminal.harmless(answer["message"]))
    if problem := rollouts.problem_of(row):
        raise CannotRun(problem)
