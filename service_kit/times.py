"""Times as the contracts write them and as Postgres takes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from service_kit.errors import InvalidFields

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NO_TIME = "must be a time between the years 1 and 9999"


def timestamp(value: datetime) -> Timestamp:
    since = value - EPOCH  # a quarter of what FromDatetime takes, and a page has hundreds
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def moment(field: str, timestamp: Timestamp) -> datetime:
    """A contract's time as Postgres takes it. Raises InvalidFields naming `field` when no calendar has it."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidFields({field: NO_TIME}) from None


def between(field: str, times: Any) -> tuple[datetime | None, datetime | None]:
    """The first and the last moment of any contract's TimeFilter, None where it is open. Raises InvalidFields.

    Postgres keeps microseconds: after one of them is from the next on.
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
