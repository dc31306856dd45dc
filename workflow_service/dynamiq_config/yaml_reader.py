"""Reads a config.yaml as the SDK's loader does, with limited time and memory. Each use of an alias counts against the
limits."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from service_kit.yaml_events import Bounds, YamlRefused, YamlSyntaxError, YamlTooLarge, bounded_events
from workflow_service.dynamiq_config.problems import MAX_VALUES
from workflow_service.errors import ConfigTooLarge, InvalidConfig
from workflow_service.flow import MAX_DEPTH

MAX_CHARS_READ_AGAIN = 64 << 10
"""Maximum length for a second try without libyaml, which takes up to two seconds."""
_MAX_NUMBER = 1000  # maximum characters
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("bool", "float", "int", "null", "str")}
_ROOT = "config"


def read_document(text: str, limit: int) -> Any:
    """The only document of a text. With all aliases expanded, it has at most `limit` bytes.

    Raises ConfigTooLarge, or InvalidConfig with the line or the path.
    """
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidConfig({_ROOT: "must not contain half of a surrogate pair"}) from None
    if size > limit:
        raise ConfigTooLarge(f"must be at most {limit / (1 << 20):g} MiB")
    bounds = Bounds(MAX_DEPTH, MAX_VALUES, limit)
    try:
        try:
            return _Reader(_Loader(text), text, bounds).document()
        except YamlSyntaxError as error:
            if len(text) > MAX_CHARS_READ_AGAIN:
                raise
            return _read_again(text, bounds, error)
    except YamlTooLarge as error:
        raise ConfigTooLarge(str(error)) from None
    except YamlRefused as error:
        raise InvalidConfig({_ROOT: str(error)}) from None


def _read_again(text: str, bounds: Bounds, refusal: YamlSyntaxError) -> Any:
    """Read with PyYAML's own scanner, as the SDK does. libyaml refuses some texts that it accepts."""
    try:
        loader = _SlowLoader(text)
    except yaml.YAMLError:
        raise refusal from None
    return _Reader(loader, text, bounds).document()


class _Loader(yaml.CSafeLoader):
    """Reads plain scalars as the SDK does: a date is text, 1e5 is a number."""


class _SlowLoader(yaml.SafeLoader):
    """The loader without libyaml, which is thirty times slower."""


for _loader in (_Loader, _SlowLoader):
    _loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != f"{_TAG}timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _loader.add_implicit_resolver(
        f"{_TAG}float",
        re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end is not read yet, with its content so far."""

    is_mapping: bool
    anchor: str | None
    values: list[Any] = field(default_factory=list)
    keys: dict[str, None] = field(default_factory=dict)
    merged: list[Any] = field(default_factory=list)
    key: Any = None
    has_key: bool = False


class _Merge:
    """Marks the key `<<`."""


_UNFINISHED = object()
"""Placeholder for an anchor's value until its list or mapping has ended."""


class _Reader:
    def __init__(self, loader: _Loader | _SlowLoader, text: str, bounds: Bounds) -> None:
        self._loader = loader
        self._events = bounded_events(self._loader, text, bounds)
        self._open: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._roots: list[Any] = []

    def document(self) -> Any:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent) and self._roots:
                raise InvalidConfig({_ROOT: "must be one YAML document"})
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(str(event.anchor))
            elif isinstance(event, yaml.ScalarEvent):
                self._keep(event.anchor, self._scalar(event))
        return self._roots[0] if self._roots else None

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_TAG}{'map' if is_mapping else 'seq'}"):
            raise self._wrong("must not have a tag")
        if event.anchor:
            self._anchors[event.anchor] = _UNFINISHED
        self._open.append(_Open(is_mapping, event.anchor))

    def _end(self) -> None:
        closed = self._open.pop()
        value: Any = closed.values
        if closed.is_mapping:
            value = {}
            for merged in reversed(closed.merged):
                value.update(merged)
            value.update(zip(closed.keys, closed.values, strict=True))
        self._keep(closed.anchor, value)

    def _alias(self, anchor: str) -> None:
        if anchor not in self._anchors:
            raise self._wrong("must name an earlier anchor")
        if self._anchors[anchor] is _UNFINISHED:
            raise self._wrong("must not be an alias of its own parent")
        self._keep(None, self._anchors[anchor])

    def _keep(self, anchor: str | None, value: Any) -> None:
        if anchor:
            self._anchors[anchor] = value
        if not self._open:
            self._roots.append(value)
            return
        parent = self._open[-1]
        if not parent.is_mapping:
            parent.values.append(value)
        elif not parent.has_key:
            if not isinstance(value, str | _Merge):
                raise self._wrong("has a key that is a list or a mapping")
            if isinstance(value, str) and value in parent.keys:
                raise self._wrong(f"has the key {value[:80]!r} more than once")
            parent.key, parent.has_key = value, True
        elif isinstance(parent.key, _Merge):
            sources = value if isinstance(value, list) else [value]
            if not all(isinstance(source, dict) for source in sources):
                raise self._wrong("must merge a mapping")
            parent.merged += sources
            parent.has_key = False
        else:
            parent.keys[parent.key] = None
            parent.values.append(value)
            parent.has_key = False

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        parent = self._open[-1] if self._open else None
        is_key = parent is not None and parent.is_mapping and not parent.has_key
        resolve: Callable[..., str] = self._loader.resolve
        tag = event.tag
        if tag is None or tag == "!":
            # A long scalar is read as text, because the patterns are slow: they read 1:1:1:… as a number of base 60.
            is_short = len(event.value) <= _MAX_NUMBER
            # For a lone `!`, PyYAML resolves the type as without a tag; libyaml says text.
            implicit = event.implicit if tag is None else (True, False)
            tag = resolve(yaml.ScalarNode, event.value, implicit) if is_short else f"{_TAG}str"
        if tag in (f"{_TAG}merge", f"{_TAG}value"):
            return _Merge() if is_key and tag == f"{_TAG}merge" else event.value
        if tag not in _PLAIN_TAGS:
            raise self._wrong("must not have a tag")
        # A key is kept as written, because `on` and 404 are text in JSON but not in YAML.
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

    def _wrong(self, sentence: str) -> InvalidConfig:
        path = _ROOT
        for level in self._open:
            if not level.is_mapping:
                path += f"[{len(level.values)}]"
            elif level.has_key:
                path += f".{str(level.key)[:80]}" if isinstance(level.key, str) else ".<<"
        return InvalidConfig({path: sentence})
