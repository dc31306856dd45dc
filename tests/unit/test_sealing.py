"""Values are encrypted with the newest key, and decrypted with any key, only in their own place."""

from dataclasses import replace
from uuid import UUID

import pytest

from deploy_service.errors import VariableKeysMissing, VariablesUnreadable
from deploy_service.sealing import Sealer

OLD, NEW = "0a" * 32, "1b" * 32
PLACE = (UUID(int=1), UUID(int=2), "production", "NAME", True)


def test_a_sealed_value_does_not_contain_the_value_and_opens_again():
    sealer = Sealer.of(NEW)

    sealed = sealer.seal("canary ü", PLACE)

    assert b"canary" not in sealed.content
    assert sealer.open(sealed, PLACE) == "canary ü"
    assert sealer.seal("canary ü", PLACE) != sealed


def test_the_first_key_seals_and_every_key_opens():
    old = Sealer.of(OLD).seal("value", PLACE)
    sealer = Sealer.of(f" {NEW} , {OLD}")

    new = sealer.seal("value", PLACE)

    assert sealer.open(old, PLACE) == "value"
    assert Sealer.of(NEW).open(new, PLACE) == "value"
    with pytest.raises(VariablesUnreadable):
        Sealer.of(NEW).open(old, PLACE)


@pytest.mark.parametrize(
    "place",
    [
        (UUID(int=9), *PLACE[1:]),
        (PLACE[0], UUID(int=9), *PLACE[2:]),
        (*PLACE[:2], "staging", *PLACE[3:]),
        (*PLACE[:3], "OTHER", True),
        (*PLACE[:4], False),
    ],
)
def test_a_sealed_value_does_not_open_in_another_place(place):
    sealer = Sealer.of(NEW)

    with pytest.raises(VariablesUnreadable):
        sealer.open(sealer.seal("value", PLACE), place)


def test_a_changed_sealed_value_does_not_open():
    sealer = Sealer.of(NEW)
    sealed = sealer.seal("value", PLACE)

    with pytest.raises(VariablesUnreadable):
        sealer.open(replace(sealed, content=sealed.content[:-1] + bytes([sealed.content[-1] ^ 1])), PLACE)


def test_sealing_without_a_key_is_refused():
    with pytest.raises(VariableKeysMissing, match="DEPLOY_VARIABLE_KEYS"):
        Sealer.of("").seal("value", PLACE)


@pytest.mark.parametrize("text", ["secret", NEW[:-1], f"{NEW},", f"{NEW},s3cret"])
def test_a_malformed_sealing_key_is_refused_and_not_shown(text):
    with pytest.raises(ValueError, match="64 hexadecimal digits") as refused:
        Sealer.of(text)

    assert [key for key in text.split(",") if key and key in str(refused.value)] == []
