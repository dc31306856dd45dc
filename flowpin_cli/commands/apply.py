"""`flowpin apply`."""

from pathlib import Path
from typing import Annotated

import typer

from flowpin_cli.commands import remote
from flowpin_cli.commands.options import MARKUP
from flowpin_cli.commands.remote import AsJson, Data, NoWait, Project

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def apply(
    file: Annotated[
        Path, typer.Option("--file", "-f", metavar="FILE", help="The YAML file described below; `-` is stdin.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: NoWait = False,
    project: Project = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Deploy what a file says: plan, show the plan, ask, and deploy exactly what was planned.

    The file is YAML. `app`, `workflow` and `version` are required. Other fields keep their value when omitted:

        app: Order total
        workflow: order-total
        version: v3             # or 3, latest, @production, sha256:… (a digest), an id
        runtime: "0.69"
        environment: production
        config: {deployment_type: serverless}
        project: default
        description: Adds up orders
        access: private         # or public

    An app that does not exist is created. If nothing differs, it prints "Nothing to do." If somebody else deployed
    after the plan was made, it changes nothing and exits with 5.

    Exit codes: 0 applied, or nothing to do; 1 failed or refused; 2 wrong usage or file; 3 not found; 4 not permitted;
    5 conflict; 6 with `--dry-run`: there is something to apply.

    - `flowpin apply -f app.yaml`
    - `flowpin apply -f app.yaml --dry-run || [ $? -eq 6 ]` in a check of pull requests
    """
    from flowpin_cli.applying import Applying, read_wanted
    from flowpin_cli.errors import CHANGES_PENDING

    with remote.calling(data) as calls:
        applying = Applying(calls, read_wanted(file), project, as_json=as_json)
        if applying.run(dry_run=dry_run, asks=not yes, waits=not no_wait) and dry_run:
            raise typer.Exit(CHANGES_PENDING)
