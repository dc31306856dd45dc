"""Reads fields of a request that may be left out."""

from typing import Any
from uuid import UUID


def optional(request: Any, field: str) -> str | None:
    """A string field, None when it was left out."""
    return getattr(request, field) if request.HasField(field) else None


def optional_id(request: Any, field: str) -> UUID | None:
    """An id field, which the interceptor has checked; None when it was left out."""
    return UUID(getattr(request, field)) if request.HasField(field) else None
