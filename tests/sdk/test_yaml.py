"""YAML and the interpolations of OmegaConf in a config.yaml are read like the loader of the SDK reads them."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from workflow_service.dynamiq_config.interpolation import Unreadable, Variable, escape, parse
from workflow_service.dynamiq_config.yaml_reader import read_document
from workflow_service.errors import ConfigTooLarge, InvalidConfig

pytestmark = pytest.mark.sdk

SCRIPTS = ROOT / "tests" / "support" / "sdk"
LINES = [
    "a: 1", "b: [1, 2]", "c: {x: 1, y:, z: 2}", "d: {x:}", "e: |\n  text\n  more", "f: |\n  \ttab\n  x",
    "g: >-\n  folded\n\n  x", "h: 'it''s'", 'i: "a\\tb\\x41\\u00e9"', "j:\n  - 1\n  - 2", "k:\n- x\n-  y",
    "l: # comment",
    "m: a #b", "n: a#b", "o: [a, b,]", "p: {a, b: 1}", "q: [a: 1, b]", "r: !!str 5", "s: 0o7", "t: 017", "u: 1_000",
    "v: 1e5", "w: 1.5e3", "x: .5", "y: 5.", "z: +.5e-3", "aa: 12:30:45", "ab: 2024-01-01", "ac: ~", "ad: yes", "ae: No",
    "af: 0x1F", "ag: 0b11", "ah: -0.0", "ai: 1__0", "aj: _1", "ak: 08", 'al: "multi\n  line"', "am: plain\n  more",
    "an:\tx", "ap: [\n1,\n2\n]", "ar: - x", "as: a: b", "at: 'x' y", 'au: "\\/"', "aw: {a:1}", 'ax: {"a":1}',
    'ay: ["a":1]', "az: ? x", "ba: &x 1\nbb: *x", "bd: {<<: {a: 1}, b: 2}", "be: @x", "bf: `x", "bg: %x", "bh: !x 1",
    "bi: a:b", "bk: --", "bl: '", "bm: |2\n    x", "bn: |+\n  x\n\n", "bo: >\n  a\n   b\n  c", "bp: 1:1", "br: 0.1_0",
    "bs: 1e", "bu: .e5", "bv: 1E+5", "bw: 00.5", "by: 1,000", "bz: [1,000]", "ca: http://x:80/y", "cb: C:\\x",
    'cc: "C:\\x"', "cd: x\n\ty", "ce: [x,\n\ty]", "cf: 'a\n\n b'", "cg: on", "ch: TRUE", "ck: nUll", "co: ''",
    "cp: \u00a0", "cq: \ufeffx", "cr: a\u2028b", 'cs: "\\\n  x"', "cu: {a b: c d}", "cx: [,]", "cy: [a,,b]",
    "cz: {a: [}",
    "da: |\n\tx", "db: |\n x\n  y\n z", "dd: !!int '5'", "df: !!null ''", "dg: !!bool yes", "dh: 9223372036854775808",
    "dj: 0x_f", "dk: 190:20:30.15", 'dl: "\\e"', "do: a\\tb", "dp: !", "dq: ! 5",
]  # fmt: skip
CHARACTERS = [
    "a",
    "b",
    ":",
    " ",
    "\n",
    "\t",
    "-",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'",
    '"',
    "|",
    ">",
    "#",
    "1",
    "\n  ",
    "?",
    "!",
]
BARE = [
    *(
        "0",
        "1",
        "00",
        "07",
        "1_0",
        "_",
        "9",
        ".",
        "e",
        "E",
        "+",
        "-",
        "e5",
        "inf",
        "nan",
        "NaN",
        "true",
        "False",
        "null",
    ),
    *(" ", "\\ ", "\\,", "\\\\", "\\", "a", "\t", ":", "=", "\\:", "\\{", "_1", "/", "%", "@"),
]
QUOTED = ['"', "'", "\\", "${", "}", "a", "\\\\", '\\"', "\\'", ",", "\\${", " "]


def sdk(python: Path, script: str, requests: object) -> list:
    """The output of a script of tests/support/sdk, run with the Python of the SDK."""
    text = json.dumps(requests)
    ran = subprocess.run([python, SCRIPTS / script], input=text, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def with_text_keys(value: Any) -> Any:
    """The value with text keys, as in a flow, where a config has numbers."""
    if isinstance(value, dict):
        return {str(key): with_text_keys(child) for key, child in value.items()}
    return [with_text_keys(child) for child in value] if isinstance(value, list) else value


@pytest.mark.load
def test_yaml_is_read_like_the_sdk_reads_it(sdk_python):
    chance = random.Random(7)
    texts = [*LINES, *(f"k:\n  {line}".replace("\n", "\n  ") for line in LINES)]
    texts += [f"{{{line}, omitted:, z: 2}}" for line in LINES] + [f"k: [{line}, 3]" for line in LINES]
    texts += ["\n".join(chance.sample(LINES, chance.randrange(1, 4))) for _ in range(600)]
    texts += ["k: " + "".join(chance.choices(CHARACTERS, k=chance.randrange(1, 9))) for _ in range(1500)]

    compared = 0
    for text, theirs in zip(texts, sdk(sdk_python, "read_yaml.py", texts), strict=True):
        try:
            ours = [read_document(text, 1 << 20)]
        except (InvalidConfig, ConfigTooLarge):
            ours = []
        # Text that the SDK refuses may be read here. A key is always text here.
        if theirs and "000" not in json.dumps(ours):
            assert json.dumps(with_text_keys(ours)) == json.dumps(with_text_keys(theirs)), text
            compared += 1
    assert compared > 1000


def test_defaults_of_variables_are_read_like_omegaconf_reads_them(sdk_python):
    chance = random.Random(5)
    texts = [f"${{oc.env:NOT_SET,{''.join(chance.choices(BARE, k=chance.randrange(1, 6)))}}}" for _ in range(4000)]
    for quote in "\"'":
        inner = ("".join(chance.choices(QUOTED, k=chance.randrange(1, 6))) for _ in range(2000))
        texts += [f"${{oc.env:NOT_SET,{quote}{text}{quote}}}" for text in inner]
    expected = []
    for text in texts:
        try:
            pieces = parse(text)
        except Unreadable:
            continue
        if len(pieces) == 1 and isinstance(pieces[0], Variable):
            expected.append((text, pieces[0].default))

    found = sdk(sdk_python, "read_interpolations.py", [text for text, _ in expected])

    for (text, ours), theirs in zip(expected, found, strict=True):
        assert theirs in ([], [ours]), text  # text that OmegaConf refuses may be read here
    assert sum(theirs != [] for theirs in found) > 2000


def test_omegaconf_reads_written_yaml_back_unchanged(sdk_python):
    chance = random.Random(3)
    parts = ['"', "'", "\\", "${", "$", "}", "a", " ", ",", "\n", "é", "${x}", "1", "null", "[", ":", "\t", ".5", "e3"]
    texts = ["".join(chance.choices(parts, k=chance.randrange(8))) for _ in range(2000)]
    expected = [(Variable("NOT_SET", text, has_default=True).text(), text) for text in texts]
    expected += [(escape(text), text) for text in texts]

    found = sdk(sdk_python, "read_interpolations.py", [text for text, _ in expected])

    assert found == [[text] for _, text in expected]
