"""Converts times between the contracts' format and Postgres."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from service_kit.errors import InvalidFields

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NO_TIME = "must be a time between the years 1 and 9999"


def timestamp(value: datetime) -> Timestamp:
    since = value - EPOCH  # four times as fast as FromDatetime, and a page has hundreds of times
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def moment(field: str, timestamp: Timestamp) -> datetime:
    """Convert a contract's time for Postgres. Raises InvalidFields naming `field` if the time is out of range."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidFields({field: NO_TIME}) from None


def between(field: str, times: Any) -> tuple[datetime | None, datetime | None]:
    """The first and the last moment of any contract's TimeFilter. None at an open end. Raises InvalidFields.

    Postgres stores microseconds, so `after` a time means from the next microsecond on.
    """
    first, last = [], []
    for name in ("gte", "gt", "lte", "lt"):
        if times.HasField(name):
            bound = getattr(times, name)
            at, is_between = moment(f"{field}.{name}", bound), bound.nanos % 1000 > 0
            try:
                if name in ("gte", "gt"):
                    first.append(at + MICROSECOND if name == "gt" or is_between else at)
                else:
                    last.append(at - MICROSECOND if name == "lt" and not is_between else at)
            except OverflowError:
                raise InvalidFields({f"{field}.{name}": NO_TIME}) from None
    return max(first, default=None), min(last, default=None)


def rfc3339(value: datetime) -> str:
    """The time in UTC, ending in Z, as in REST answers."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
