"""The house is in order: stubs are what the contracts make, the import arrows hold, errors are listed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service_kit import codegen
from tests.support.paths import ROOT

TOOLS = Path(sys.executable).parent


def test_the_committed_stubs_are_what_the_contracts_make():
    stale = codegen.stale_stubs()

    assert stale == []


def test_the_import_arrows_hold():
    ran = subprocess.run([TOOLS / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("service", ["workflow_service", "deploy_service", "run_service"])
def test_sql_stands_in_repositories_only(service: str):
    sql = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b")
    elsewhere = [path for path in (ROOT / service).rglob("*.py") if "repository" not in path.parts]

    found = [path.name for path in elsewhere if sql.search(path.read_text())]

    assert found == []


def test_columns_are_named_in_every_statement():
    repositories = [*ROOT.glob("*_service/repository/**/*.py"), *ROOT.glob("service_kit/**/repository.py")]

    assert repositories
    assert [path.name for path in repositories if re.search(r"SELECT \*", path.read_text())] == []


def test_helpers_of_tests_are_in_support():
    allowed = ("test_*.py", "conftest.py", "hooks.py")
    kinds = [ROOT / "tests" / kind for kind in ("unit", "integration", "e2e", "sdk", "browser", "fuzz")]

    assert [
        path.name
        for kind in kinds
        for path in kind.rglob("*.py")
        if not any(path.match(pattern) for pattern in allowed)
    ] == []


@pytest.mark.parametrize("room", ["workflow_service", "deploy_service", "run_service", "gateway", "service_kit"])
def test_the_environment_is_read_in_settings_only(room: str):
    reads = re.compile(r"os\.environ|os\.getenv")

    # The worker sets its own environment, and reads nothing of it.
    files = [path for path in (ROOT / room).rglob("*.py") if "worker" not in path.parts]
    found = [path.name for path in files if reads.search(path.read_text())]

    assert found == []
