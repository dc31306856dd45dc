"""The command line: parses and delegates, nothing else."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.console import Console

from flowpin_cli.errors import CannotRun

if TYPE_CHECKING:
    from flowpin_cli.postgres.schemas import Schema

DEFAULT_DATA = Path(".flowpin")

app = typer.Typer(
    name="flowpin",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Immutable workflow versions and pinned deployments, on this machine.\n\n"
    "`flowpin up` starts everything; in another terminal `flowpin demo` plays the main job against it.",
)
token_app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke Personal Access Tokens.\n\n"
    "They live in access.yaml, as hashes; what changes there is in force within two seconds, without a restart.",
)
app.add_typer(token_app, name="token")
runtime_app = typer.Typer(
    no_args_is_help=True,
    help="Install, list and remove what apps run in: Python environments, one for each release of the Dynamiq SDK.\n\n"
    "They are in DIR/runtimes, or in the folder FLOWPIN_RUNTIMES, which several DIRs may share.",
)
app.add_typer(runtime_app, name="runtime")

Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="The folder that holds everything of one run.")]
AccessFileOption = Annotated[
    Path | None, typer.Option("--access-file", metavar="FILE", help="The access file, if it is not DIR/access.yaml.")
]

DatabaseUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="An administrator's, of a Postgres 15 or newer, instead of the embedded one."),
]


@app.command()
def up(
    data: Data = DEFAULT_DATA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the gateway listens; 0 picks a free one.")] = 8080,
    apps_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Where apps are called; 8081 unless given, and a free one with --port 0."),
    ] = None,
    database_url: DatabaseUrl = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes of each service, and gateways. Unless given, one of each on up to two cores, and on more a "
            "workflow service and a gateway for every two.",
        ),
    ] = None,
) -> None:
    """Start Postgres, the services and the gateway, and keep them running until Ctrl-C.

    Prints the URL, a token, the project's id and a curl to paste, and writes them to DIR/env for `source`.
    Logs are in DIR/logs, at most five files of 16 MiB for each process.
    A second `up` on the same DIR finds its data and its token again.
    Any `WORKFLOW_*`, `DEPLOY_*`, `RUN_*` or `GATEWAY_*` variable is passed on:
    `DEPLOY_ROLLOUT_DRIVER=scripted flowpin up`.

    Once a runtime is installed (`flowpin runtime install`), apps run: http://127.0.0.1:8081/apps/<app id> answers with
    the version that the app has deployed. Without one, an app is a record of what is deployed.

    With several workers, calls to a service go to all of its processes in turn. The gateways share one port, and the
    kernel gives each a part of the connections: limits and fair shares (`GATEWAY_MAX_REQUESTS`, `GATEWAY_RATE_LIMIT`)
    are then per process. A worker's metrics are ten ports above those of the one before.
    """
    from flowpin_cli.up.start import Options
    from flowpin_cli.up.start import up as run

    with _problems_told():
        run(Options(data, port, database_url, workers, apps_port), os.environ, Console())


@app.command()
def demo(data: Data = DEFAULT_DATA) -> None:
    """Play the main job against a running `flowpin up`, showing each call and its answer.

    Saves three versions of an example workflow, deploys, saves again, shows that the app did not move,
    deploys the new version, reads the history and rolls back.
    """
    from flowpin_cli.demo import play

    with _problems_told():
        play(data, Console())


@app.command()
def doctor(
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    access_file: AccessFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of findings.")] = False,
) -> None:
    """Look for what is wrong, and say what to do about it. Changes nothing, and starts nothing.

    Looks at versions, the data folder and its disk, the access file, ports, processes, runtimes, and in the database at
    migrations, roles and clock: of these at what can be seen, whether `flowpin up` runs or not. Exits with 1 when there
    is a problem (✗); a warning (!) and what was not checked (-) are none.
    """
    from flowpin_cli.doctor import examine, has_problems, print_findings, print_json

    with _problems_told():
        sections = examine(data, database_url, access_file or data / "access.yaml", _schemas())
        (print_json if as_json else print_findings)(sections, Console())
    sys.exit(1 if has_problems(sections) else 0)


LOAD = "Under load"


@app.command()
def verify(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The folder of one run; .flowpin unless given.")
    ] = None,
    database_url: DatabaseUrl = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A backup: say what restoring it would lose, instead of the checks."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: every check, its figures and findings.")
    ] = False,
    load: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Call the installation so long instead: 20s, 5m, 1h.", rich_help_panel=LOAD),
    ] = None,
    savers: Annotated[int, typer.Option(min=1, help="Callers that save and read workflows.", rich_help_panel=LOAD)] = 8,
    deployers: Annotated[
        int, typer.Option(min=1, help="Callers that deploy, roll back and read apps.", rich_help_panel=LOAD)
    ] = 4,
    fault: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Of kill,freeze,half-open,lock,clock,reset,full-disk,restart,stuck,read-only,access-file,crowd; or "
            "all: faults to make on an installation of its own, in a temporary folder; never on one that runs already.",
            rich_help_panel=LOAD,
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option(min=1, help="With --fault: processes of each service.", rich_help_panel=LOAD)
    ] = 1,
    seed: Annotated[
        int | None,
        typer.Option(help="Of what callers and faults draw; a run says its own.", rich_help_panel=LOAD),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the calls are kept, as JSON lines.", rich_help_panel=LOAD),
    ] = None,
) -> None:
    """Check that the history is whole: read everything, and name exactly what is wrong. Changes nothing.

    Numbers without gaps, digests of the bytes, spans of what was live, pins, audit events, kept answers, rights and
    settings that keep what is written: docs/verify.md says what each check promises, and what it cannot show.

    Reads the Postgres of DIR, whether `flowpin up` runs or not (it is started for this then), or the one of
    `--database-url`; without either, those of `WORKFLOW_DATABASE_URL` and `DEPLOY_DATABASE_URL`, if they are set.
    Services go on meanwhile. Exits with 0 when nothing is wrong, 1 when something is, 2 when it could not look.

    - `flowpin verify` checks the run in ./.flowpin
    - `flowpin verify --json | jq '.checks[] | select(.found > 0)'` shows the checks with findings
    - `flowpin verify --database-url postgresql://postgres@db.example.org/flowpin` checks a server of yours
    - `flowpin verify --against /backups/flowpin-2026-11-21` tells what a restore of that backup would lose

    With `--load` it calls an installation from many sides at once, and checks that every answer it gave was true. It
    works in the project of DIR/env, or of FLOWPIN_URL, FLOWPIN_TOKEN and FLOWPIN_PROJECT_ID, on workflows and apps that
    it makes there and leaves there.

    - `flowpin verify --load 5m` calls the run in ./.flowpin
    - `flowpin verify --load 5m --fault kill,reset,lock` starts an installation of its own, and breaks it meanwhile
    """
    from flowpin_cli.verify.command import Options, run

    if load is not None:
        from flowpin_cli.verify.load.command import verify_under_load

        if against is not None or database_url is not None:
            raise typer.BadParameter("goes with neither --against nor --database-url", param_hint="--load")
        with _problems_told(exit_code=2):
            sys.exit(
                verify_under_load(
                    load,
                    data=data or DEFAULT_DATA,
                    savers=savers,
                    deployers=deployers,
                    fault=fault,
                    workers=workers,
                    seed=seed,
                    history=history,
                    as_json=as_json,
                )
            )
    sys.exit(run(Options(data, DEFAULT_DATA, database_url, against, as_json), os.environ, Console()))


@app.command()
def settings(data: Data = DEFAULT_DATA) -> None:
    """List every setting of the processes: its value, where that comes from, and what it says.

    The values are those that `flowpin up` on DIR gives its processes, started from this shell: it sets some itself and
    passes the environment on. Of secrets, only whether they are set.
    """
    import deploy_service.settings
    import gateway.settings
    import run_service.settings
    import workflow_service.settings
    from flowpin_cli.settings import show

    modules = {"gateway": gateway, "workflow": workflow_service, "deploy": deploy_service, "run": run_service}
    with _problems_told():
        show(data, {name: module.settings.Settings for name, module in modules.items()}, os.environ, Console())


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Made anew; one that exists is not overwritten.")],
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    access_file: AccessFileOption = None,
) -> None:
    """Write everything into one file: both schemas, as of one moment, and the access file.

    Works while `flowpin up` runs, and while it does not. Tokens are in it as hashes only; it is for its owner's eyes
    all the same, as it holds every workflow.
    """
    from flowpin_cli.backup.backup import Options
    from flowpin_cli.backup.backup import backup as run

    with _problems_told():
        options = Options(file, data, database_url, _access_file(data, access_file))
        run(options, _schemas(), os.environ, Console())


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `flowpin backup` wrote it.")],
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    access_file: AccessFileOption = None,
) -> None:
    """Read a backup back into an empty system: a DIR without data, or a database without the two schemas.

    Where there is anything already, nothing is changed. The backup's checksums are verified first. Only rows are taken
    from it, into tables that Flowpin makes; a backup that holds anything else is refused. The schemas are brought up to
    date with this version afterwards. Tokens hold as before, and the next `flowpin up` makes a new one for you.
    """
    from flowpin_cli.backup.backup import Options
    from flowpin_cli.backup.restore import restore as run

    with _problems_told():
        options = Options(file, data, database_url, _access_file(data, access_file))
        run(options, _schemas(), Console())


@app.command()
def seed(
    workflows: Annotated[int, typer.Option(min=1, help="How many workflows to make.")] = 10,
    versions: Annotated[int, typer.Option(min=1, help="How many versions each of them gets.")] = 100,
    archived_every: Annotated[
        int, typer.Option(min=0, metavar="K", help="Archive every K-th version, the latest aside; 0: none.")
    ] = 0,
    apps: Annotated[int, typer.Option(min=0, help="How many apps to make, each deployed up to three times.")] = 0,
    size: Annotated[
        int | None,
        typer.Option(
            "--bytes",
            min=1000,
            max=1_000_000,
            help="About how large a version's flow and flow_ui are together; from 2,000 to 30,000 unless given.",
        ),
    ] = None,
    project: Annotated[UUID | None, typer.Option(metavar="ID", help="Whose they are; that of DIR/env.")] = None,
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    access_file: AccessFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: every id, and how long it took.")] = False,
) -> None:
    """Fill a running system fast with workflows that have a history: for load tests, and to look around in.

    The graphs are realistic, and differ from version to version as edits do: a prompt reworded, a model tried, a node
    added, moved or taken out, the same saved again. Everything is as if it had been saved through the API (digests,
    counters, audit events), so all of it can be read, compared, saved onto and deployed.

    It writes with COPY, whole workflows in one transaction: cut short, it leaves none half done. There is no undo, so
    seed a DIR of its own. Example: `flowpin up --data /tmp/seeded`, and in another terminal
    `flowpin seed --data /tmp/seeded --workflows 1 --versions 100000 --bytes 7000 --archived-every 10`
    """
    from flowpin_cli.seed import Options
    from flowpin_cli.seed import seed as run

    with _problems_told():
        access = _access_file(data, access_file)
        options = Options(workflows, versions, archived_every, apps, size, project, data, database_url, access, as_json)
        run(options, _schemas(), Console())


@token_app.command("new")
def token_new(
    role: Annotated[str, typer.Option(help="viewer reads; editor also saves and deploys; admin also deletes.")],
    user: Annotated[str | None, typer.Option(metavar="ID|EMAIL", help="Whose token it is.")] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="Instead of a user: a service account, made if there is none.")
    ] = None,
    project: Annotated[list[str] | None, typer.Option(metavar="ID", help="Where it holds. May be given again.")] = None,
    org: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="In all of its projects. May be given again.")
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="How long it is good: 90m, 12h, 30d, 8w.")] = None,
    data: Data = DEFAULT_DATA,
    access_file: AccessFileOption = None,
) -> None:
    """Make a token and print it, once.

    Example: `flowpin token new --user ann@example.org --project 0198… --role editor --expires 30d`
    """
    from flowpin_cli.tokens import new

    with _problems_told():
        new(_access_file(data, access_file), user, service, project or [], org or [], role, expires)


@token_app.command("list")
def token_list(data: Data = DEFAULT_DATA, access_file: AccessFileOption = None) -> None:
    """List the tokens there are, revoked and expired ones too."""
    from flowpin_cli.tokens import show

    with _problems_told():
        show(_access_file(data, access_file))


@token_app.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `flowpin token list` shows it: tok_…")],
    data: Data = DEFAULT_DATA,
    access_file: AccessFileOption = None,
) -> None:
    """End a token. It stays in the list, and is refused everywhere within two seconds."""
    from flowpin_cli.tokens import revoke

    with _problems_told():
        revoke(_access_file(data, access_file), token_id)


@runtime_app.command("install")
def runtime_install(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Of the SDK, as deployments pin it.")] = "0.69",
    lock: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Install exactly these packages: a requirements.lock of another machine."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="The Python to use, a path or 3.12; unless given, this one.")
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Download a release of the Dynamiq SDK with all it needs, some 1.6 GB; about a minute.

    It is resolved once: VERSION/requirements.lock has every package with its version, and a digest of that tells
    whether two machines run the same. Cut short, it leaves nothing behind; what is installed already is left as it is.

    - `flowpin runtime install` installs 0.69
    - `flowpin runtime install 0.69 --lock requirements.lock` installs what another machine has
    """
    from flowpin_cli.runtimes.commands import install

    with _problems_told():
        install(data, os.environ, version, lock, python, Console())


@runtime_app.command("list")
def runtime_list(
    data: Data = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the runtimes that are installed, the newest first."""
    from flowpin_cli.runtimes.commands import show

    with _problems_told():
        show(data, os.environ, Console(), as_json=as_json)


@runtime_app.command("remove")
def runtime_remove(
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
) -> None:
    """Delete a runtime. Refused while something that is live pins it, or when that cannot be told."""
    from flowpin_cli.runtimes.commands import remove

    with _problems_told():
        remove(data, os.environ, version, database_url, Console())


def _schemas() -> "list[Schema]":
    import deploy_service
    import workflow_service
    from flowpin_cli.postgres.schemas import Schema

    return [Schema(service.SCHEMA, service.MIGRATIONS) for service in (workflow_service, deploy_service)]


def _access_file(data: Path, access_file: Path | None) -> Path:
    """Raises CannotRun when the file is in a data folder that others can change."""
    from flowpin_cli.machine.data_folder import found

    if access_file is None:
        found(data)
    return access_file or data / "access.yaml"


@contextmanager
def _problems_told(exit_code: int = 1) -> Iterator[None]:
    try:
        yield
    except CannotRun as error:
        Console(stderr=True).print(f"flowpin: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(exit_code)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no "✓" is no reason to stop
    app()
