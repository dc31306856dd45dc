"""Serves calls that come together: each goes through its own guard, and is answered as soon as it is done."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, status_pb2

from service_kit.errors import STATUS_DETAILS, InvalidArgument, ServiceError
from service_kit.guard import Handler
from service_kit.pb.flowpin.batch.v1 import batch_pb2 as pb
from service_kit.pb.flowpin.batch.v1.batch_pb2_grpc import BatchServiceServicer
from service_kit.rpcs import MOST_CALLS

MESSAGE_BYTES = 1 << 20
"""What is worth a message of its own: further answers go into the next one."""

LONGEST = 8 << 10
"""What a value of metadata may have, in bytes; gRPC's own limit is of this size."""

Metadata = Sequence[tuple[str, str | bytes]]

log = structlog.get_logger()


class BatchServicer(BatchServiceServicer):
    def __init__(self, find: Callable[[str], Handler | None]) -> None:
        """`find` has the guarded handler of an RPC's full name."""
        self._find = find

    async def Batch(  # noqa: N802 - the contract's name
        self, request: pb.BatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.BatchResponse]:
        if len(request.calls) > MOST_CALLS:
            error = InvalidArgument(f"There are {len(request.calls)} calls; a batch takes {MOST_CALLS}.")
            await context.abort(error.code, error.message, ((STATUS_DETAILS, error.status),))
        done: list[pb.Answer] = []
        some_done = asyncio.Event()

        async def answer(place: int, call: pb.Call) -> None:
            found = await self._answer(call)
            found.call = place
            done.append(found)
            some_done.set()

        # Each in a context of its own: whose call it is, is told by a context variable.
        tasks = [
            asyncio.create_task(answer(place, call), context=contextvars.Context())
            for place, call in enumerate(request.calls)
        ]
        try:
            left = len(tasks)
            while left:
                await some_done.wait()
                await asyncio.sleep(0)  # those that end in the same turn of the event loop go along
                some_done.clear()
                answers, done[:] = done[:], ()
                left -= len(answers)
                for message in _messages(answers):
                    yield message
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, call: pb.Call) -> pb.Answer:
        handler = self._find(call.method)
        if handler is None or handler.unary_unary is None:
            return pb.Answer(error=_status(MethodUnknown(call.method)))
        try:
            request = handler.request_deserializer(call.message)
        except DecodeError:
            return pb.Answer(error=_status(InvalidArgument("message is not of the type that the RPC takes.")))
        if any(not _travels(value) for value in call.metadata.values()):
            return pb.Answer(error=_status(InvalidArgument(f"metadata must be printable ASCII, {LONGEST} at most.")))
        context = CallContext(tuple(call.metadata.items()))
        try:
            response = await handler.unary_unary(request, context)
            message = handler.response_serializer(response)
        except _Aborted:
            return pb.Answer(error=context.status)
        except Exception as error:
            log.error("rpc_broke", rpc=call.method, exc_info=error)
            return pb.Answer(error=_status(ServiceError("Something went wrong on our side.")))
        return pb.Answer(message=message, trailing_metadata=context.trailing_metadata())


class MethodUnknown(ServiceError):
    code = grpc.StatusCode.UNIMPLEMENTED
    reason = "METHOD_UNKNOWN"

    def __init__(self, method: str) -> None:
        super().__init__("No unary RPC of this name is served here.", method=method)


class CallContext:
    """As much of a grpc.aio.ServicerContext as handlers and what stands around them use."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._code = grpc.StatusCode.OK
        self._trailing_metadata: dict[str, str] = {}
        self.status = status_pb2.Status()

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def set_trailing_metadata(self, metadata: Iterable[tuple[str, str]]) -> None:
        self._trailing_metadata = dict(metadata)

    def trailing_metadata(self) -> dict[str, str]:
        return self._trailing_metadata

    def code(self) -> grpc.StatusCode:
        return self._code

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Metadata = ()) -> NoReturn:
        self._code = code
        found = dict(trailing_metadata).get(STATUS_DETAILS)
        if isinstance(found, bytes):
            self.status = status_pb2.Status.FromString(found)
        else:
            self.status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=details)
        raise _Aborted


class _Aborted(Exception):
    pass


def _travels(value: str) -> bool:
    """Whether gRPC, too, would carry it."""
    return len(value) <= LONGEST and value.isascii() and value.isprintable()


def _status(error: ServiceError) -> status_pb2.Status:
    return status_pb2.Status.FromString(error.status)


def _messages(answers: Iterable[pb.Answer]) -> Iterator[pb.BatchResponse]:
    part: list[pb.Answer] = []
    size = 0
    for answer in answers:
        if part and size + len(answer.message) > MESSAGE_BYTES:
            yield pb.BatchResponse(answers=part)
            part, size = [], 0
        part.append(answer)
        size += len(answer.message)
    yield pb.BatchResponse(answers=part)
