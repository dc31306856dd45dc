"""Runs the checks of `flowpin verify` without `--load` on the run's own installation."""

from flowpin_cli.errors import CannotRun
from flowpin_cli.verify.load.faults.installation import Installation
from flowpin_cli.verify.load.operations import Violation
from flowpin_cli.verify.report import sentence
from flowpin_cli.verify.run import verify
from flowpin_cli.verify.sources import sources_at

AT_REST = "at rest"
"""The name of the check that these find nothing."""


async def findings_at_rest(installation: Installation) -> list[Violation]:
    """One violation per finding, or one if the checks cannot run."""
    try:
        report = await verify(sources_at(installation.postgres.cluster.url()))
    except CannotRun as error:
        return [Violation(AT_REST, str(error), ())]
    return [
        Violation(AT_REST, f"{result.check.name}: {sentence(finding)}", ())
        for result in report.results
        for finding in result.outcome.findings
    ]
