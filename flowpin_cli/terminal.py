"""Terminal output of commands: tables and colours. It does not use `rich`, whose import takes longer than a call."""

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service_kit.texts import harmless as harmless

COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "bold": 1, "dim": 2}
GAP = "  "


def paint(text: str, colour: str) -> str:
    """The text in this colour on a terminal, and plain elsewhere."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def say(text: str = "") -> None:
    print(text)  # noqa: T201 - this is what a command line does


def hint(text: str) -> None:
    """Print a line on stderr that is not part of the result."""
    sys.stdout.flush()  # keep the order if both go to one terminal
    print(text, file=sys.stderr)  # noqa: T201


def print_json(data: Any) -> None:
    say(json.dumps(data, indent=2, ensure_ascii=False))


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], colours: Sequence[str | Mapping[str, str]] = ()
) -> None:
    """A table with columns of the needed width. `colours` has, by column, one colour for all cells or one per first
    word."""
    cells = [[_one_line(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(headers, *cells, strict=True)]
    say(paint(_line(headers, headers, widths), "bold"))
    for row in cells:
        painted = [
            paint(cell, name) if (name := _colour(cell, place, colours)) else cell for place, cell in enumerate(row)
        ]
        say(_line(painted, row, widths))


def _colour(cell: str, place: int, colours: Sequence[str | Mapping[str, str]]) -> str:
    named = colours[place] if place < len(colours) and cell else ""
    return named if isinstance(named, str) else named.get(re.split(r"\W", cell)[0], "")


def _line(painted: Sequence[str], cells: Sequence[str], widths: Sequence[int]) -> str:
    pads = [" " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
    return GAP.join(shown + pad for shown, pad in zip(painted, pads, strict=True)).rstrip()


def _one_line(cell: str) -> str:
    return harmless(" ".join(cell.split()))


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text)


def moment(text: str | None) -> str:
    """Format an RFC 3339 time to the second, in UTC."""
    return f"{text[:10]} {text[11:19]}Z" if text else ""


def counted(number: int, noun: str) -> str:
    """A count with its noun, such as `1 project` or `2 projects`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
