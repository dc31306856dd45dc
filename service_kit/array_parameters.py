"""Parameters of statements that work on many rows at once: columns as arrays, and what each caller may see."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias
from uuid import UUID

Projects: TypeAlias = Sequence[UUID]
"""The projects that a caller may see."""


def by_caller(projects: Iterable[Projects]) -> tuple[list[str], list[int]]:
    """What each caller of a batch may see, as parameters of one statement.

    Returns the distinct sets of projects, to be cast to uuid[], and for each key the index of its set, from 1.
    """
    places: dict[int, int] = {}
    sets: list[str] = []
    whose = []
    for seen in projects:
        # By identity: a principal's projects are one tuple, however many there are.
        place = places.get(id(seen))
        if place is None:
            sets.append("{" + ",".join(map(str, seen)) + "}")
            place = places[id(seen)] = len(sets)
        whose.append(place)
    return sets, whose


def columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    """Rows, at least one, as the arrays that unnest takes."""
    return [list(column) for column in zip(*rows, strict=True)]
