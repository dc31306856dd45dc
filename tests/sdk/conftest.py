"""The SDK's Python: an environment of its own, as the package is large and none of our dependencies."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """A Python that has the SDK; its `dynamiq` lies beside it."""
    named = os.environ.get("SDK_PYTHON")
    if not named:
        pytest.skip("SDK_PYTHON names no Python with dynamiq==0.69.0 (README, Working on it)")
    python = Path(named).absolute()
    assert python.with_name("dynamiq").exists(), f"no dynamiq beside {python}"
    return python
