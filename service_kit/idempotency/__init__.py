"""A create that is sent twice with the same key happens once."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any, TypeVar
from uuid import UUID

import grpc
from google.protobuf.message import Message

from service_kit.auth import Caller
from service_kit.db import Connection, Pool
from service_kit.errors import Aborted
from service_kit.idempotency import repository
from service_kit.idempotency.repository import Scope

Answer = TypeVar("Answer", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]
KEY = re.compile(r"(?=.*[!-~])[ -~]{1,255}")
"""What an idempotency key may be: printable ASCII, not blank."""
ProjectOf = Callable[[Connection], Awaitable[UUID]]


class IdempotencyKeyReused(Aborted):
    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used with another request.")


class RequestInProgress(Aborted):
    reason = "REQUEST_IN_PROGRESS"

    def __init__(self) -> None:
        super().__init__("The first request with this idempotency key is still at work.", retry_after=1)


async def once(
    pool: Pool,
    context: Context,
    caller: Caller,
    project_of: ProjectOf,
    request: Message,
    answer: type[Answer],
    work: Callable[[Connection], Awaitable[Answer]],
    turn: asyncio.Lock | None = None,
) -> Answer:
    """Do `work` and keep its answer with the caller's key, in one transaction; or answer as the first time.

    Without a key this is `work` on a connection of the pool, once it has its `turn`. (With one it waits in Postgres: it
    must not hold a connection while others, who have the turn, wait for one.) A failure leaves no trace, so the key is
    free again.
    `project_of` finds the project the key belongs to and is asked only when there is a key. Raises
    IdempotencyKeyReused or RequestInProgress.
    """
    if caller.idempotency_key is None:
        async with turn or nullcontext(), pool.acquire() as db:
            return await work(db)
    async with pool.acquire() as db:
        scope = Scope(await project_of(db), caller.id, request.DESCRIPTOR.full_name, caller.idempotency_key)
        digest = _digest(request)
        async with db.transaction():
            if not await repository.lock_key(db, scope):
                raise RequestInProgress
            if (kept := await _kept(db, context, scope, digest, answer)) is not None:
                return kept
            done = await work(db)
            await repository.insert_answer(db, scope, digest, done.SerializeToString())
            return done


async def replay(
    pool: Pool, context: Context, caller: Caller, project_of: ProjectOf, request: Message, answer: type[Answer]
) -> Answer | None:
    """The first answer, when there is one: for work that asks elsewhere before it begins. None without a key."""
    if caller.idempotency_key is None:
        return None
    async with pool.acquire() as db:
        scope = Scope(await project_of(db), caller.id, request.DESCRIPTOR.full_name, caller.idempotency_key)
        return await _kept(db, context, scope, _digest(request), answer)


def always(project_id: UUID) -> ProjectOf:
    """For requests that name their project."""

    async def project_of(db: Connection) -> UUID:
        return project_id

    return project_of


def _digest(request: Message) -> bytes:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


async def _kept(db: Connection, context: Context, scope: Scope, digest: bytes, answer: type[Answer]) -> Answer | None:
    row = await repository.find_answer(db, scope)
    if row is None:
        return None
    if row["request_digest"] != digest:
        raise IdempotencyKeyReused
    context.set_trailing_metadata((("idempotent-replayed", "true"),))
    return answer.FromString(row["answer"])
