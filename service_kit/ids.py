"""Ids of stored objects and of requests.

Ids of stored objects are UUIDv7, so they are sorted by time. They are made here, because older versions of Postgres
cannot make them.
"""

import re
from uuid import UUID

import uuid_utils

REQUEST_ID = re.compile(r"[!-~]{1,128}")
"""The form of a caller's request id, which is logged before authentication."""


def new_id() -> UUID:
    return UUID(int=uuid_utils.uuid7().int)


def request_id(given: object) -> str:
    """The caller's request id if it is safe for logs, otherwise a new one."""
    return given if isinstance(given, str) and REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    return uuid_utils.uuid7().hex
