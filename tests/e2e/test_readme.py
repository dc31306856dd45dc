"""The commands in the README, the tutorial and docs/grpc.md work and print what is shown."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support import transcript
from tests.support.clients.environments import light_client
from tests.support.up_process import Up


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl, which is not installed")
def test_commands_in_the_documents_print_the_documented_output(tmp_path: Path):
    up = Up(tmp_path / "data").start().ready()

    different = transcript.differences(up.data / "env", light_client(tmp_path))
    up.end()

    assert different == []


def test_install_commands_in_the_readme_use_constraints_and_a_virtual_environment():
    installs = re.findall(r"^.*pip install .*'\.\[.*$", transcript.README.read_text(), re.MULTILINE)

    assert installs
    for command in installs:
        assert command.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt ")


def test_the_readme_has_at_most_150_lines_and_its_links_lead_to_files():
    text = transcript.README.read_text()

    links = re.findall(r"\]\((?!https:)([^)#]+)", text)

    assert len(text.splitlines()) <= 150
    assert [link for link in links if not (transcript.ROOT / link).exists()] == []
