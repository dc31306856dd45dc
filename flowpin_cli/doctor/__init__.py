"""`flowpin doctor`: what is wrong with this machine's Flowpin, and what to do about it; changes nothing."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from flowpin_cli.doctor.finding import Finding, State, problem
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import found, holder
from flowpin_cli.postgres.alone import embedded_url
from flowpin_cli.postgres.schemas import Schema

Section = tuple[str, list[Finding]]


def examine(data: Path, database_url: str | None, access_file: Path, schemas: Sequence[Schema]) -> list[Section]:
    """All findings, by section."""
    try:
        folder = found(data)
        held_by = holder(folder.path)
    except CannotRun as error:
        # Nothing else: what is in it may be made up, and as root we would follow it.
        do = "mend that first: `flowpin up` refuses it too, and nothing more was looked at"
        return [(f"Data folder {data}", [problem(f"The data folder cannot be trusted: {error}", do)])]

    # Imported when needed: what is not installed is a finding, and no reason to say nothing else.
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

    return [
        ("Installation", _tried(installation)),
        (f"Data folder {folder.path}", _tried(data_folder)),
        ("Who may call", _tried(access)),
        ("Processes", _tried(processes)),
        ("Apps", _tried(apps)),
        ("Database", _tried(database)),
    ]


def _tried(section: Callable[[], Iterable[Finding]]) -> list[Finding]:
    findings: list[Finding] = []
    try:
        findings.extend(section())
    except (ImportError, RuntimeError) as error:  # stubs refuse to be imported with a RuntimeError
        do = "mend the installation first: pip install -e ."
        findings.append(problem(f"This could not be looked at: {error}", do))
    except OSError as error:
        do = "run flowpin doctor as the user that runs flowpin up"
        findings.append(problem(f"This could not be looked at: {error}", do))
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
        f"\n{counts[State.PROBLEM]} problems, {counts[State.WARNING]} warnings, {counts[State.UNCHECKED]} not checked.",
        style="bold",
        highlight=False,
    )


def print_json(sections: Sequence[Section], console: Console) -> None:
    rows = [{"section": title, **asdict(finding)} for title, findings in sections for finding in findings]
    console.print(json.dumps(rows, indent=1), markup=False, highlight=False, soft_wrap=True)


def has_problems(sections: Sequence[Section]) -> bool:
    return any(finding.state is State.PROBLEM for _, findings in sections for finding in findings)
