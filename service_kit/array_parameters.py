"""Parameters of statements for many rows: columns as arrays, and the projects of each caller."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias
from uuid import UUID

Projects: TypeAlias = Sequence[UUID]
"""The projects that a caller may read."""


def by_caller(projects: Iterable[Projects]) -> tuple[list[str], list[int]]:
    """The projects of each caller of a batch, as parameters of one statement.

    Returns the distinct sets of projects, to be cast to uuid[], and for each key the index of its set, from 1.
    """
    places: dict[int, int] = {}
    sets: list[str] = []
    whose = []
    for seen in projects:
        # By identity, because all calls of a principal share one tuple of projects.
        place = places.get(id(seen))
        if place is None:
            sets.append("{" + ",".join(map(str, seen)) + "}")
            place = places[id(seen)] = len(sets)
        whose.append(place)
    return sets, whose


def columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    """Convert rows (at least one) to arrays for unnest."""
    return [list(column) for column in zip(*rows, strict=True)]
