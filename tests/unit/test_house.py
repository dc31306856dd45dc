"""Rules of the code: fresh stubs, imports in one direction, SQL and environment only where they belong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service_kit import codegen
from tests.support.paths import ROOT

TOOLS = Path(sys.executable).parent


def test_the_committed_stubs_match_the_contracts():
    stale = codegen.stale_stubs()

    assert stale == []


def test_imports_follow_the_import_contracts():
    ran = subprocess.run([TOOLS / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("service", ["workflow_service", "deploy_service", "run_service"])
def test_sql_is_only_in_repositories(service: str):
    sql = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b")
    elsewhere = [path for path in (ROOT / service).rglob("*.py") if "repository" not in path.parts]

    found = [path.name for path in elsewhere if sql.search(path.read_text())]

    assert found == []


def test_no_statement_uses_select_star():
    repositories = [*ROOT.glob("*_service/repository/**/*.py"), *ROOT.glob("service_kit/**/repository.py")]

    assert repositories
    assert [path.name for path in repositories if re.search(r"SELECT \*", path.read_text())] == []


def test_test_folders_contain_only_tests_and_fixtures():
    allowed = ("test_*.py", "conftest.py", "hooks.py")
    kinds = [ROOT / "tests" / kind for kind in ("unit", "integration", "e2e", "sdk", "browser", "console", "fuzz")]

    assert [
        path.name
        for kind in kinds
        for path in kind.rglob("*.py")
        if not any(path.match(pattern) for pattern in allowed)
    ] == []


@pytest.mark.parametrize(
    "folder", ["workflow_service", "deploy_service", "run_service", "gateway", "console", "service_kit"]
)
def test_environment_variables_are_read_only_in_settings(folder: str):
    reads = re.compile(r"os\.environ|os\.getenv")

    # The worker sets environment variables, and reads none.
    files = [path for path in (ROOT / folder).rglob("*.py") if "worker" not in path.parts]
    found = [path.name for path in files if reads.search(path.read_text())]

    assert found == []
