"""Reads YAML text event by event within our own limits, which apply before any object is built.

The limits and messages of a parser depend on its version: PyYAML 6.0.3 accepts any number of nested lists, 6.0.4
accepts 1,000.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from service_kit.nesting import is_deeper


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a text. An alias counts as everything that it refers to."""

    levels: int
    """Maximum nesting of lists and mappings."""
    values: int
    """Maximum number of lists, mappings, keys and scalars."""
    characters: int
    """Maximum characters of all keys and scalars."""


class YamlRefused(Exception):
    """The text is not YAML, or is nested too deeply. The message is the predicate of a sentence about the text."""


class YamlSyntaxError(YamlRefused):
    """The loader does not accept the text as YAML."""


class YamlTooLarge(YamlRefused):
    """The text has too many values or characters."""


def bounded_events(loader: yaml.CSafeLoader | yaml.SafeLoader, text: str, bounds: Bounds) -> Iterator[yaml.Event]:
    """The events of `text`, for which `loader` was created, without the end of the stream.

    Raises YamlTooLarge, YamlRefused, or YamlSyntaxError, which names the line.
    """
    counter, end = _Counter(bounds), 0
    try:
        while (event := loader.get_event()) and not isinstance(event, yaml.StreamEndEvent):
            counter.count(event)
            end = event.end_mark.index if event.end_mark else end
            yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        # The parser reads up to 1,024 characters ahead, so its own limit can apply before this count.
        if mark and is_deeper(text[end : mark.index].encode(), bounds.levels - counter.level):
            raise counter.too_deep() from None
        line = f" at line {mark.line + 1}" if mark else ""
        raise YamlSyntaxError(f"is not YAML: {error.problem}{line}") from None
    except yaml.YAMLError:
        raise YamlRefused("is not YAML: it holds a character that YAML does not allow") from None


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end is not read yet."""

    anchor: str | None
    values_before: int
    characters_before: int
    height: int = 1
    """Its depth so far."""


@dataclass(frozen=True, slots=True)
class _Size:
    values: int
    characters: int
    height: int


class _Counter:
    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._values = 0
        self._characters = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, _Size] = {}

    @property
    def level(self) -> int:
        return len(self._open)

    def too_deep(self) -> YamlRefused:
        return YamlRefused(f"is nested deeper than {self._bounds.levels} levels")

    def count(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._add(event.anchor, _Size(1, len(event.value), 0))
        elif isinstance(event, yaml.AliasEvent):
            # An alias to a missing or unfinished value is refused later, when objects are built.
            self._add(None, self._anchors.get(str(event.anchor), _Size(1, 0, 0)))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open.append(_Open(event.anchor, self._values, self._characters))
            self._add(None, _Size(1, 0, 0))
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = self._open.pop()
            values, characters = self._values - ended.values_before, self._characters - ended.characters_before
            self._keep(ended.anchor, _Size(values, characters, ended.height))

    def _add(self, anchor: str | None, size: _Size) -> None:
        self._values += size.values
        self._characters += size.characters
        if self._values > self._bounds.values:
            raise YamlTooLarge(f"holds more than {self._bounds.values:,} values, aliases written out")
        if self._characters > self._bounds.characters:
            mebibytes = self._bounds.characters / (1 << 20)
            raise YamlTooLarge(f"is larger than {mebibytes:g} MiB with its aliases written out")
        if self.level + size.height > self._bounds.levels:
            raise self.too_deep()
        self._keep(anchor, size)

    def _keep(self, anchor: str | None, size: _Size) -> None:
        if anchor:
            self._anchors[anchor] = size
        if self._open:
            self._open[-1].height = max(self._open[-1].height, 1 + size.height)
