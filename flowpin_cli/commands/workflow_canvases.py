"""Commands of `flowpin workflow` about workflows and canvases."""

from pathlib import Path
from typing import Annotated

import typer

from flowpin_cli.commands import remote
from flowpin_cli.commands.remote import AsJson, Data, Project, Workflow

FlowFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="JSON: a flow, or an object with `flow` and `flow_ui`. `-` is stdin."),
]
LayoutFile = Annotated[Path | None, typer.Option("--ui", metavar="FILE", help="The layout (flow_ui) as JSON.")]
Message = Annotated[
    str | None,
    typer.Option("--message", "-m", metavar="TEXT", help="The version's description, which cannot be changed later."),
]


def list_workflows(
    status: Annotated[str | None, typer.Option(metavar="STATUS", help="draft or released.")] = None,
    limit: remote.Limit = 25,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List the project's workflows, last changed first.

    Example: `flowpin workflow list --status draft`
    """
    from flowpin_cli import terminal
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        rows = calls.rows("/v1/workflows", limit, project_id=names.project_id(calls, project), status=status)
        if as_json:
            terminal.print_json(rows)
            return
        shown = [[r["name"], _count(r), terminal.moment(r["updated_at"]), r["id"]] for r in rows]
        terminal.table(["NAME", "VERSIONS", "CHANGED", "ID"], shown, ["bold", "", "", "dim"])
        remote.tell_rest(rows)


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lowercase letters, digits and single hyphens.")],
    file: FlowFile,
    ui: LayoutFile = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="The workflow's description.")] = None,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a workflow from a canvas. It is a draft until its first version is saved.

    Example: `flowpin workflow create order-total flow.json --ui flow_ui.json`
    """
    import json

    from flowpin_cli.rest import documents, names

    with remote.calling(data) as calls:
        flow, flow_ui = documents.read_canvas(file, ui)
        body = documents.body(
            name=json.dumps(name),
            project_id=json.dumps(names.project_id(calls, project)),
            flow=flow,
            flow_ui=flow_ui or "{}",
            description=json.dumps(description) if description else None,
        )
        _tell_workflow(calls.post("/v1/workflows", body), as_json)


def get(
    workflow: Workflow,
    flow: Annotated[bool, typer.Option("--flow", help="Print only its flow, byte for byte.")] = False,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show a workflow's state and latest version.

    - `flowpin workflow get order-total`
    - `flowpin workflow get order-total --json > canvas.json` writes flow and flow_ui, for `save` and `create`
    """
    from flowpin_cli import terminal
    from flowpin_cli.rest import documents, names

    with remote.calling(data) as calls:
        path = f"/v1/workflows/{names.workflow_id(calls, workflow, project)}"
        text = documents.members(calls.text(path))["data"]
        if flow:
            terminal.say(documents.members(text)["flow"])
            return
        if as_json:
            terminal.say(text)
            return
        _tell_workflow(calls.get(path), as_json=False)


def import_workflow(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new workflow.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A config.yaml of the SDK. `-` is stdin.")],
    workflow: Annotated[str | None, typer.Option(metavar="ID", help="The workflow, if the file has several.")] = None,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a draft from a config.yaml of the Dynamiq SDK, with a layout.

    Example: `flowpin workflow import order-total config.yaml`
    """
    from flowpin_cli.rest import documents, names
    from flowpin_cli.terminal import harmless, hint

    with remote.calling(data) as calls:
        body = {"project_id": names.project_id(calls, project), "name": name, "config": documents.read_text(file)}
        answer = calls.post_all("/v1/workflows/import", {**body, **({"workflow": workflow} if workflow else {})})
        for warning in answer.get("warnings", []):
            hint(f"! {harmless(str(warning))}")
        _tell_workflow(answer["data"], as_json)


def export(
    workflow: Workflow,
    version: Annotated[str, typer.Argument(metavar="VERSION", help=remote.VERSION_HELP)] = "latest",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write. Default: workflow.zip. `-` is stdout."),
    ] = None,
    project: Project = None,
    data: Data = None,
) -> None:
    """Download a version as a ZIP with config.yaml and main.py, which need only the SDK to run.

    Example: `flowpin workflow export order-total v3 -o order-total.zip`
    """
    import sys

    from flowpin_cli.errors import CannotRun
    from flowpin_cli.rest import names
    from flowpin_cli.terminal import hint

    with remote.calling(data) as calls:
        path = f"/v1/workflows/{names.workflow_id(calls, workflow, project)}/versions"
        content = calls.send("GET", f"{path}/{names.version_in_path(version)}/export")
        file = output or Path("workflow.zip")
        if str(file) == "-":
            sys.stdout.buffer.write(content)
            return
        try:
            file.write_bytes(content)
        except OSError as error:
            raise CannotRun(f"{file} cannot be written: {error.strerror}") from None
        hint(f"Wrote {file}; `unzip {file}`, `pip install dynamiq`, `python main.py` runs it.")


def validate(file: FlowFile, data: Data = None, as_json: AsJson = False) -> None:
    """Check a flow without saving it. Exits with 1 if it has errors; warnings do not count.

    Example: `flowpin workflow validate flow.json && flowpin workflow save order-total flow.json`
    """
    from flowpin_cli import terminal
    from flowpin_cli.rest import documents

    with remote.calling(data) as calls:
        answer = calls.post("/v1/workflows/validate", documents.body(flow=documents.read_canvas(file, None)[0]))
        if as_json:
            terminal.print_json(answer)
        else:
            for problem in answer["problems"]:
                colour = "red" if problem["severity"] == "error" else "yellow"
                where = terminal.harmless(f"{problem['path']}: {problem['message']}")
                terminal.say(f"{terminal.paint(problem['severity'], colour)}  {where}")
            terminal.hint("The flow is valid." if answer["valid"] else "The flow has errors.")
    if not answer["valid"]:
        raise typer.Exit(1)


def fork(
    workflow: Workflow,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new workflow.")],
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help=remote.VERSION_HELP)] = "latest",
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="The new workflow's description.")] = None,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a new workflow from one version. It starts at v1, without history. The source does not change.

    Example: `flowpin workflow fork order-total order-total-eu --version v3`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        source = names.workflow_id(calls, workflow, project)
        version_id = calls.get(f"/v1/workflows/{source}/versions/{names.version_in_path(version)}")["id"]
        body = {"name": name, "workflow_version_id": version_id}
        made = calls.post(f"/v1/workflows/{source}/fork", body | ({"description": description} if description else {}))
        _tell_workflow(made, as_json)


