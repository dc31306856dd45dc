"""The committed node catalogue is what its script makes of the SDK."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.sdk

FOLDER = Path(__file__).parents[2] / "workflow_service" / "sdk"


def test_the_catalogue_is_fresh(sdk_python, tmp_path):
    made = tmp_path / "catalogue.json"

    subprocess.run([sdk_python, FOLDER / "make_catalogue.py", made], check=True, capture_output=True, timeout=300)

    assert made.read_text() == (FOLDER / "catalogue.json").read_text()
