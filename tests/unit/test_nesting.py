"""The levels of JSON text are counted without parsing it."""

import json
from random import Random
from typing import Any

import pytest

from service_kit import nesting
from service_kit.nesting import is_deeper

CHARACTERS = '[]{}":,\\\n é'


def some_json(random: Random, levels: int) -> Any:
    if not levels:
        return "".join(random.choices(CHARACTERS, k=random.randrange(5)))
    children = [some_json(random, random.randrange(levels)) for _ in range(random.randrange(3))]
    children.insert(random.randrange(len(children) + 1), some_json(random, levels - 1))
    return children if random.random() < 0.5 else {CHARACTERS[index:]: child for index, child in enumerate(children)}


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64 << 10])
def test_levels_of_json_are_counted_correctly_across_pieces_of_text(monkeypatch, piece):
    monkeypatch.setattr(nesting, "_PIECE", piece)
    random = Random(piece)

    for _ in range(500):
        levels = random.randrange(1, 7)
        text = json.dumps(some_json(random, levels), ensure_ascii=random.random() < 0.5).encode()

        assert not is_deeper(text, levels)
        assert is_deeper(text, levels - 1)


@pytest.mark.parametrize(
    ("text", "deeper"),
    [
        (b"[" * 3, True),
        (b"[[[oops", True),
        (b'{"a":[{', True),
        (b"[[]]" * 50, False),
        (b'["[[[", "\\"[[[", "\\\\"]', False),
        (b'["\\\\", [[]]]', True),
        (b"", False),
    ],
)
def test_levels_of_json_are_counted_despite_a_syntax_error(text, deeper):
    assert is_deeper(text, 2) is deeper


def test_counting_levels_stops_at_the_limit_in_millions_of_brackets():
    assert is_deeper(b"[" * (32 << 20), 200)
