"""The limits of YAML text, with the same messages for every parser."""

import re
from itertools import accumulate

import pytest
import yaml

from service_kit.yaml_events import Bounds, YamlRefused, YamlTooLarge, bounded_events

BOUNDS = Bounds(levels=20, values=100, characters=1000)


class LimitedLoader(yaml.CSafeLoader):
    """Refuses nested lists before its first event, as PyYAML 6.0.4 does: the scanner reads ahead."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        levels = accumulate({"[": 1, "]": -1}.get(character, 0) for character in text)
        self.refused = next((index for index, level in enumerate(levels) if level > 50), None)

    def get_event(self) -> yaml.Event:
        if self.refused is None:
            return super().get_event()
        mark = yaml.Mark("<unicode string>", self.refused, 0, self.refused, None, None)
        raise yaml.scanner.ScannerError("while increasing flow level", None, "exceeded maximum nesting depth", mark)


LOADERS = [yaml.CSafeLoader, yaml.SafeLoader, LimitedLoader]


def refused_with(text: str, loader=yaml.CSafeLoader) -> YamlRefused:
    with pytest.raises(YamlRefused) as caught:
        list(bounded_events(loader(text), text, BOUNDS))
    return caught.value


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "text", ["[" * 21, "[" * 3000, "[" * 21 + "]" * 21, "- " * 21 + "a", "a:\n- " + "[" * 60, '"[": ' + "[" * 60]
)
def test_deeply_nested_yaml_is_refused_with_the_same_message_by_every_parser(text, loader):
    assert str(refused_with(text, loader)) == "is nested deeper than 20 levels"


@pytest.mark.parametrize("loader", LOADERS)
def test_yaml_at_the_depth_limit_is_read(loader):
    text = "[" * 20 + "]" * 20

    assert list(bounded_events(loader(text), text, BOUNDS))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &a " + "[" * 10 + "]" * 10 + "\nb: " + "[" * 10 + "*a" + "]" * 10, "is nested deeper than 20 levels"),
        ("a: &a [" + "x, " * 20 + "]\nb: [*a, *a, *a, *a]", "holds more than 100 values, aliases written out"),
        ("a: &a {b: &b [x, x, x, x]}\nc: [" + "*b, " * 20 + "]", "holds more than 100 values, aliases written out"),
        ("[" + "x, " * 100 + "]", "holds more than 100 values, aliases written out"),
        ("a: &a " + "x" * 400 + "\nb: [*a, *a]", "is larger than 0.000953674 MiB with its aliases written out"),
        ("\0", "is not YAML: it holds a character that YAML does not allow"),
    ],
)
def test_the_refusal_of_a_yaml_text_says_what_is_wrong(text, sentence):
    assert str(refused_with(text)) == sentence


def test_a_yaml_syntax_error_names_its_line():
    assert re.fullmatch("is not YAML: .+ at line 2", str(refused_with("a: b\nc: d: e\nf: g")))


def test_a_yaml_text_that_is_only_too_deep_is_not_called_too_large():
    assert isinstance(refused_with("[" + "x, " * 100 + "]"), YamlTooLarge)
    assert not isinstance(refused_with("[" * 21), YamlTooLarge)
