"""What the README says is so: its transcripts print what it shows, and its tables leave nothing out."""

import re
import shutil
from pathlib import Path

import pytest

import deploy_service.settings
import gateway.settings
import run_service.settings
import workflow_service.settings
from tests.support import transcript
from tests.support.up_process import Up

SETTINGS = [
    workflow_service.settings.Settings,
    deploy_service.settings.Settings,
    run_service.settings.Settings,
    run_service.settings.HostProcessSettings,
    gateway.settings.Settings,
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the transcript is written for curl, which is not installed")
def test_the_transcripts_print_what_the_readme_shows(tmp_path: Path):
    up = Up(tmp_path / "data").start().ready()

    printed = transcript.printed(up.data / "env")
    up.end()

    expected = [transcript.alike(block.expected) for block in transcript.blocks()]
    assert [transcript.alike(text) for text in printed] == expected


def test_flowpin_is_installed_in_the_tested_versions_and_in_an_environment():
    installs = re.findall(r"^.*pip install .*'\.\[.*$", transcript.README.read_text(), re.MULTILINE)

    assert installs
    for command in installs:
        assert command.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt ")


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: f"{settings.__module__}.{settings.__name__}")
def test_every_setting_stands_in_the_readme(settings):
    readme = transcript.README.read_text()

    missing = [name for name in settings.model_fields if name.upper() not in readme]

    assert missing == []
