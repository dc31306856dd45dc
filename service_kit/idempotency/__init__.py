"""Makes sure that a creating call that is sent twice with the same key takes effect once."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar
from uuid import UUID

import grpc
from google.protobuf.message import Message

from service_kit.access.caller import current_caller
from service_kit.db import Connection, Pool
from service_kit.documents import LARGE_DOCUMENT_BYTES
from service_kit.errors import Aborted
from service_kit.idempotency import repository
from service_kit.idempotency.repository import Scope

Answer = TypeVar("Answer", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]
KEY = re.compile(r"(?=.*[!-~])[ -~]{1,255}")
"""The form of an idempotency key: printable ASCII, not blank."""
ProjectOf = Callable[[Connection], Awaitable[UUID]]


class IdempotencyKeyReused(Aborted):
    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used with another request.")


class RequestInProgress(Aborted):
    reason = "REQUEST_IN_PROGRESS"

    def __init__(self) -> None:
        super().__init__("The first request with this idempotency key is still in progress.", retry_after=1)


class IdempotentCall(Generic[Answer]):
    """A call of a creating RPC. With an idempotency key it takes effect once, even if it is repeated."""

    def __init__(
        self, pool: Pool, context: Context, request: Message, answer_type: type[Answer], project_of: ProjectOf
    ) -> None:
        """`project_of` finds the key's project, and raises if the caller lacks the role there."""
        self._pool = pool
        self._context = context
        self._request = request
        self._answer_type = answer_type
        self.caller = current_caller()
        self.project_of = project_of
        self.is_replayed = False
        """Whether the answer is that of the first call."""

    @property
    def has_key(self) -> bool:
        return self.caller.idempotency_key is not None

    async def replay(self) -> Answer | None:
        """The first call's answer, or None. Use it if the work needs calls of other services before it begins.

        Raises IdempotencyKeyReused.
        """
        if not self.has_key:
            return None
        async with self._pool.acquire() as db:
            return await self._kept_answer(db, await self._scope(db))

    async def run(self, work: Callable[[Connection], Awaitable[Answer]], changed: UUID | None = None) -> Answer:
        """Do `work` and store its answer with the key, in one transaction. For a repeat, return the first call's
        answer.

        The trailing metadata that `work` sets is also stored and sent again.

        Without a key, this only runs `work` on a connection of the pool. `changed` is the changed object, unless it is
        new: this waits first for other changes of it in this process. A failure frees the key again. Raises
        IdempotencyKeyReused or RequestInProgress.
        """
        if not self.has_key:
            async with self._connection(changed) as db:
                return await work(db)
        if changed is not None and self._pool.is_changing(changed):
            kept = await self._kept_before_waiting()
            if kept is not None:
                return kept
        async with self._connection(changed) as db:
            scope = await self._scope(db)
            async with db.transaction():
                if not await repository.lock_key(db, scope):
                    raise RequestInProgress
                kept = await self._kept_answer(db, scope)
                if kept is not None:
                    return kept
                answer = await work(db)
                trailers = {name: str(value) for name, value in dict(self._context.trailing_metadata()).items()}
                await repository.insert_answer(db, scope, await self._digest(), answer.SerializeToString(), trailers)
                return answer

    def _connection(self, changed: UUID | None) -> AbstractAsyncContextManager[Connection]:
        return self._pool.acquire() if changed is None else self._pool.acquire_to_change(changed)

    async def _kept_before_waiting(self) -> Answer | None:
        """The stored answer, read first so that a repeat does not wait for other changes. Raises IdempotencyKeyReused
        or RequestInProgress."""
        async with self._pool.acquire() as db:
            scope = await self._scope(db)
            if not await repository.lock_key(db, scope):  # without a transaction, the lock is released immediately
                raise RequestInProgress
            return await self._kept_answer(db, scope)

    async def _scope(self, db: Connection) -> Scope:
        key = self.caller.idempotency_key
        if key is None:
            raise LookupError("a call without a key has no scope")
        return Scope(await self.project_of(db), self.caller.id, self._request.DESCRIPTOR.full_name, key)

    async def _kept_answer(self, db: Connection, scope: Scope) -> Answer | None:
        row = await repository.find_answer(db, scope)
        if row is None:
            return None
        if row["request_digest"] != await self._digest():
            raise IdempotencyKeyReused
        self._context.set_trailing_metadata((*map(tuple, row["trailers"]), ("idempotent-replayed", "true")))
        self.is_replayed = True
        return self._answer_type.FromString(row["answer"])

    async def _digest(self) -> bytes:
        if self._request.ByteSize() < LARGE_DOCUMENT_BYTES:
            return _digest(self._request)
        return await asyncio.to_thread(_digest, self._request)  # other threads can run while this one hashes


def in_project(project_id: UUID) -> ProjectOf:
    """A `project_of` for requests that name their project."""

    async def project_of(db: Connection) -> UUID:
        return project_id

    return project_of


def _digest(request: Message) -> bytes:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
