"""JSON Schema rules read from a field's comment, because the contract has no other place for them."""

import re
from collections.abc import Iterator
from typing import Any

UUID = re.compile(r"(?:^|[,.;] )UUID\b")
LONGEST = re.compile(r"\b[Uu]p to (\d+) characters")
PATTERN = re.compile(r"\^\S+\$")
BETWEEN = re.compile(r"\b(\d+) to (\d+)\b")
FROM = re.compile(r"\bFrom (\d+)\b")
OBJECT = re.compile(r"\b(object|graph|canvas)\b")
DEFAULT_NUMBER = re.compile(r"\bDefault: (\d+)\.")
DEFAULT = re.compile(r"\bDefault: `([^`]+)`")


def of_string(comment: str) -> dict[str, Any]:
    """Reads `UUID`, `up to N characters`, a `^pattern$`, and a default in backticks."""
    rules: dict[str, Any] = {"format": "uuid"} if UUID.search(comment) else {}
    if longest := LONGEST.search(comment):
        rules["maxLength"] = int(longest[1])
    if pattern := PATTERN.search(comment):
        rules["pattern"] = pattern[0]
    if default := DEFAULT.search(comment):
        rules["default"] = default[1]
    return rules


def of_json(comment: str) -> dict[str, Any]:
    """An object if the comment names an object, a graph or a canvas. Otherwise any value."""
    return {"type": "object"} if OBJECT.search(comment) else {}


def of_integer(comment: str) -> dict[str, Any]:
    """Reads `From N`, `N to M`, and `Default: N`."""
    return dict(_of_integer(comment))


def _of_integer(comment: str) -> Iterator[tuple[str, int]]:
    if lowest := FROM.search(comment):
        yield "minimum", int(lowest[1])
    if between := BETWEEN.search(comment):
        yield "minimum", int(between[1])
        yield "maximum", int(between[2])
    if default := DEFAULT_NUMBER.search(comment):
        yield "default", int(default[1])
