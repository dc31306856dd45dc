"""Times as the contracts write them and as Postgres takes them."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from service_kit.errors import InvalidFields

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(value: datetime) -> Timestamp:
    since = value - EPOCH  # a quarter of what FromDatetime takes, and a page has hundreds
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def moment(field: str, timestamp: Timestamp) -> datetime:
    """A contract's time as Postgres takes it. Raises InvalidFields naming `field` when no calendar has it."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidFields({field: "must be a time between the years 1 and 9999"}) from None


def between(field: str, times: Any) -> tuple[datetime | None, datetime | None]:
    """The bounds of any contract's TimeFilter, None where it is open. Raises InvalidFields."""
    return (
        moment(f"{field}.gte", times.gte) if times.HasField("gte") else None,
        moment(f"{field}.lte", times.lte) if times.HasField("lte") else None,
    )


def rfc3339(value: datetime) -> str:
    """In UTC, ending in Z, as REST callers see times."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
