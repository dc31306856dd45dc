"""Ids of what is kept, and of requests.

Those of what is kept are UUIDv7: sorted by the time they were made, and made here so that any Postgres will do.
"""

import re
from uuid import UUID

import uuid_utils

REQUEST_ID = re.compile(r"[!-~]{1,128}")
"""The form of a caller's request id, which is logged before authentication."""


def new_id() -> UUID:
    return UUID(int=uuid_utils.uuid7().int)


def request_id(given: object) -> str:
    """The request id that a caller gave, when it is fit for logs, else a new one."""
    return given if isinstance(given, str) and REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    return uuid_utils.uuid7().hex
