"""The bounds of a time filter are computed to the microsecond, as Postgres stores times."""

from datetime import UTC, datetime

import pytest

from service_kit.errors import InvalidFields
from service_kit.pb.flowpin.deploy.v1.deploy_pb2 import TimeFilter
from service_kit.times import between

SECOND = 1_000_000_000


def at(microsecond: int) -> datetime:
    return datetime.fromtimestamp(SECOND, UTC).replace(microsecond=microsecond)


def moment(nanos: int) -> dict[str, int]:
    return {"seconds": SECOND, "nanos": nanos}


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ({}, None, None),
        ({"gte": moment(5000)}, at(5), None),
        ({"gte": moment(5001)}, at(6), None),
        ({"gt": moment(5000)}, at(6), None),
        ({"gt": moment(5999)}, at(6), None),
        ({"lte": moment(5000)}, None, at(5)),
        ({"lte": moment(5999)}, None, at(5)),
        ({"lt": moment(5000)}, None, at(4)),
        ({"lt": moment(5001)}, None, at(5)),
        ({"gte": moment(9000), "gt": moment(5000), "lte": moment(20000), "lt": moment(30000)}, at(9), at(20)),
        ({"gte": moment(5000), "gt": moment(9000), "lte": moment(30000), "lt": moment(20000)}, at(10), at(19)),
    ],
)
def test_the_bounds_of_a_time_filter_match_exactly_its_moments(given, first, last):
    assert between("created_at", TimeFilter(**given)) == (first, last)


@pytest.mark.parametrize(
    "given", [{"lt": {"seconds": -62135596800}}, {"gt": {"seconds": 253402300799, "nanos": 999999999}}]
)
def test_a_time_filter_outside_the_calendar_is_refused_with_its_field(given):
    with pytest.raises(InvalidFields) as caught:
        between("created_at", TimeFilter(**given))

    assert list(caught.value.fields) == [f"created_at.{next(iter(given))}"]
