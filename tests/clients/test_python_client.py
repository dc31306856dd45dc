"""The light client is small, typed, and importable beside the SDK, which pins older versions than the server."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clients.environments import UV, run
from tests.support.paths import ROOT
from tests.support.stack import Stack

pytestmark = pytest.mark.clients

CALLER = ROOT / "tests" / "support" / "clients" / "caller.py"
MOST_BYTES = 60_000_000
BOTH = "['v1', 'ada@acme.test', 'WORKFLOW_NOT_FOUND'] ['v1', 'ada@acme.test', 'WORKFLOW_NOT_FOUND']\n"


async def printed(stack: Stack, python: str | Path, code: str, **env: str) -> tuple[str, str]:
    """The output and the errors of a caller in its own process."""
    workflow, _ = await stack.workflow()
    process = await asyncio.create_subprocess_exec(
        python,
        "-c",
        code,
        env={
            "PATH": os.environ["PATH"],
            "WORKFLOW": f"127.0.0.1:{stack.workflow_port}",
            "DEPLOY": f"127.0.0.1:{stack.deploy_port}",
            "TOKEN": stack.people.secret("viewer"),
            "WORKFLOW_ID": workflow["id"],
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 90)
    return out.decode(), errors.decode()


async def test_the_sync_and_the_async_client_work_with_the_oldest_and_the_newest_libraries(
    stack: Stack, light_python: Path
):
    out, errors = await printed(stack, light_python, CALLER.read_text())

    assert out == BOTH, errors


@pytest.mark.skipif("SDK_PYTHON" not in os.environ, reason="SDK_PYTHON names no Python with the Dynamiq SDK")
async def test_the_client_works_in_an_environment_with_the_sdk(stack: Stack, light_wheel: Path, tmp_path: Path):
    run(UV, "pip", "install", "--quiet", "--python", sys.executable, "--target", tmp_path, "--no-deps", light_wheel)
    code = f"import dynamiq\n{CALLER.read_text()}"

    out, errors = await printed(stack, os.environ["SDK_PYTHON"], code, PYTHONPATH=str(tmp_path))

    assert out == BOTH, errors


def test_the_client_is_small_together_with_its_dependencies(light_python: Path):
    size = sum(path.stat().st_size for path in light_python.parents[1].rglob("*") if path.is_file())

    assert size < MOST_BYTES


@pytest.mark.parametrize("light_python", ["newest"], indirect=True)
def test_a_caller_of_the_python_client_passes_mypy_strict_and_its_mistakes_do_not(light_python: Path, tmp_path: Path):
    (tmp_path / "right.py").write_text(CALLER.read_text())
    (tmp_path / "wrong.py").write_text(CALLER.read_text().replace(".data.label", ".data.lable"))

    pytest.importorskip("mypy", reason="mypy is not installed: pip install --group lint")
    words = [sys.executable, "-m", "mypy", "--strict", f"--python-executable={light_python}", "--no-incremental"]
    right, wrong = [
        subprocess.run([*words, name], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, timeout=120)
        for name in ("right.py", "wrong.py")
    ]

    assert right.returncode == 0, right.stdout
    assert wrong.stdout.count('"Version" has no attribute "lable"') == 2, wrong.stdout
