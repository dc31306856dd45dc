"""Commands of `flowpin app` about apps, access keys and audit events."""

from typing import Annotated, Any

import typer

from flowpin_cli.commands import remote
from flowpin_cli.commands.remote import App, AsJson, Data, Project


def list_apps(
    archived: Annotated[bool, typer.Option("--archived", help="Include archived ones.")] = False,
    limit: remote.Limit = 25,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List the project's apps by name, with what each serves.

    Example: `flowpin app list`
    """
    from flowpin_cli import terminal
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        project_id = names.project_id(calls, project)
        rows = calls.rows("/v1/apps", limit, project_id=project_id, include_archived=archived or None)
        if as_json:
            terminal.print_json(rows)
            return
        shown = [[r["name"], _workflow(r), _version(r), r.get("runtime", {}).get("label", ""), r["id"]] for r in rows]
        terminal.table(["NAME", "WORKFLOW", "SERVES", "RUNTIME", "ID"], shown, ["bold", "", "cyan", "", "dim"])
        if rows.total > len(rows):
            terminal.hint(f"… and {rows.total - len(rows):,} more; `--limit 0` shows all.")


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, spaces and . / _ ' -")],
    workflow: remote.Workflow,
    version: Annotated[str, typer.Argument(metavar="VERSION", help=remote.VERSION_HELP)] = "latest",
    environment: remote.Environment = None,
    runtime: Annotated[str | None, typer.Option(metavar="VERSION", help="The runtime, such as 0.69.")] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="The app's description.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Callers need no access key.")] = False,
    no_wait: remote.NoWait = False,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create an app and deploy a version to it.

    Example: `flowpin app create "Order total" order-total v3`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        project_id = names.project_id(calls, project)
        workflow_id = names.workflow_id(calls, workflow, project_id)
        body: dict[str, Any] = {
            "name": name,
            "project_id": project_id,
            "workflow_id": workflow_id,
            "workflow_version_id": names.version_in_body(calls, workflow_id, version),
            "runtime_id": names.runtime_id(calls, runtime),
            "environment": environment,
            "description": description,
            "access_control": {"access_type": "public"} if public else None,
        }
        app = calls.post("/v1/apps", {field: value for field, value in body.items() if value is not None})
        remote.wait_and_check(calls, app["id"], _deployment_in(app, environment), no_wait=no_wait)
        _tell(calls.get(f"/v1/apps/{app['id']}"), as_json)


def get(app: App, project: Project = None, data: Data = None, as_json: AsJson = False) -> None:
    """Show an app: its address, and what is live in each environment.

    Example: `flowpin app get "Order total" --json`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        _tell(calls.get(f"/v1/apps/{names.app_id(calls, app, project)}"), as_json)


def audit(
    app: App, limit: remote.Limit = 25, project: Project = None, data: Data = None, as_json: AsJson = False
) -> None:
    """List who did what to an app, newest first.

    Example: `flowpin app audit "Order total" --limit 100`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        rows = calls.rows(f"/v1/apps/{names.app_id(calls, app, project)}/audit-events", limit)
        remote.tell_audit(rows, as_json)


def keys(
    new: Annotated[
        str | None, typer.Option(metavar="NAME", help="Create a key and print it. It is shown only once.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --new: when it expires, such as 2027-01-31T00:00:00Z.")
    ] = None,
    revoke: Annotated[str | None, typer.Option(metavar="ID", help="Revoke a key.")] = None,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List, create or revoke the access keys that callers of apps need.

    - `KEY=$(flowpin app keys --new website)`
    - `flowpin app keys --revoke 0198…`
    """
    from flowpin_cli import terminal
    from flowpin_cli.errors import WrongUsage
    from flowpin_cli.rest import names
    from flowpin_cli.rest.calls import part

    with remote.calling(data) as calls:
        if new and revoke:
            raise WrongUsage("--new and --revoke cannot be used together")
        if revoke:
            calls.delete(f"/v1/access-keys/{part(revoke)}")
            terminal.hint(f"{terminal.harmless(revoke)} is revoked. Every process refuses it within two seconds.")
            return
        project_id = names.project_id(calls, project)
        if new:
            body = {"project_id": project_id, "name": new} | ({"expires_at": expires_at} if expires_at else {})
            key = calls.post("/v1/access-keys", body)
            if as_json:
                terminal.print_json(key)
            else:
                terminal.say(key["key"])
            return
        rows = calls.rows("/v1/access-keys", project_id=project_id)
        if as_json:
            terminal.print_json(rows)
            return
        shown = [[r["name"], r["preview"], _until(r), terminal.moment(r["created_at"]), r["id"]] for r in rows]
        terminal.table(["NAME", "KEY", "EXPIRES", "CREATED", "ID"], shown, ["bold", "", "", "", "dim"])


def _until(key: dict[str, str]) -> str:
    from flowpin_cli.terminal import moment

    return f"revoked {moment(key['revoked_at'])}" if "revoked_at" in key else moment(key.get("expires_at")) or "never"


def _workflow(app: dict[str, Any]) -> str:
    return str(app.get("workflow", {}).get("name", ""))


def _version(app: dict[str, Any]) -> str:
    return str(app.get("workflow_version", {}).get("label", "")) + ("  archived" if "archived_at" in app else "")


def _deployment_in(app: dict[str, Any], environment: str | None) -> str | None:
    for state in app.get("environments", []):
        if state["name"] == environment and "deployment_id" in state:
            return str(state["deployment_id"])
    return app.get("latest_deployment_id")


def _tell(app: dict[str, Any], as_json: bool) -> None:
    from flowpin_cli import terminal

    if as_json:
        terminal.print_json(app)
        return
    serves = f"serves {_workflow(app)} {_version(app)}" if "workflow_version" in app else "serves nothing yet"
    terminal.say(terminal.harmless(f"{app['name']}  {serves}  ") + terminal.paint(app["id"], "dim"))
    terminal.say(f"  answers at   {app['hostname']}  ({app['access_control']['access_type']})")
    if len(app["environments"]) > 1:
        for state in app["environments"]:
            live = state.get("deployment_id", "nothing live")
            terminal.say(f"  {state['name']:<11}  {terminal.paint(live, 'dim')}")
