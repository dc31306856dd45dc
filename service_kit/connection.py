"""A connection to Postgres with a deadline for each statement. A connection that does not answer is terminated."""

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

CANCEL_SECONDS = 1.0
"""How long Postgres may take to confirm a cancel or the end of a session. It takes milliseconds if Postgres answers."""
PROBES = 3

Result = TypeVar("Result")

if TYPE_CHECKING:  # generic in its stubs only
    Base = asyncpg.Connection[asyncpg.Record]
else:
    Base = asyncpg.Connection


class BoundedConnection(Base):
    """asyncpg's Connection with a deadline on fetch, fetchrow, fetchval and execute, including transactions.

    asyncpg's own `command_timeout` is not enough (0.32). It waits as long again for the cancel, and in a transaction
    again for the ROLLBACK. Closing a prepared statement has no timeout. This class terminates the connection
    immediately, so nothing else waits for it.
    """

    answer_seconds = 11.0
    on_silence: Callable[[], Awaitable[None]] | None = None
    """Called when Postgres has not answered in time, because other connections may be dead too."""
    _deadline = math.inf
    """Deadline of the current statement."""
    _timer: asyncio.TimerHandle | None = None
    _is_given_up = False

    async def fetch(self, *args: Any, **options: Any) -> Any:
        return await self._answer_of(super().fetch(*args, **options))

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        return await self._answer_of(super().fetchrow(*args, **options))

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        return await self._answer_of(super().fetchval(*args, **options))

    async def execute(self, *args: Any, **options: Any) -> str:
        return await self._answer_of(super().execute(*args, **options))

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        with suppress(TimeoutError):  # then it is terminated
            await super().close(timeout=CANCEL_SECONDS if timeout is None else timeout)

    async def _answer_of(self, statement: Awaitable[Result]) -> Result:
        # One timer serves many statements, because uvloop takes 3 µs to create and cancel one, and a short statement
        # takes 12.
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self.answer_seconds
        if self._timer is None or self._timer.when() > self._deadline:
            self._timer = loop.call_at(self._deadline, self._check_deadline)
        try:
            return await statement
        except asyncio.CancelledError:
            await self._await_cancel()
            raise
        except (asyncpg.InternalClientError, asyncpg.ReadOnlySQLTransactionError):
            # asyncpg is out of sync with Postgres, or this server is no longer the primary. The next connection finds
            # the new primary.
            self.terminate()
            raise
        except (asyncpg.PostgresConnectionError, AttributeError) as error:
            # If it is terminated between two steps of a statement, asyncpg 0.32 calls a method of None.
            if self._is_given_up:
                await self._tell_silence()
                raise TimeoutError from error
            raise
        finally:
            self._deadline = math.inf

    def _check_deadline(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        if self._deadline <= loop.time():
            self._is_given_up = True
            self.terminate()  # fails the statement that waits for an answer
        elif self._deadline < math.inf:
            self._timer = loop.call_at(self._deadline, self._check_deadline)

    async def _await_cancel(self) -> None:
        """Wait until a statement that asyncpg is canceling has ended. Terminate the connection if Postgres does not
        answer."""
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await super().execute("")  # begins once the cancel is confirmed
        except (Exception, asyncio.CancelledError):
            self.terminate()
            await self._tell_silence()

    async def _tell_silence(self) -> None:
        if self.on_silence is not None:
            await self.on_silence()

    def notice_silence(self, seconds: float) -> None:
        """Let the kernel close the connection when the other machine has not answered for `seconds`."""
        sock = self._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # not in asyncpg's stubs
        if sock.family == socket.AF_UNIX:
            return
        pause = max(1, round(seconds / PROBES))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, pause)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, pause)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))
