"""`flowpin runtime` as a process. Tests that need the package index are in tests/apps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowpin_cli.runtimes.folder import Runtime, Runtimes

SDK = Runtime("0.69", "0.69.0", "3.11.7", 239, "ab" * 32, "2026-11-30T10:00:00+00:00")


def flowpin(*words, **variables):
    return subprocess.run(
        [sys.executable, "-m", "flowpin_cli", "runtime", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
    )


@pytest.fixture
def installed(tmp_path: Path) -> Runtimes:
    runtimes = Runtimes(tmp_path / "runtimes")
    for version in ("0.9", "0.69"):
        runtimes.unfinished(version).mkdir(parents=True)
        runtimes.finish(Runtime(**{**vars(SDK), "version": version}))
    return runtimes


def test_an_invalid_version_of_a_runtime_is_refused_in_one_line(tmp_path):
    done = flowpin("install", "../0.69", "--data", tmp_path / "data")
    assert done.returncode == 1
    assert "is not a version" in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_installation_of_a_runtime_without_network_fails_and_leaves_nothing(tmp_path):
    done = flowpin(
        "install", "--data", tmp_path / "data", UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "cache"), UV_NO_CACHE="1"
    )
    assert done.returncode == 1
    assert "Is this machine offline?" in done.stderr
    assert [each.name for each in (tmp_path / "data" / "runtimes").iterdir()] == ["lock"]
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_the_newest_runtime_is_listed_first(installed):
    done = flowpin("list", "--json", FLOWPIN_RUNTIMES=str(installed.path))
    assert [each["version"] for each in json.loads(done.stdout)] == ["0.69", "0.9"]


def test_an_unfinished_runtime_is_not_listed_and_removed_by_the_next_installation(installed, tmp_path):
    left = installed.unfinished("0.70")
    (left / "bin").mkdir(parents=True)
    assert [each.version for each in installed.all()] == ["0.69", "0.9"]
    done = flowpin("install", "0.69", "--data", tmp_path / "data", FLOWPIN_RUNTIMES=str(installed.path))
    assert done.returncode == 0, done.stderr
    assert not left.exists()


def test_installing_another_lock_of_an_installed_runtime_is_refused(installed, tmp_path):
    (tmp_path / "lock").write_text("dynamiq==0.69.0\n")
    done = flowpin("install", "0.69", "--lock", tmp_path / "lock", FLOWPIN_RUNTIMES=str(installed.path))
    assert done.returncode == 1
    assert "installed from another lock" in done.stderr


def test_only_one_installation_of_runtimes_runs_at_a_time(installed):
    with installed.locked():
        done = flowpin("remove", "0.9", FLOWPIN_RUNTIMES=str(installed.path))
    assert done.returncode == 1
    assert "another `flowpin runtime` is running" in done.stderr
    assert flowpin("remove", "0.9", FLOWPIN_RUNTIMES=str(installed.path)).returncode == 0
    assert [each.version for each in installed.all()] == ["0.69"]


def test_removing_a_runtime_that_is_not_installed_is_refused(installed):
    done = flowpin("remove", "0.70", FLOWPIN_RUNTIMES=str(installed.path))
    assert done.returncode == 1
    assert "not installed" in done.stderr
