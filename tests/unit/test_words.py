"""Phrases that were hard to read here are banned from code, contracts and documents."""

import re
import subprocess

import pytest

from tests.support.paths import ROOT

BANNED = {
    " none": (r"(is|are) none\b(?! %)", "is missing, is unknown, None"),
    "stands": (r"stands\b", "is, is in, means"),
    "on top": (r"comes? on top\b", "further calls"),
    "lie ahead": (r"must lie ahead\b", "must be in the future"),
    "obody may": (r"[Nn]obody may\b", "no role may"),
    "shrug": (r"shrugs?\b", "does not depend on"),
    "turn about": (r"turn about\b", "alternately"),
    "to no effect": (r"to no effect\b", "without effect"),
    "ikewise": (r"[Ll]ikewise\b", "repeat what is the same"),
    "hoever": (r"[Ww]hoever\b", "the caller, everybody who"),
    "of ours": (r"of ours\b", "our"),
    "at hand": (r"at hand\b", "current, known"),
    " go of": (r"lets? go of\b", "free, delete"),
    " up": (r"(given|gives|gave) up\b", "canceled, closed, ends"),
    "nder way": (r"[Uu]nder way\b", "in progress"),
    "unless given": (r"unless given\b", "Default: …"),
    "all the same": (r"all the same\b", "anyway, still"),
    "takes no ": (r"takes no\b", "accepts no, without"),
    "in force": (r"in force\b", "current, used, enforced"),
    "for good": (r"for good\b", "permanently"),
    "is no ": (r"(?<![Tt]here )is no (?!longer|more)\w", "is not a …"),
}
"""The phrases and their replacements, by a fixed text that is quick to search for."""

PHRASES = {text: re.compile(rf"\b{phrase}") for text, (phrase, _) in BANNED.items()}
SUFFIXES = (".py", ".proto", ".md", ".html", ".yml", ".toml", ".sh")
EXEMPT = (
    "service_kit/pb/",  # generated from the contracts
    "tests/load/results/",  # tables that the bench wrote
    "tests/unit/test_words.py",
)


def tracked() -> list[str]:
    ran = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip("this is not a clone of the repository")
    return [name for name in ran.stdout.splitlines() if name.endswith(SUFFIXES) and not name.startswith(EXEMPT)]


def banned_in(text: str) -> list[str]:
    return [found[0] for key, phrase in PHRASES.items() if key in text for found in phrase.finditer(text)]


def test_no_banned_phrase_is_in_code_contracts_and_documents():
    names = [name for name in tracked() if (ROOT / name).is_file()]

    found = {name: phrases for name in names if (phrases := banned_in((ROOT / name).read_text()))}

    assert len(names) > 500
    assert found == {}, "see BANNED in tests/unit/test_words.py for what to write instead"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("None when there is none.", ["is none"]),
        ("calls under way", ["under way"]),
        ("max_bytes_under_way, a stand-in, no longer", []),
        ("This is no UUID.", ["is no U"]),
        ("There is no default runtime.", []),
    ],
)
def test_the_check_of_words_finds_phrases_but_not_names(text: str, found: list[str]):
    assert banned_in(text) == found
