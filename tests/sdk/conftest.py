"""The Python of the SDK: a separate environment, as the package is large and not one of our dependencies."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """A Python with the SDK. Its command `dynamiq` is in the same folder."""
    named = os.environ.get("SDK_PYTHON")
    if not named:
        pytest.skip("SDK_PYTHON names no Python with dynamiq==0.69.0 (CONTRIBUTING.md)")
    python = Path(named).absolute()
    assert python.with_name("dynamiq").exists(), f"no dynamiq beside {python}"
    return python
