"""Cuts texts to their drawn width, because SVG has no ellipsis."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

MAX_NAME_CHARS = 200
_MAX_NAMED = 3
_WIDEST_ASCII = 0.78
_NARROW, _WIDE = frozenset("ijlftr.,:;|!'()[]I1 -"), 0x2E80


def name_of(value: Any, otherwise: str) -> str:
    """One line of at most MAX_NAME_CHARS."""
    text = value if isinstance(value, str) else ""
    line = " ".join(text[: 4 * MAX_NAME_CHARS].split()) or " ".join(otherwise[: 4 * MAX_NAME_CHARS].split())
    return cut(line, MAX_NAME_CHARS)


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def counted(count: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def named(names: Sequence[str]) -> str:
    """The first names, and "…" for others."""
    shown = [cut(name, 60) for name in names[:_MAX_NAMED]]
    return ", ".join(shown if len(names) <= _MAX_NAMED else [*shown, "…"])


def fitted(text: str, width: float, size: float) -> str:
    """The text cut to `width` at a font of `size`, by an estimate for wide sans serif fonts."""
    room = width / size
    if text.isascii() and len(text) * _WIDEST_ASCII <= room:
        return text
    for index, character in enumerate(text):
        room -= _width(character)
        if room < 0:
            return text[: max(index - 1, 1)].rstrip() + "…"
    return text


def estimated(text: str, size: float) -> float:
    """The estimated width of a text."""
    return sum(map(_width, text)) * size


def wrapped(text: str, width: float, size: float, most_lines: int) -> list[str]:
    """The text in lines of `width`. The last one ends in "…" if there is more."""
    lines = _lines(text, width / size)
    found = [line for _, line in zip(range(most_lines), lines, strict=False)]
    if found and next(lines, None) is not None:
        found[-1] = f"{found[-1][:-1]}…"
    return found


def _lines(text: str, room: float) -> Iterator[str]:
    for paragraph in text.split("\n"):
        line, left = "", room
        for word in paragraph.split(" "):
            needed = estimated(word, 1) + 0.3
            if line and needed > left:
                yield line
                line, left = "", room
            while needed > room:  # a word that is longer than a line
                head = fitted(word, room, 1)
                yield head
                word = word[max(len(head) - 1, 1) :]
                needed = estimated(word, 1) + 0.3
            line = f"{line} {word}" if line else word
            left -= needed
        yield line


@cache
def _width(character: str) -> float:
    """Width of a character as a multiple of the font's size."""
    if ord(character) >= _WIDE:
        return 1.0
    if character in _NARROW:
        return 0.4
    return _WIDEST_ASCII if character.isupper() or character in "mwMW@%" else 0.62