def _count(row: dict[str, object]) -> str:
    return "Draft" if row["status"] == "draft" else str(row["version_count"])


def _tell_workflow(row: dict[str, object], as_json: bool) -> None:
    from flowpin_cli import terminal

    if as_json:
        terminal.print_json(row)
        return
    latest = row.get("latest_version")
    state = f"latest {latest['label']}" if isinstance(latest, dict) else "no version yet"
    terminal.say(f"{row['name']}  {row['status']}, {state}  {terminal.paint(str(row['id']), 'dim')}")


def audit(
    workflow: Workflow,
    limit: remote.Limit = 25,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List who did what to a workflow, newest first.

    Example: `flowpin workflow audit order-total`
    """
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        path = f"/v1/workflows/{names.workflow_id(calls, workflow, project)}/audit-events"
        remote.tell_audit(calls.rows(path, limit), as_json)


def example() -> None:
    """Print a small flow with its layout to start with. It runs offline and accepts empty input.

    Example: `flowpin workflow example > flow.json && flowpin workflow create order-total flow.json`
    """
    from importlib.resources import files

    from flowpin_cli import terminal
    from flowpin_cli.rest import documents

    package = files("flowpin_cli")
    parts = {name: package.joinpath(f"example_{name}.json").read_text().strip() for name in ("flow", "flow_ui")}
    terminal.say(documents.body(**parts))
