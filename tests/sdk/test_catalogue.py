"""The committed catalogue and schemas are what their script generates from the SDK."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.sdk

FOLDER = Path(__file__).parents[2] / "workflow_service" / "dynamiq_config"


def test_the_catalogue_matches_the_installed_sdk(sdk_python, tmp_path):
    subprocess.run([sdk_python, FOLDER / "make_catalogue.py", tmp_path], check=True, capture_output=True, timeout=300)

    for name in ("catalogue.json", "schemas.json"):
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text()
