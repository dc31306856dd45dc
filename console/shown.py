"""The templates' filters, which format times, ids, counts and statuses."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import urlencode

from google.protobuf.timestamp_pb2 import Timestamp

MINUTE, HOUR, DAY = 60, 3600, 86_400
SHORT_ID_CHARS = 8


def moment(time: Timestamp | datetime) -> datetime:
    return time.ToDatetime(UTC) if isinstance(time, Timestamp) else time


def ago(time: Timestamp | datetime, now: datetime | None = None) -> str:
    """A relative time such as `3 min ago`, or a date if it is more than a month ago."""
    at = moment(time)
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < 0:
        return "just now" if seconds > -MINUTE else exact(at)
    if seconds < 10:
        return "just now"
    if seconds < MINUTE:
        return f"{int(seconds)} s ago"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min ago"
    if seconds < DAY:
        return f"{int(seconds // HOUR)} h ago"
    if seconds < 31 * DAY:
        days = int(seconds // DAY)
        return "yesterday" if days == 1 else f"{days} days ago"
    return f"{at.day} {at:%b %Y}"


def exact(time: Timestamp | datetime, zone: tzinfo = UTC) -> str:
    at = moment(time).astimezone(zone)
    return f"{at:%Y-%m-%d %H:%M:%S} {at.tzname()}"


def iso(time: Timestamp | datetime) -> str:
    return moment(time).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def short_id(value: str) -> str:
    """The end of an id, because UUIDs of one minute have the same beginning."""
    return value[-SHORT_ID_CHARS:]


def short_digest(value: str) -> str:
    return value.removeprefix("sha256:")[:12]


def word(value: int, enum: Any) -> str:
    """An enum's value as a word. DEPLOYMENT_STATUS_SUCCEEDED is `succeeded`."""
    names = enum.keys()
    prefix = enum.DESCRIPTOR.values[0].name.removesuffix("UNSPECIFIED")
    name = enum.Name(value) if value in enum.values() else names[0]
    return str(name).removeprefix(prefix).replace("_", " ").lower()


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 version`, `2 versions`, `1,204 versions`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def pretty_json(text: bytes | str) -> str:
    """Indented JSON. Invalid JSON is unchanged."""
    try:
        found = json.loads(text)
        indented = json.dumps(found, indent=2, ensure_ascii=False)
        indented.encode()
    except UnicodeEncodeError:  # a lone surrogate, which cannot be encoded
        return json.dumps(found, indent=2)
    except (ValueError, RecursionError):
        return text if isinstance(text, str) else text.decode("utf-8", "replace")
    return indented


def with_query(path: str, query: Mapping[str, str], **changes: Any) -> str:
    """`path` with the changed query. None removes a field."""
    merged = {**query, **changes}
    kept = {name: str(value) for name, value in merged.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


GLOBALS: Mapping[str, Callable[..., Any]] = {"with_query": with_query, "counted": counted}
FILTERS: Mapping[str, Callable[..., Any]] = {
    "ago": ago,
    "exact": exact,
    "iso": iso,
    "short_id": short_id,
    "short_digest": short_digest,
    "pretty_json": pretty_json,
}
