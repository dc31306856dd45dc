"""Shared parts of the commands that call an installation over REST."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowpin_cli.commands.options import problems_told

if TYPE_CHECKING:
    from flowpin_cli.rest.calls import Calls, Rows

WHICH = (
    "Commands call the installation of FLOWPIN_URL and FLOWPIN_TOKEN, or that of ./.flowpin (its file `env`) if they "
    "are not set. `--data` overrides both. Without FLOWPIN_TOKEN they use the token of `flowpin login`. "
    "The project is `--project`, else FLOWPIN_PROJECT or FLOWPIN_PROJECT_ID, "
    "else that of the folder."
)
CODES = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 not found; 4 not permitted; 5 somebody else changed it. "
    "Results go to stdout, as JSON with `--json`. Everything else goes to stderr."
)

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="The data folder of the `flowpin up` to call. Overrides the environment."
    ),
]
Project = Annotated[
    str | None, typer.Option("--project", metavar="NAME|ID", help="The project in which names are looked up.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON.")]
Limit = Annotated[int, typer.Option(min=0, metavar="N", help="Maximum number of rows, newest first; 0 is all.")]
Environment = Annotated[
    str | None, typer.Option(metavar="NAME", help="The environment. Default: the project's last one.")
]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="The reason, shown in the history.")]
Force = Annotated[bool, typer.Option("--force", help="Deploy even a version that is marked bad.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until the rollout has ended.")]

WORKFLOW_HELP = "The workflow, by name or id."
VERSION_HELP = "3, v3, latest, a label such as @production, or an id."
APP_HELP = "The app, by name or id."
Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help=WORKFLOW_HELP)]
Version = Annotated[str, typer.Argument(metavar="VERSION", help=VERSION_HELP)]
App = Annotated[str, typer.Argument(metavar="APP", help=APP_HELP)]


@contextmanager
def calling(data: Path | None) -> Iterator["Calls"]:
    """Open calls to the chosen installation. An error ends the process with its exit code."""
    from flowpin_cli.rest.calls import Calls
    from flowpin_cli.rest.installation import installation_of

    with problems_told():
        calls = Calls(installation_of(data, os.environ))
        try:
            yield calls
        finally:
            calls.close()


def tell_rest(rows: "Rows") -> None:
    """Print how many rows were not shown."""
    if rows.total > len(rows):
        from flowpin_cli.terminal import hint

        hint(f"… and {rows.total - len(rows):,} older; `--limit 0` shows all.")


def tell_audit(rows: "Rows", as_json: bool) -> None:
    """Print audit events as a table."""
    import json

    from flowpin_cli import terminal

    if as_json:
        terminal.print_json(rows)
        return
    shown = [
        [
            terminal.moment(row["created_at"]),
            row["actor_name"],
            row["action"],
            json.dumps(row["details"]),
            row["token_id"],
        ]
        for row in rows
    ]
    terminal.table(["DATE", "WHO", "ACTION", "DETAILS", "TOKEN"], shown, ["", "", "bold", "", "dim"])
    tell_rest(rows)


def wait_and_check(calls: "Calls", app_id: str, deployment_id: str | None, *, no_wait: bool) -> None:
    """Wait for an app's deployment. Raises CannotRun if it failed."""
    from flowpin_cli.errors import CannotRun
    from flowpin_cli.rest import rollouts

    if deployment_id is None or no_wait:
        return
    row = rollouts.ended(calls, calls.get(f"/v1/apps/{app_id}/deployments/{deployment_id}"))
    if problem := rollouts.problem_of(row):
        raise CannotRun(problem)
