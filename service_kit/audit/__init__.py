"""Audit events: each change writes, in its transaction, who did what, when, and in which request."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from service_kit.access.caller import Caller
from service_kit.audit import repository
from service_kit.db import Connection, Row
from service_kit.ids import new_id
from service_kit.paging import Page
from service_kit.times import timestamp


async def record(
    db: Connection, caller: Caller, project_id: UUID, subject_id: UUID, action: str, target_id: UUID, **details: str
) -> None:
    """Record that the caller did `action` (the RPC's name) to `target_id`, in the history of `subject_id`.

    Call this in the transaction of the change. `details` must not contain content or secrets.
    """
    await repository.insert_event(
        db,
        project_id,
        subject_id,
        new_id(),
        action,
        target_id,
        caller.id,
        caller.name,
        caller.principal.token.id,
        caller.request_id,
        details_json(details),
    )


def details_json(details: dict[str, str]) -> bytes:
    return json.dumps(details, ensure_ascii=False).encode()


async def list_events(
    db: Connection, projects: Sequence[UUID], subject_id: UUID, page: Page, contract: Any
) -> tuple[list[Any], int]:
    """A page of a subject's events, newest first, as messages of `contract` (a *_pb2 module), and the total number."""
    rows, total = await repository.list_events(db, projects, subject_id, page)
    return messages(rows, contract), total


def messages(rows: Iterable[Row], contract: Any, more: Sequence[str] = ()) -> list[Any]:
    """Rows of audit_events as messages of `contract` (a *_pb2 module). `more` sets fields that only this contract
    has."""
    return [
        contract.AuditEvent(
            id=str(row["id"]),
            action=row["action"],
            target_id=str(row["target_id"]),
            actor_id=str(row["actor_id"]),
            actor_name=row["actor_name"],
            token_id=row["token_id"],
            request_id=row["request_id"],
            created_at=timestamp(row["created_at"]),
            details=contract.Json(utf8=row["details"]),
            **{name: row[name] for name in more},
        )
        for row in rows
    ]
