"""Request ids that callers give, and those made for them."""

import pytest

from service_kit.ids import request_id


@pytest.mark.parametrize("given", ["a", "r-1/2", "~" * 128])
def test_a_request_id_with_printable_characters_is_kept(given: str):
    assert request_id(given) == given


@pytest.mark.parametrize("given", [None, "", b"bytes", "a b", "a\n", "é", "x" * 129])
def test_any_other_request_id_is_replaced(given: object):
    made = [request_id(given) for _ in range(2)]

    assert made[0] != made[1]
    assert all(len(each) == 32 and each.isalnum() for each in made)
