"""Calls RPCs of other services, and repeats calls if that is safe and useful."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import grpc
from grpc.aio import EOF  # type: ignore[attr-defined]  # the stubs leave it out

from service_kit.channel import RETRIED
from service_kit.errors import DeadlineExceeded, ServiceError, Unreachable

HUNG_UP_SECONDS = 1.0
"""Seconds after which the RPC of a caller that disconnected is canceled. Nearly all RPCs have ended by then. grpc.aio
never frees an answer that is being sent when its call is canceled (grpc/grpc#43360)."""
QUICK_READS = ("Get", "List", "Ping", "Resolve")
"""RPCs with these prefixes may get a second try while the first is unanswered. Other reads are not among them, because
they may take long."""
KEYED = {
    "CreateAccessKey",
    "CreateApp",
    "CreateRuntime",
    "CreateWorkflow",
    "DeployApp",
    "ForkWorkflow",
    "ImportWorkflow",
    "PromoteApp",
    "ReleaseWorkflow",
    "RestoreVersion",
    "RollbackApp",
    "SaveWorkflow",
    "SetLabel",
}
"""The RPCs that read an idempotency key, which makes them safe to send again."""
MOST_SECOND_TRIES = 32
"""Maximum number of concurrent second tries, because they add load to a service that is slow as a whole."""
UNKNOWN = (
    "It is not known whether a change was made. Repeat it with the same Idempotency-Key, or read before you repeat it."
)

T = TypeVar("T")
Metadata: TypeAlias = Mapping[str, str]
Trailers: TypeAlias = Mapping[str, str]
Answer: TypeAlias = tuple[bytes, Trailers]
Rpc: TypeAlias = Callable[[bytes, Metadata], Awaitable[Answer]]
"""Sends a serialized request with its metadata. Returns the serialized response and its trailing metadata. Raises
ServiceError."""


StreamRpc: TypeAlias = Callable[[bytes, Metadata], AsyncGenerator[bytes, None]]
"""A streaming RPC. It yields the responses. Close it with `aclosing`, which cancels the RPC."""


class SecondTries:
    """Second tries of reads that a service does not answer in time. Limits their number."""

    def __init__(self, after_seconds: float) -> None:
        self.after_seconds = after_seconds
        self._under_way = 0

    def begin(self) -> bool:
        """Whether another try may begin now. If so, call `end` when it has ended."""
        if self._under_way == MOST_SECOND_TRIES:
            return False
        self._under_way += 1
        return True

    def end(self) -> None:
        self._under_way -= 1

    async def race(self, first: Awaitable[Answer], again: Callable[[], Awaitable[Answer]]) -> Answer:
        """The first answer from `first`, which is late, or from calls of `again()`.

        `again()` is called repeatedly, because the next replica may be the one that does not answer. Raises the error
        of the first try that reached a replica, or Unreachable.
        """
        tries: set[asyncio.Future[Answer]] = {asyncio.ensure_future(first)}
        ended: set[asyncio.Future[Answer]] = set()
        begun = 0
        try:
            while tries:
                if self.begin():
                    begun += 1
                    tries.add(asyncio.ensure_future(again()))
                ended, tries = await asyncio.wait(
                    tries, timeout=self.after_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                answered = [each for each in ended if not isinstance(each.exception(), Unreachable)]
                if answered:
                    return answered.pop().result()
            return ended.pop().result()
        finally:
            for _ in range(begun):
                self.end()
            for each in tries:
                each.cancel()
            ended.clear()  # avoids a cycle: the error refers to this frame


def streamed_call(channel: grpc.aio.Channel, path: str, idle_seconds: float) -> StreamRpc:
    """The streaming RPC "/package.Service/Method". Its messages may be `idle_seconds` apart. It is never repeated."""
    multicallable = channel.unary_stream(path, request_serializer=None, response_deserializer=None)

    async def messages(message: bytes, metadata: Metadata) -> AsyncGenerator[bytes, None]:
        call: Any = multicallable(message, metadata=tuple(metadata.items()))
        del message
        try:
            while True:
                async with asyncio.timeout(idle_seconds):
                    received = await call.read()
                if received is EOF:
                    return
                yield received
        except TimeoutError:
            raise DeadlineExceeded(
                f"No message has arrived for {idle_seconds:g} s, so the call was canceled."
            ) from None
        except grpc.aio.AioRpcError as error:
            raise ServiceError.from_rpc_error(error) from None
        finally:
            call.cancel()

    return messages


def single_call(channel: grpc.aio.Channel, path: str, timeout: float, second_tries: SecondTries | None = None) -> Rpc:
    """The RPC "/package.Service/Method". Each call may take `timeout` seconds.

    If the connection is lost during a call, the channel repeats a read, and this function repeats a change that has an
    idempotency key. With `second_tries`, a quick read without an answer is sent a second time, and the first answer is
    used.
    """
    multicallable = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
    name = path.rpartition("/")[2]

    def start(message: bytes, metadata: Metadata) -> Any:
        return multicallable(message, metadata=tuple(metadata.items()), timeout=timeout)

    async def finish(call: Any) -> Answer:
        await _until_ended(call)
        return await _answer(name, call)

    async def call_once(message: bytes, metadata: Metadata) -> Answer:
        return await finish(start(message, metadata))

    if name in KEYED:
        return _sent_again_with_key(call_once, timeout)
    if second_tries is None or not name.startswith(QUICK_READS):
        return call_once

    async def read_quickly(message: bytes, metadata: Metadata) -> Answer:
        first = start(message, metadata)
        await _until_ended(first, second_tries.after_seconds)
        if not first.done():
            return await second_tries.race(finish(first), lambda: call_once(message, metadata))
        return await _answer(name, first)

    return read_quickly


def failure_of(name: str, error: grpc.aio.AioRpcError) -> ServiceError:
    """The error for the caller of the RPC `name`."""
    failure = ServiceError.from_rpc_error(error)
    if isinstance(failure, Unreachable | DeadlineExceeded) and not name.startswith(RETRIED):
        return type(failure)(f"{failure.message} {UNKNOWN}")
    return failure


def settle(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():  # its caller may have disconnected
        future.set_result(result)


def _sent_again_with_key(rpc: Rpc, timeout: float) -> Rpc:
    async def call(message: bytes, metadata: Metadata) -> Answer:
        if "idempotency-key" not in metadata:
            return await rpc(message, metadata)
        deadline = asyncio.get_running_loop().time() + timeout
        try:
            return await rpc(message, metadata)
        except Unreachable:
            pass
        try:
            async with asyncio.timeout_at(deadline):
                return await rpc(message, metadata)
        except TimeoutError:
            raise DeadlineExceeded(f"{DeadlineExceeded().message} {UNKNOWN}") from None

    return call


async def _until_ended(call: Any, seconds: float | None = None) -> None:
    """Wait until the call has ended, at most for `seconds`. If this is canceled, the call is canceled a little
    later."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    call.add_done_callback(lambda _: settle(ended, None))
    timer = None if seconds is None else loop.call_later(seconds, settle, ended, None)
    try:
        await ended
    except asyncio.CancelledError:
        loop.call_later(HUNG_UP_SECONDS, call.cancel)
        raise
    finally:
        if timer is not None:
            timer.cancel()


async def _answer(name: str, call: Any) -> Answer:
    """The answer of a call that has ended."""
    try:
        answer = await call
        return answer, {key: text for key, text in await call.trailing_metadata() if isinstance(text, str)}
    except grpc.aio.AioRpcError as error:
        raise failure_of(name, error) from None
