"""Sends concurrent RPCs as one batch.

Gain: a single RPC takes some 150 µs in the gateway and 200 µs in the service, nearly all of it in gRPC. In a batch of
sixteen, each call takes a quarter of that (grpc.aio 1.85). To remove it, use only `service_kit.calls.single_call`.
"""

import asyncio
from dataclasses import dataclass, field

import grpc
import structlog
from google.rpc import status_pb2

from service_kit.calls import (
    HUNG_UP_SECONDS,
    KEYED,
    QUICK_READS,
    Metadata,
    Rpc,
    SecondTries,
    Trailers,
    failure_of,
    settle,
)
from service_kit.channel import RETRIED
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.batch.v1 import batch_pb2 as pb

SEND_BATCH = "/flowpin.batch.v1.BatchService/SendBatch"
MOST_CALLS = 64
"""Maximum number of calls in a batch."""
MOST_AUTHORIZATION_BYTES = 6 << 10
"""Maximum size of a batch's metadata. gRPC (1.85) may refuse more than 8 KiB."""
FIELD_BYTES = 32 + len("authorization")
"""Bytes that HTTP/2 counts for a header in addition to its value."""
SMALL = 64 << 10
"""Maximum bytes of a message in a batch. A larger one would delay the others."""
UNSERVED = {grpc.StatusCode.UNIMPLEMENTED}
"""The status of a service without batches, such as one of the previous release."""
REPEATABLE = UNSERVED | {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""Statuses of a failed batch after which its calls may be repeated one by one, if that is safe."""
LATE = pb.Answer()
"""Marks a quick read that the batch has not answered in time. It is then sent alone."""

BROKE = pb.Answer(error=status_pb2.Status.FromString(ServiceError("An internal error occurred.").status))
"""The answer to a call whose batch ended without one."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Batch:
    """The calls of one batch and their results. None as a result means that the call must be sent alone.

    The failure of a batch is a result, not an exception, because an exception would keep the objects of the caller's
    frame in memory.
    """

    calls: list[pb.Call] = field(default_factory=list)
    answers: list[asyncio.Future[pb.Answer | grpc.aio.AioRpcError | None]] = field(default_factory=list)
    authorizations: dict[str, int] = field(default_factory=dict)
    """The index of each authorization in the batch's metadata."""
    authorization_bytes: int = 0
    sending: asyncio.Task[None] | None = None
    quick_reads: list[int] = field(default_factory=list)
    """The indexes of the quick reads in the batch."""
    timer: asyncio.TimerHandle | None = None

    def has_room_for(self, authorization: str) -> bool:
        if len(self.calls) == MOST_CALLS:
            return False
        return (
            authorization in self.authorizations
            or self.authorization_bytes + _size(authorization) <= MOST_AUTHORIZATION_BYTES
        )

    def add(self, path: str, message: bytes, metadata: Metadata, authorization: str) -> int:
        """Add a call. Returns its index."""
        place = self.authorizations.get(authorization)
        if place is None:
            place = self.authorizations[authorization] = len(self.authorizations)
            self.authorization_bytes += _size(authorization)
        call = pb.Call(method=path, message=message, metadata=metadata, authorization=place)
        del call.metadata["authorization"]
        self.calls.append(call)
        self.answers.append(asyncio.get_running_loop().create_future())
        return len(self.calls) - 1

    def hung_up(self) -> None:
        """Called when a caller has disconnected. When no caller waits any more, the batch is canceled soon."""
        if self.sending is not None and all(answer.done() for answer in self.answers):
            asyncio.get_running_loop().call_later(HUNG_UP_SECONDS, self.sending.cancel)


class RpcBatcher:
    """Batches the calls to one service that begin in the same turn of the event loop."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float, second_tries: SecondTries | None = None) -> None:
        """With `second_tries`, quick reads that their batch does not answer in time are also sent alone."""
        self._send_batch = channel.unary_stream(
            SEND_BATCH,
            request_serializer=pb.SendBatchRequest.SerializeToString,
            response_deserializer=pb.SendBatchResponse.FromString,
        )
        self._timeout = timeout
        self._second_tries = second_tries
        self._next = _Batch()
        self._under_way: set[_Batch] = set()

    def rpc(self, path: str, single_call: Rpc) -> Rpc:
        """The RPC `path`. It is sent in a batch if there are other calls, otherwise with `single_call`."""
        name = path.rpartition("/")[2]
        is_read, is_quick = name.startswith(RETRIED), name.startswith(QUICK_READS)

        async def call(message: bytes, metadata: Metadata) -> tuple[bytes, Trailers]:
            authorization = metadata.get("authorization")
            if len(message) > SMALL or authorization is None or _size(authorization) > MOST_AUTHORIZATION_BYTES:
                return await single_call(message, metadata)
            batch, coming = self._join(path, message, metadata, authorization)
            if is_quick:
                batch.quick_reads.append(len(batch.calls) - 1)
            try:
                answer = await coming
            except asyncio.CancelledError:
                if coming.done() and not coming.cancelled() and coming.result() is LATE:
                    self._end_second_try()
                batch.hung_up()
                raise
            if isinstance(answer, grpc.aio.AioRpcError):
                is_safe = is_read or (name in KEYED and "idempotency-key" in metadata)
                if answer.code() not in (REPEATABLE if is_safe else UNSERVED):
                    raise failure_of(name, answer)
                answer = None
            if answer is None:
                return await single_call(message, metadata)
            if answer is LATE:
                try:
                    return await single_call(message, metadata)
                finally:
                    self._end_second_try()
            if answer.HasField("error"):
                raise ServiceError.from_status(answer.error)
            return answer.message, answer.trailing_metadata

        return call

    def _join(
        self, path: str, message: bytes, metadata: Metadata, authorization: str
    ) -> tuple[_Batch, asyncio.Future[pb.Answer | grpc.aio.AioRpcError | None]]:
        if not self._next.has_room_for(authorization):
            self._leave()
        batch = self._next
        if not batch.calls:
            asyncio.get_running_loop().call_soon(self._leave)
        place = batch.add(path, message, metadata, authorization)
        return batch, batch.answers[place]

    def _leave(self) -> None:
        batch, self._next = self._next, _Batch()
        if len(batch.calls) == 1:
            settle(batch.answers[0], None)
        elif batch.calls:
            batch.sending = asyncio.get_running_loop().create_task(self._send(batch))
            self._under_way.add(batch)  # because the event loop has only weak references to tasks
            self._begin_second_tries_later(batch)
            batch.sending.add_done_callback(lambda _: self._sent(batch))

    def _begin_second_tries_later(self, batch: _Batch) -> None:
        if self._second_tries is not None and batch.quick_reads:
            after = self._second_tries.after_seconds
            batch.timer = asyncio.get_running_loop().call_later(after, self._begin_second_tries, batch)

    def _begin_second_tries(self, batch: _Batch) -> None:
        for place in batch.quick_reads:
            if not batch.answers[place].done() and self._second_tries is not None and self._second_tries.begin():
                batch.answers[place].set_result(LATE)
        batch.hung_up()  # in case all calls of the batch are late
        self._begin_second_tries_later(batch)

    def _end_second_try(self) -> None:
        if self._second_tries is not None:
            self._second_tries.end()

    def _sent(self, batch: _Batch) -> None:
        self._under_way.discard(batch)
        if batch.timer is not None:
            batch.timer.cancel()
            batch.timer = None
        batch.sending = None  # avoids a cycle between a canceled task and the batch, which would never be freed

    async def _send(self, batch: _Batch) -> None:
        metadata = tuple(("authorization", value) for value in batch.authorizations)
        failure: pb.Answer | grpc.aio.AioRpcError = BROKE
        try:
            async for response in self._send_batch(
                pb.SendBatchRequest(calls=batch.calls), metadata=metadata, timeout=self._timeout
            ):
                for answer in response.answers:
                    settle(batch.answers[answer.call], answer)
            if not all(answer.done() for answer in batch.answers):
                raise RuntimeError("a batch ended before every call in it was answered")
        except grpc.aio.AioRpcError as error:
            error.__traceback__ = None  # it refers to this frame, which refers to the batch
            failure = error
        except Exception as error:
            log.error("batch_broke", exc_info=error)
        for coming in batch.answers:
            settle(coming, failure)


def _size(authorization: str) -> int:
    return len(authorization) + FIELD_BYTES
