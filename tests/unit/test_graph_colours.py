"""The graph's colours meet WCAG AA, light and dark: contrast 4.5 for text, 3 for lines and icons."""

import re

import pytest

from tests.support.paths import ROOT

CSS = (ROOT / "console/static/graph.css").read_text()
PAIRS = dict(re.findall(r"--graph-([a-z-]+): light-dark\((#\w{6}, #\w{6})\)", CSS))
TOKENS = {name: pair.split(", ") for name, pair in PAIRS.items()}
FAMILIES = re.findall(r"--family: light-dark\((#\w{6}), (#\w{6})\)", CSS)
MARKS = ("added", "removed", "changed", "moved")
TEXTS = [
    *(("text", behind) for behind in ("ground", "surface", "raised", "note")),
    *(("muted", behind) for behind in ("ground", "surface", "raised")),
    *(("accent", behind) for behind in ("ground", "surface")),
    *((mark, behind) for mark in MARKS for behind in (f"{mark}-soft", "surface")),
]


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(colour: str, behind: str, share: float) -> str:
    pairs = ((int(colour[at : at + 2], 16), int(behind[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(one * share + other * (1 - share)):02x}" for one, other in pairs)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "behind"), TEXTS)
def test_text_in_graphs_has_enough_contrast(scheme: int, text: str, behind: str):
    assert contrast(TOKENS[text][scheme], TOKENS[behind][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_lines_and_icons_in_graphs_have_enough_contrast(scheme: int):
    surface = TOKENS["surface"][scheme]

    assert len(FAMILIES) == 8
    assert contrast(TOKENS["line"][scheme], TOKENS["ground"][scheme]) >= 3
    for family in FAMILIES:
        assert contrast(family[scheme], mixed(family[scheme], surface, 0.13)) >= 3
