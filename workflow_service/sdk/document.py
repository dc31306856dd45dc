"""Reads a config.yaml as the SDK's loader does, in bounded time and memory: aliases count as often as they stand."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from workflow_service.errors import ConfigTooLarge, InvalidConfig
from workflow_service.flow import MAX_DEPTH
from workflow_service.sdk.problems import MAX_VALUES

_MAX_NUMBER = 1000  # characters
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("bool", "float", "int", "null", "str")}
_ROOT = "config"


def read_document(text: str, limit: int) -> Any:
    """The one document of a text, of at most `limit` bytes with its aliases written out.

    Raises ConfigTooLarge, or InvalidConfig with the line or the path.
    """
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidConfig({_ROOT: "holds half of a surrogate pair"}) from None
    if size > limit:
        raise ConfigTooLarge(f"is larger than {limit / (1 << 20):g} MiB")
    try:
        return _Reader(text, limit).document()
    except yaml.MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidConfig({_ROOT: f"is not YAML: {error.problem}{where}"}) from None
    except yaml.YAMLError:
        raise InvalidConfig({_ROOT: "is not YAML: it holds a character that YAML does not allow"}) from None


class _Loader(yaml.CSafeLoader):
    """Plain scalars as the SDK reads them: a date is text, 1e5 a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != f"{_TAG}timestamp"]
    for first, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


@dataclass(slots=True)
class _Open:
    """A list or a mapping that has begun; `size` and `height` are those of what it holds so far."""

    is_mapping: bool
    anchor: str | None
    values: list[Any] = field(default_factory=list)
    keys: dict[str, None] = field(default_factory=dict)
    merged: list[Any] = field(default_factory=list)
    key: Any = None
    has_key: bool = False
    size: int = 1
    characters: int = 0
    height: int = 1


class _Merge:
    """What the key `<<` reads as."""


@dataclass(frozen=True, slots=True)
class _Value:
    value: Any
    size: int = 1
    characters: int = 0
    height: int = 0


class _Reader:
    def __init__(self, text: str, limit: int) -> None:
        self._loader = _Loader(text)
        self._limit = limit
        self._open: list[_Open] = []
        self._anchors: dict[str, _Value | None] = {}
        self._size = 0
        self._characters = 0
        self._root: _Value | None = None

    def document(self) -> Any:
        while not isinstance(event := self._loader.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                raise InvalidConfig({_ROOT: "must be one YAML document"})
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(str(event.anchor))
            elif isinstance(event, yaml.ScalarEvent):
                found = _Value(self._scalar(event), characters=len(event.value))
                self._count(found)
                self._keep(event.anchor, found)
        return self._root.value if self._root else None

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_TAG}{'map' if is_mapping else 'seq'}"):
            raise self._wrong("has a tag, which no config needs")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(is_mapping, event.anchor))
        self._count(_Value(None))
        if len(self._open) > MAX_DEPTH:
            raise InvalidConfig({_ROOT: f"is nested deeper than {MAX_DEPTH} levels"})

    def _end(self) -> None:
        closed = self._open.pop()
        value: Any = closed.values
        if closed.is_mapping:
            value = {}
            for merged in reversed(closed.merged):
                value.update(merged)
            value.update(zip(closed.keys, closed.values, strict=True))
        self._keep(closed.anchor, _Value(value, closed.size, closed.characters, closed.height))

    def _alias(self, anchor: str) -> None:
        if anchor not in self._anchors:
            raise self._wrong("names an anchor that does not stand before it")
        if (found := self._anchors[anchor]) is None:
            raise self._wrong("is an alias of what it stands in")
        self._count(found)
        if len(self._open) + found.height > MAX_DEPTH:
            raise InvalidConfig({_ROOT: f"is nested deeper than {MAX_DEPTH} levels"})
        self._keep(None, found)

    def _keep(self, anchor: str | None, found: _Value) -> None:
        if anchor:
            self._anchors[anchor] = found
        if not self._open:
            self._root = found
            return
        parent = self._open[-1]
        parent.size += found.size
        parent.characters += found.characters
        parent.height = max(parent.height, found.height + 1)
        if not parent.is_mapping:
            parent.values.append(found.value)
        elif not parent.has_key:
            if not isinstance(found.value, str | _Merge):
                raise self._wrong("has a key that is a list or a mapping")
            if isinstance(found.value, str) and found.value in parent.keys:
                raise self._wrong(f"has the key {found.value[:80]!r} more than once")
            parent.key, parent.has_key = found.value, True
        elif isinstance(parent.key, _Merge):
            sources = found.value if isinstance(found.value, list) else [found.value]
            if not all(isinstance(source, dict) for source in sources):
                raise self._wrong("merges what is no mapping")
            parent.merged += sources
            parent.has_key = False
        else:
            parent.keys[parent.key] = None
            parent.values.append(found.value)
            parent.has_key = False

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        parent = self._open[-1] if self._open else None
        is_key = parent is not None and parent.is_mapping and not parent.has_key
        resolve: Callable[..., str] = self._loader.resolve
        tag = event.tag
        if tag is None or tag == "!":
            # A long one is text; the patterns are slow to say so, and of 1:1:1:… they make a number of base 60.
            is_short = len(event.value) <= _MAX_NUMBER
            tag = resolve(yaml.ScalarNode, event.value, event.implicit) if is_short else f"{_TAG}str"
        if tag in (f"{_TAG}merge", f"{_TAG}value"):
            return _Merge() if is_key and tag == f"{_TAG}merge" else event.value
        if tag not in _PLAIN_TAGS:
            raise self._wrong("has a tag, which no config needs")
        # A key stands as it is written: `on` and 404 are text in JSON, whatever YAML makes of them.
        if is_key or tag == f"{_TAG}str":
            return event.value
        try:
            fits = len(event.value) <= _MAX_NUMBER
            value = self._loader.construct_object(yaml.ScalarNode(tag, event.value)) if fits else math.inf
        except (ValueError, KeyError, IndexError):
            raise self._wrong("is not what its tag says") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise self._wrong("is a number out of range")
        return value

    def _count(self, found: _Value) -> None:
        self._size += found.size
        self._characters += found.characters
        if self._size > MAX_VALUES:
            raise ConfigTooLarge(f"holds more than {MAX_VALUES:,} values, aliases written out")
        if self._characters > self._limit:
            raise ConfigTooLarge(f"is larger than {self._limit / (1 << 20):g} MiB with its aliases written out")

    def _wrong(self, sentence: str) -> InvalidConfig:
        path = _ROOT
        for level in self._open:
            if not level.is_mapping:
                path += f"[{len(level.values)}]"
            elif level.has_key:
                path += f".{str(level.key)[:80]}" if isinstance(level.key, str) else ".<<"
        return InvalidConfig({path: sentence})
