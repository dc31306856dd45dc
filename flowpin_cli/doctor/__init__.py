"""`flowpin doctor`: finds problems of this machine's Flowpin and says what to do. Changes nothing."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from flowpin_cli.doctor.finding import Finding, State, problem
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import found, holder
from flowpin_cli.postgres.alone import embedded_url
from flowpin_cli.postgres.schemas import Schema
from flowpin_cli.rest.installation import option_of
from flowpin_cli.terminal import counted

OUR_COMMANDS = re.compile(r"\bflowpin (up|doctor|verify|runtime \w+)\b")
TO_INSTALL = re.compile(r"\bflowpin runtime install\b")

Section = tuple[str, list[Finding]]


def examine(data: Path, database_url: str | None, access_file: Path, schemas: Sequence[Schema]) -> list[Section]:
    """All findings, by section."""
    try:
        folder = found(data)
        held_by = holder(folder.path)
    except CannotRun as error:
        # Check nothing else: the folder's content may be forged, and as root we would follow its links.
        do = "correct that first: `flowpin up` refuses it too, and nothing else was checked"
        return [(f"Data folder {data}", [problem(f"The data folder cannot be trusted: {error}", do)])]

    # Imported when needed, so that a missing package is one finding and does not prevent the others.
    def installation() -> Iterable[Finding]:
        from flowpin_cli.doctor import installation

        return installation.examine()

    def data_folder() -> Iterable[Finding]:
        from flowpin_cli.doctor import data

        return data.examine(folder, held_by is not None)

    def access() -> Iterable[Finding]:
        from flowpin_cli.doctor import access

        return access.examine(access_file, folder, held_by is not None)

    def processes() -> Iterable[Finding]:
        from flowpin_cli.doctor import processes

        return processes.examine(folder, held_by)

    def apps() -> Iterable[Finding]:
        from flowpin_cli.doctor import apps

        return apps.examine(folder)

    def database() -> Iterable[Finding]:
        from flowpin_cli.doctor import database

        url = database_url or (embedded_url(folder) if held_by else None)

        async def examined() -> list[Finding]:
            return [finding async for finding in database.examine(url, schemas)]

        return asyncio.run(examined())

    sections = [
        ("Installation", _tried(installation)),
        (f"Data folder {folder.path}", _tried(data_folder)),
        ("Who may call", _tried(access)),
        ("Processes", _tried(processes)),
        ("Apps", _tried(apps)),
        ("Database", _tried(database)),
    ]
    option = option_of(data)
    return [(title, [_for_this_folder(finding, option) for finding in findings]) for title, findings in sections]


def _for_this_folder(finding: Finding, option: str) -> Finding:
    """The finding, with the option for the folder in its commands if it is not the default one."""

    def spelled_out(command: re.Match[str]) -> str:
        return command[0] + option

    return replace(
        finding, what=TO_INSTALL.sub(spelled_out, finding.what), do=OUR_COMMANDS.sub(spelled_out, finding.do)
    )


def _tried(section: Callable[[], Iterable[Finding]]) -> list[Finding]:
    findings: list[Finding] = []
    try:
        findings.extend(section())
    except (ImportError, RuntimeError) as error:  # stubs raise a RuntimeError if they cannot be imported
        do = "repair the installation first: pip install -e ."
        findings.append(problem(f"This could not be checked: {error}", do))
    except OSError as error:
        do = "run flowpin doctor as the user that runs flowpin up"
        findings.append(problem(f"This could not be checked: {error}", do))
    return findings


def print_findings(sections: Sequence[Section], console: Console) -> None:
    for title, findings in sections:
        console.print(f"[bold]{title}[/]", highlight=False)
        for finding in findings:
            style = finding.state.style
            console.print(
                f"  {finding.state.mark} {finding.what}", style=style, markup=False, highlight=False, soft_wrap=True
            )
            if finding.do:
                console.print(f"      → {finding.do}", markup=False, highlight=False, soft_wrap=True)
    counts = Counter(finding.state for _, findings in sections for finding in findings)
    console.print(
        f"\n{counted(counts[State.PROBLEM], 'problem')}, {counted(counts[State.WARNING], 'warning')}, "
        f"{counts[State.UNCHECKED]} not checked.",
        style="bold",
        highlight=False,
    )


def print_json(sections: Sequence[Section], console: Console) -> None:
    rows = [{"section": title, **asdict(finding)} for title, findings in sections for finding in findings]
    console.print(json.dumps(rows, indent=1), markup=False, highlight=False, soft_wrap=True)


def has_problems(sections: Sequence[Section]) -> bool:
    return any(finding.state is State.PROBLEM for _, findings in sections for finding in findings)
