"""Commands of `flowpin workflow` about versions."""

from typing import TYPE_CHECKING, Annotated

import typer

from flowpin_cli.commands import remote
from flowpin_cli.commands.remote import AsJson, Data, Project, Version, Workflow
from flowpin_cli.commands.workflow_canvases import FlowFile, LayoutFile

if TYPE_CHECKING:
    from flowpin_cli.rest.calls import Calls


def save(
    workflow: Workflow,
    file: FlowFile,
    ui: LayoutFile = None,
    message: Annotated[
        str | None,
        typer.Option(
            "--message", "-m", metavar="TEXT", help="The version's description, which cannot be changed later."
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="The version that FILE is based on. Fails with 5 if a newer version exists."
        ),
    ] = None,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Save a canvas as the next version. Without a layout, it keeps that of the latest version.

    - `flowpin workflow save order-total flow.json -m "rounds to cents"`
    - `flowpin workflow save order-total flow.json --base v3` does not overwrite what somebody else saved
    """
    import json

    from flowpin_cli.rest import documents, names
    from flowpin_cli.terminal import harmless, hint

    with remote.calling(data) as calls:
        path = f"/v1/workflows/{names.workflow_id(calls, workflow, project)}"
        flow, flow_ui = documents.read_canvas(file, ui)
        if flow_ui is None:
            flow_ui = documents.members(documents.members(calls.text(path))["data"]).get("flow_ui", "{}")
        base_id = calls.get(f"{path}/versions/{names.version_in_path(base)}")["id"] if base else None
        body = documents.body(
            flow=flow,
            flow_ui=flow_ui,
            description=json.dumps(message) if message else None,
            base_version_id=json.dumps(base_id) if base_id else None,
        )
        answer = calls.post_all(f"{path}/save", body)
        for warning in answer.get("warnings", []):
            hint(f"! {harmless(str(warning))}")
        _tell(answer["data"], as_json)


def list_versions(
    workflow: Workflow,
    archived: Annotated[bool, typer.Option("--archived", help="Include archived ones.")] = False,
    limit: remote.Limit = 25,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List a workflow's versions, newest first.

    Example: `flowpin workflow versions order-total --limit 5`
    """
    from flowpin_cli import terminal
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        path = f"/v1/workflows/{names.workflow_id(calls, workflow, project)}"
        rows = calls.rows(f"{path}/versions", limit, include_archived=archived or None)
        if as_json:
            terminal.print_json(rows)
            return
        labels: dict[int, list[str]] = {}
        for row in calls.rows(f"{path}/labels"):
            labels.setdefault(row["version"], []).append(f"@{row['name']}")
        shown = [
            [
                row["label"],
                " ".join(_states(row) + labels.get(row["version"], [])),
                row.get("description", ""),
                row.get("created_by_name", ""),
                terminal.moment(row["created_at"]),
            ]
            for row in rows
        ]
        terminal.table(["VERSION", "STATE", "DESCRIPTION", "CREATED BY", "DATE"], shown, ["bold", "cyan"])
        remote.tell_rest(rows)


def show(
    workflow: Workflow,
    version: Version = "latest",
    flow: Annotated[bool, typer.Option("--flow", help="Print only its flow, byte for byte.")] = False,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show a version, with `--json` including its flow and flow_ui.

    - `flowpin workflow show order-total v3`
    - `flowpin workflow show order-total @production --flow > flow.json`
    """
    from flowpin_cli import terminal
    from flowpin_cli.rest import documents, names

    with remote.calling(data) as calls:
        path = f"/v1/workflows/{names.workflow_id(calls, workflow, project)}/versions/{names.version_in_path(version)}"
        text = documents.members(calls.text(path))["data"]
    if flow:
        terminal.say(documents.members(text)["flow"])
        return
    if as_json:
        terminal.say(text)
        return
    import json

    from flowpin_cli.rendering import version_lines

    for line in version_lines(json.loads(text)):
        terminal.say(line)


def diff(
    workflow: Workflow,
    before: Annotated[str, typer.Argument(metavar="FROM", help=remote.VERSION_HELP)],
    after: Annotated[str, typer.Argument(metavar="TO", help=remote.VERSION_HELP)] = "latest",
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show the differences between two versions, node by node.

    Example: `flowpin workflow diff order-total v2 v4`
    """
    from flowpin_cli import terminal
    from flowpin_cli.rest import names

    with remote.calling(data) as calls:
        path = f"/v1/workflows/{names.workflow_id(calls, workflow, project)}/versions"
        answer = calls.get(f"{path}/{names.version_in_path(before)}/diff/{names.version_in_path(after)}")
    if as_json:
        terminal.print_json(answer)
        return
    from flowpin_cli.rendering import diff_lines

    for line in diff_lines(answer):
        terminal.say(line)


def restore(
    workflow: Workflow,
    version: Version,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="The new version's description.")
    ] = None,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Append a version with the content of an older one. The history stays.

    Example: `flowpin workflow restore order-total v2`
    """
    with remote.calling(data) as calls:
        body = {"description": message} if message else {}
        _tell(calls.post(_path(calls, workflow, version, project) + "/restore", body), as_json)


def archive(
    workflow: Workflow, version: Version, project: Project = None, data: Data = None, as_json: AsJson = False
) -> None:
    """Hide a version from lists. Apps that serve it continue. The latest version cannot be archived.

    Example: `flowpin workflow archive order-total v2`
    """
    with remote.calling(data) as calls:
        _tell(calls.post(_path(calls, workflow, version, project) + "/archive"), as_json)


def unarchive(
    workflow: Workflow, version: Version, project: Project = None, data: Data = None, as_json: AsJson = False
) -> None:
    """Show an archived version in lists again.

    Example: `flowpin workflow unarchive order-total v2`
    """
    with remote.calling(data) as calls:
        _tell(calls.post(_path(calls, workflow, version, project) + "/unarchive"), as_json)


def label(
    workflow: Workflow,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Lowercase letters, digits and hyphens.")] = None,
    version: Annotated[str | None, typer.Argument(metavar="VERSION", help=remote.VERSION_HELP)] = None,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List a workflow's labels, or make the label NAME name VERSION.

    - `flowpin workflow label order-total`
    - `flowpin workflow label order-total production v3`; `@production` names v3 from now on
    """
    from flowpin_cli import terminal
    from flowpin_cli.errors import WrongUsage
    from flowpin_cli.rest import names
    from flowpin_cli.rest.calls import part

    with remote.calling(data) as calls:
        workflow_id = names.workflow_id(calls, workflow, project)
        path = f"/v1/workflows/{workflow_id}/labels"
        if name is not None and version is None:
            raise WrongUsage("VERSION is missing; `flowpin workflow show … @NAME` shows the version that a label names")
        if name is not None and version is not None:
            version_id = calls.get(f"/v1/workflows/{workflow_id}/versions/{names.version_in_path(version)}")["id"]
            row = calls.put(f"{path}/{part(name.removeprefix('@'))}", {"workflow_version_id": version_id})
            if as_json:
                terminal.print_json(row)
            else:
                terminal.say(f"@{row['name']}  v{row['version']}")
            return
        rows = calls.rows(path)
        if as_json:
            terminal.print_json(rows)
            return
        shown = [
            [f"@{r['name']}", f"v{r['version']}", r["moved_by_name"], terminal.moment(r["moved_at"])] for r in rows
        ]
        terminal.table(["LABEL", "VERSION", "MOVED BY", "DATE"], shown, ["bold"])


def note(
    workflow: Workflow,
    version: Version,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Up to 2,000 characters. Empty removes the note.")],
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write a note on a version. A note can be changed later; the version and its description cannot.

    Example: `flowpin workflow note order-total v4 "miscounts, see v3"`
    """
    with remote.calling(data) as calls:
        _tell(calls.put(_path(calls, workflow, version, project) + "/note", {"note": text}), as_json)


def _path(calls: "Calls", workflow: str, version: str, project: str | None) -> str:
    from flowpin_cli.rest import names

    return f"/v1/workflows/{names.workflow_id(calls, workflow, project)}/versions/{names.version_in_path(version)}"


def _states(row: dict[str, object]) -> list[str]:
    return [name for name, holds in (("current", row["current"]), ("archived", "archived_at" in row)) if holds]


def _tell(row: dict[str, object], as_json: bool) -> None:
    from flowpin_cli import terminal

    if as_json:
        terminal.print_json(row)
        return
    said = [str(row["label"]), *_states(row), *(str(row[name]) for name in ("description", "note") if row.get(name))]
    terminal.say(terminal.harmless("  ".join(said)))
