"""Calls the services: each RPC by itself, or those that begin at the same time together, in one batch."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import grpc

from service_kit.channel import RETRIED
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.batch.v1 import batch_pb2 as pb

BATCH = "/flowpin.batch.v1.BatchService/Batch"
MOST_CALLS = 64
"""In one batch."""
SMALL = 64 << 10
"""What goes together, in bytes: a large message would hold up the others."""
HUNG_UP_SECONDS = 1.0
"""Until a call is canceled whose caller has hung up. Nearly all have ended by then, and an answer on its way when
grpc.aio cancels a call stays in memory for good (grpc/grpc#43360)."""

UNSERVED = {grpc.StatusCode.UNIMPLEMENTED}
"""How a service of an earlier release answers a batch."""
REPEATABLE = UNSERVED | {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""How a batch of reads fails that is worth another try, read by read."""

T = TypeVar("T")
Metadata: TypeAlias = Mapping[str, str]
Trailers: TypeAlias = Mapping[str, str]
Rpc: TypeAlias = Callable[[bytes, Metadata], Awaitable[tuple[bytes, Trailers]]]
"""Sends a serialized request with its metadata. Returns the response, serialized, and its trailing metadata, or raises
ServiceError."""


def alone(channel: grpc.aio.Channel, path: str, timeout: float) -> Rpc:
    """The RPC "/package.Service/Method"; each call may take `timeout` seconds."""
    multicallable = channel.unary_unary(path, request_serializer=None, response_deserializer=None)

    async def call(message: bytes, metadata: Metadata) -> tuple[bytes, Trailers]:
        call = multicallable(message, metadata=tuple(metadata.items()), timeout=timeout)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        call.add_done_callback(lambda _: _settle(ended, None))
        try:
            await ended
        except asyncio.CancelledError:
            loop.call_later(HUNG_UP_SECONDS, call.cancel)
            raise
        try:
            answer = await call
            return answer, {name: text for name, text in await call.trailing_metadata() if isinstance(text, str)}
        except grpc.aio.AioRpcError as error:
            raise ServiceError.from_rpc_error(error) from None

    return call


@dataclass(slots=True, eq=False)
class _Batch:
    """The calls that go together, and what becomes of each: None when it is to be made alone."""

    calls: list[pb.Call] = field(default_factory=list)
    answers: list[asyncio.Future[pb.Answer | None]] = field(default_factory=list)
    sending: asyncio.Task[None] | None = None

    def hung_up(self) -> None:
        """A caller has. When nobody waits any more the service need not go on for long."""
        if self.sending is not None and all(answer.done() for answer in self.answers):
            asyncio.get_running_loop().call_later(HUNG_UP_SECONDS, self.sending.cancel)


class Together:
    """The way to one service for calls that begin in the same turn of the event loop.

    An RPC by itself costs the gateway some 150 µs and the service 200, nearly all of it gRPC's own work. A batch of
    sixteen takes both of them a quarter of that for each.
    """

    def __init__(self, channel: grpc.aio.Channel, timeout: float) -> None:
        self._batch = channel.unary_stream(
            BATCH,
            request_serializer=pb.BatchRequest.SerializeToString,
            response_deserializer=pb.BatchResponse.FromString,
        )
        self._timeout = timeout
        self._next = _Batch()
        self._under_way: set[_Batch] = set()

    def rpc(self, path: str, alone: Rpc) -> Rpc:
        """The RPC `path`, sent with others where there are any, and else as `alone` does."""
        name = path.rpartition("/")[2]
        is_retried = name.startswith(RETRIED)

        async def call(message: bytes, metadata: Metadata) -> tuple[bytes, Trailers]:
            if len(message) > SMALL:
                return await alone(message, metadata)
            batch, coming = self._join(pb.Call(method=path, message=message, metadata=metadata))
            try:
                answer = await coming
            except asyncio.CancelledError:
                batch.hung_up()
                raise
            except grpc.aio.AioRpcError as error:
                if error.code() in (REPEATABLE if is_retried else UNSERVED):
                    return await alone(message, metadata)
                raise ServiceError.from_rpc_error(error) from None
            if answer is None:
                return await alone(message, metadata)
            if answer.HasField("error"):
                raise ServiceError.from_status(answer.error)
            return answer.message, answer.trailing_metadata

        return call

    def _join(self, call: pb.Call) -> tuple[_Batch, asyncio.Future[pb.Answer | None]]:
        loop = asyncio.get_running_loop()
        if len(self._next.calls) == MOST_CALLS:
            self._leave()
        batch = self._next
        if not batch.calls:
            loop.call_soon(self._leave)
        answer: asyncio.Future[pb.Answer | None] = loop.create_future()
        batch.calls.append(call)
        batch.answers.append(answer)
        return batch, answer

    def _leave(self) -> None:
        batch, self._next = self._next, _Batch()
        if len(batch.calls) == 1:
            _settle(batch.answers[0], None)
        elif batch.calls:
            batch.sending = asyncio.get_running_loop().create_task(self._send(batch))
            self._under_way.add(batch)  # the event loop itself holds tasks weakly
            batch.sending.add_done_callback(lambda _: self._sent(batch))

    def _sent(self, batch: _Batch) -> None:
        self._under_way.discard(batch)
        batch.sending = None  # when canceled it knows its frames, and they the batch: nothing would let go of the other

    async def _send(self, batch: _Batch) -> None:
        try:
            async for response in self._batch(pb.BatchRequest(calls=batch.calls), timeout=self._timeout):
                for answer in response.answers:
                    _settle(batch.answers[answer.call], answer)
            if not all(answer.done() for answer in batch.answers):
                raise RuntimeError("a batch ended before every call in it was answered")
        except Exception as error:
            for answer in batch.answers:
                if not answer.done():
                    answer.set_exception(error)


def _settle(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():  # its caller may have hung up
        future.set_result(result)
