"""Linters and client generators read the OpenAPI document. They need Node or their own packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.openapi.document import as_text, document
from gateway.server import ALL_CONTRACTS
from tests.support.clients.environments import environment, run
from tests.support.paths import ROOT

pytestmark = pytest.mark.clients
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")

CALLERS = ROOT / "tests" / "support" / "clients"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the OpenAPI document."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(as_text(document(ALL_CONTRACTS)))
    return folder


@pytest.fixture(scope="module")
def node_folder(folder: Path) -> Path:
    """A folder with the OpenAPI document and the tools of Node."""
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(CALLERS / name, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"]
    ran = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stderr
    return folder


def tool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    return subprocess.run(
        ["npx", "--no-install", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )


@needs_node
def test_the_openapi_document_passes_redoclys_recommended_rules(node_folder: Path):
    ran = tool(node_folder, "redocly", "lint", "--extends=recommended", "--format=json", "openapi.json")

    assert ran.returncode == 0, ran.stdout
    assert '"totals": {\n    "errors": 0,\n    "warnings": 0,' in ran.stdout, ran.stdout


@needs_node
def test_the_openapi_document_passes_spectrals_recommended_rules(node_folder: Path):
    (node_folder / ".spectral.yaml").write_text("extends: ['spectral:oas']\n")

    ran = tool(node_folder, "spectral", "lint", "--fail-severity=hint", "openapi.json")

    assert ran.returncode == 0, ran.stdout


@needs_node
def test_callers_of_typescript_clients_typecheck_and_their_mistakes_do_not(node_folder: Path):
    made = [
        tool(node_folder, "openapi-typescript", "openapi.json", "-o", "schema.d.ts"),
        tool(node_folder, "openapi-ts", "-i", "openapi.json", "-o", "hey", "-c", "@hey-api/client-fetch"),
    ]
    caller = (CALLERS / "callers.ts").read_text()
    (node_folder / "callers.ts").write_text(caller)
    (node_folder / "wrong.ts").write_text(caller.replace(".label", ".lable").replace("data.version", "data.numbre"))

    checked = tool(node_folder, "tsc", "-p", ".")

    assert [each.returncode for each in made] == [0, 0], [each.stderr for each in made]
    errors = [line for line in checked.stdout.splitlines() if ": error " in line]
    assert [line.partition("(")[0] for line in errors] == ["wrong.ts", "wrong.ts"], checked.stdout
    assert "'lable'" in errors[0]
    assert "'numbre'" in errors[1]


def test_callers_of_a_generated_python_client_typecheck_and_their_mistakes_do_not(folder: Path, tmp_path: Path):
    python = environment(tmp_path / "venv", "openapi-python-client==0.29.1")
    generate = ["generate", "--path", folder / "openapi.json", "--output-path", tmp_path / "made", "--meta=setup"]
    run(python.parent / "openapi-python-client", *generate)
    caller = (CALLERS / "generated.py").read_text()
    (tmp_path / "made" / "right.py").write_text(caller)
    (tmp_path / "made" / "wrong.py").write_text(caller.replace(".data.label", ".data.lable"))

    pytest.importorskip("mypy", reason="mypy is not installed: pip install --group lint")
    words = [sys.executable, "-m", "mypy", "--strict", f"--python-executable={python}", "flowpin_api_client"]
    checked = subprocess.run(
        [*words, "right.py", "wrong.py"],
        cwd=tmp_path / "made",
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=180,
    )

    errors = [line for line in checked.stdout.splitlines() if ": error:" in line]
    assert [line.partition(":")[0] for line in errors] == ["wrong.py"], checked.stdout
    assert 'has no attribute "lable"' in errors[0]
