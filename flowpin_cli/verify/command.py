"""`flowpin verify`: runs the checks that the options select, and returns an exit code."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from flowpin_cli.console import Announcer
from flowpin_cli.errors import CannotRun
from flowpin_cli.verify.against import Losses, losses, print_losses
from flowpin_cli.verify.against import print_json as print_losses_as_json
from flowpin_cli.verify.report import print_json, print_report
from flowpin_cli.verify.run import Report, verify
from flowpin_cli.verify.sources import Installation, open_sources

NOTHING_FOUND, FOUND, NOT_LOOKED = 0, 1, 2


@dataclass(frozen=True)
class Options:
    """The person's options. `data` is None unless it was given."""

    data: Path | None
    default_data: Path
    database_url: str | None
    against: Path | None
    as_json: bool


def run(options: Options, environ: Mapping[str, str], console: Console) -> int:
    """Run the checks, print the findings on `console`, and return the exit code. Progress is on stderr."""
    errors = Console(stderr=True)
    installation = Installation(options.data, options.database_url, environ)
    try:
        if options.against is not None:
            return _against(options, options.against, installation, Announcer(errors), console)
        return _verify(options, installation, Announcer(errors), console)
    except CannotRun as error:
        errors.print(f"flowpin: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        errors.print("flowpin: interrupted", style="red")
    except Exception:  # a bug in this code must not look like a finding
        errors.print_exception()
    return NOT_LOOKED


def _verify(options: Options, installation: Installation, announcer: Announcer, console: Console) -> int:
    async def work() -> Report:
        async with open_sources(installation, options.default_data, announcer) as sources:
            return await verify(sources, announcer.show)

    with announcer.starting():
        report = asyncio.run(work())
    (print_json if options.as_json else print_report)(report, console)
    return FOUND if report.found else NOTHING_FOUND


def _against(options: Options, file: Path, installation: Installation, announcer: Announcer, console: Console) -> int:
    async def work() -> Losses:
        async with open_sources(installation, options.default_data, announcer) as sources:
            return await losses(file, sources, announcer.show)

    with announcer.starting():
        found = asyncio.run(work())
    (print_losses_as_json if options.as_json else print_losses)(found, console)
    return FOUND if found.any else NOTHING_FOUND
