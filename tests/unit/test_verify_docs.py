"""docs/verify.md describes each check of `flowpin verify`."""

import re

from flowpin_cli.verify.load import history
from flowpin_cli.verify.load.at_rest import AT_REST
from flowpin_cli.verify.load.faults.kinds import faults
from flowpin_cli.verify.load.options import FAULTS
from flowpin_cli.verify.load.report import RECOVERY
from flowpin_cli.verify.run import CHECKS
from tests.support.paths import ROOT

CHECKS_AT_REST, UNDER_LOAD = (ROOT / "docs" / "verify.md").read_text().split("\n## Under load\n")
CHECKS_UNDER_LOAD, THE_FAULTS = UNDER_LOAD.split("\n### The faults\n")


def first_columns(text: str) -> list[str]:
    """The first column of the table's rows, without its header."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return [name.strip("`") for cell in cells[1:] for name in cell.split(", ")]


def test_every_check_of_verify_is_documented():
    assert sorted(first_columns(CHECKS_AT_REST)) == sorted(check.name for check in CHECKS)


def test_every_check_of_verify_under_load_is_documented():
    assert first_columns(CHECKS_UNDER_LOAD) == [*history.CHECKS, RECOVERY, AT_REST]


def test_every_fault_of_verify_is_documented():
    assert first_columns(THE_FAULTS) == list(FAULTS) == list(faults())


def test_checks_of_verify_have_unique_names_and_a_sentence_each():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert [check.name for check in CHECKS if not check.promise.endswith(".")] == []
