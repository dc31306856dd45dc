"""Selects the cases of a parametrized test that `.ci/run` has time for."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_in_ci(cases: Iterable[Any], count: int = 1) -> list[Any]:
    """The cases, with the mark `load` after the first `count`. `.ci/run` leaves them out."""
    every = list(cases)
    return [*every[:count], *(pytest.param(case, marks=pytest.mark.load) for case in every[count:])]
