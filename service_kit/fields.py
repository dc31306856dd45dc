"""Reads optional fields of a request."""

from typing import Any
from uuid import UUID


def optional(request: Any, field: str) -> str | None:
    """A string field. None if it is not set."""
    return getattr(request, field) if request.HasField(field) else None


def optional_id(request: Any, field: str) -> UUID | None:
    """An id field, which the guard has checked. None if it is not set."""
    return UUID(getattr(request, field)) if request.HasField(field) else None
