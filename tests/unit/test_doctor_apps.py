"""What `flowpin doctor` says about runtimes."""

from pathlib import Path

import pytest

from flowpin_cli.doctor import apps
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.runtimes.folder import Runtime, Runtimes
from run_service.worker import confinement


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.delenv("FLOWPIN_RUNTIMES", raising=False)
    return DataFolder(tmp_path)


@pytest.fixture
def python(folder: DataFolder) -> Path:
    """The Python of an installed runtime."""
    runtimes = Runtimes(folder.path / "runtimes")
    made = runtimes.unfinished("0.69") / "bin" / "python"
    made.parent.mkdir(parents=True)
    made.touch()
    runtimes.finish(Runtime("0.69", "0.69.0", "3.11.7", 239, "ab" * 32, "2026-11-30T10:00:00+00:00"))
    return runtimes.of("0.69") / "bin" / "python"


def said(folder: DataFolder) -> list[tuple[str, str]]:
    return [(finding.state.value, finding.what) for finding in apps.examine(folder)]


def test_doctor_says_that_apps_do_not_run_without_a_runtime(folder):
    [(state, what)] = said(folder)

    assert state == "ok"
    assert "apps are records" in what


def test_doctor_names_an_installed_runtime(folder, python):
    assert said(folder)[0] == ("ok", "Runtime 0.69: dynamiq 0.69.0, Python 3.11.7")


def test_doctor_finds_a_runtime_without_its_python(folder, python):
    python.unlink()

    assert said(folder)[0] == ("problem", "Runtime 0.69 has lost its Python")


def test_doctor_finds_a_kernel_that_cannot_confine_replicas(folder, python, monkeypatch):
    monkeypatch.setattr(confinement, "missing", lambda: "Apps cannot run here: the kernel has no Landlock.")

    assert said(folder)[1] == ("problem", "Apps cannot run here: the kernel has no Landlock.")


def test_doctor_finds_a_damaged_runtime(folder, python):
    (python.parents[1] / "flowpin-runtime.json").write_text("{")

    assert said(folder)[0][0] == "problem"
