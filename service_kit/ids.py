"""Ids are UUIDv7: sorted by the time they were made, and made here so that any Postgres will do."""

from uuid import UUID

import uuid_utils


def new_id() -> UUID:
    return UUID(int=uuid_utils.uuid7().int)
