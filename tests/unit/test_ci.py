"""CI finds every Python on the machine that the tests have to pass on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    return tmp_path


def put(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def put_python(path: Path, version: tuple[int, int, int], level: str = "final", threads: int = 0) -> None:
    """Add a script that runs this Python but reports another version."""
    says = (
        "import sys, sysconfig, ensurepip;"
        f"sys.version_info = (*{version}, {level!r}, 0); sys.executable = {str(path)!r};"
        f"sysconfig.get_config_var = lambda name: {threads};"
    )
    put(path, f'exec {sys.executable} -c "{says}$2"')


def put_pyenv(folder: Path, *versions: str) -> None:
    root = folder / "pyenv"
    names = "\\n".join(versions)
    put(folder / "bin" / "pyenv", f'[ "$1" = root ] && echo {root} || printf "{names}\\n"')


def found(folder: Path, *arguments: str) -> list[str]:
    ran = subprocess.run(
        [ROOT / ".ci" / "pythons", *arguments],
        env={"PATH": f"{folder / 'bin'}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in ran.stdout.splitlines() if str(folder) in line]


def test_ci_finds_each_python_on_the_path_and_of_pyenv_once(folder):
    put_python(folder / "bin" / "python3.27", (3, 27, 1))
    put_python(folder / "bin" / "python3.28", (3, 28, 0))
    put_python(folder / "pyenv/versions/3.27.10/bin/python3", (3, 27, 10))
    put_python(folder / "pyenv/versions/3.26.2/bin/python3", (3, 26, 2))
    put_pyenv(folder, "2.7.18", "3.26.2", "3.27.10")

    assert found(folder) == [
        f"3.26 {folder}/pyenv/versions/3.26.2/bin/python3",
        f"3.27 {folder}/pyenv/versions/3.27.10/bin/python3",
        f"3.28 {folder}/bin/python3.28",
    ]


def test_ci_leaves_out_pythons_that_the_tests_cannot_run_on(folder):
    put(folder / "bin" / "python3.25", "echo 'pyenv: python3.25: command not found' >&2; exit 127")
    put_python(folder / "bin" / "python3.26", (3, 26, 0), level="candidate")
    put_python(folder / "bin" / "python3.27", (3, 27, 0), threads=1)
    put_python(folder / "old", (3, 10, 9))
    for name in ("3.28.0t", "3.29-dev"):
        put_python(folder / "pyenv/versions" / name / "bin/python3", (3, 28, 0))
    put_pyenv(folder, "3.28.0t", "3.29-dev", "3.24.0")

    assert found(folder, str(folder / "old")) == []


def test_ci_accepts_the_path_of_a_python_with_another_name(folder):
    put_python(folder / "mine", (3, 29, 0))

    assert found(folder, str(folder / "mine")) == [f"3.29 {folder}/mine"]
