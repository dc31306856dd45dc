"""Serves batches of RPCs: each call passes the guard by itself, and is answered as soon as it is done.

It serves the batches of `rpc_batches`, which states the gain. To remove it, do not add it to the server. Callers then
get UNIMPLEMENTED and send single calls.
"""

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, NoReturn, cast

import grpc
import structlog
from google.rpc import code_pb2, status_pb2

from service_kit.errors import STATUS_DETAILS, InvalidArgument, ServiceError, Unauthenticated
from service_kit.hotpath.handler_registry import Handler, Handlers, Metadata
from service_kit.hotpath.rpc_batches import MOST_CALLS
from service_kit.pb.flowpin.batch.v1 import batch_pb2 as pb
from service_kit.pb.flowpin.batch.v1.batch_pb2_grpc import BatchServiceServicer, add_BatchServiceServicer_to_server
from service_kit.serving import refusals
from service_kit.serving.guard import Guard, parsed
from service_kit.serving.refusals import Context

MESSAGE_BYTES = 1 << 20
"""Size at which answers are sent. Further answers go into the next message."""

LONGEST = 8 << 10
"""Maximum bytes of a metadata value, about gRPC's own limit."""

log = structlog.get_logger()


class BatchServicer(BatchServiceServicer):
    def __init__(self, guard: Guard, guarded: Handlers) -> None:
        """`guarded` has the RPCs that a batch may call."""
        self._guard = guard
        self._guarded = guarded

    def add_to(self, server: Any) -> None:
        add_BatchServiceServicer_to_server(
            self, cast("grpc.aio.Server", Handlers(server, self._handler, self._refusal))
        )

    def _refusal(self, method: str, metadata: Metadata) -> Handler | None:
        """The handler that refuses a batch before reading it, if none of its authorizations is valid."""
        problem: ServiceError = Unauthenticated(
            "The batch has no token. Send each `authorization` of its calls with it."
        )
        for authorization in _authorizations(metadata):
            try:
                self._guard.principal_of(authorization)
            except ServiceError as error:
                problem = error
            else:
                return None
        return self._guard.refusing(method, problem)

    def _handler(self, method: str, handler: Handler) -> Handler:
        """The generated handler, with parsing and error handling as in the guard."""

        async def respond(message: bytes, context: Context) -> None:
            request = parsed(message, handler.request_deserializer)
            del message
            async with aclosing(self.SendBatch(request, context)) as responses:
                async for response in responses:
                    await context.write(response)

        async def guarded(message: bytes, context: Context) -> None:
            started = time.perf_counter()
            responding = respond(message, context)
            del message
            try:
                await responding
            except Exception as error:
                failure = refusals.failure_of(method, error)
            else:
                return
            aborting = refusals.abort(context, failure)
            del context
            refusals.record(method, failure.code.name, failure, started)
            await aborting

        return grpc.unary_stream_rpc_method_handler(guarded, None, handler.response_serializer)

    async def SendBatch(  # noqa: N802 - the contract's name
        self, request: pb.SendBatchRequest, context: Context
    ) -> AsyncGenerator[pb.SendBatchResponse, None]:
        if len(request.calls) > MOST_CALLS:
            raise InvalidArgument(f"There are {len(request.calls)} calls; a batch takes {MOST_CALLS}.")
        authorizations = _authorizations(context.invocation_metadata() or ())
        done: list[pb.Answer] = []
        some_done = asyncio.Event()

        async def answer(place: int, call: pb.Call) -> None:
            found = await self._answer(call, authorizations)
            found.call = place
            done.append(found)
            some_done.set()

        # Each call has its own context, because a context variable holds its caller.
        tasks = [
            asyncio.create_task(answer(place, call), context=contextvars.Context())
            for place, call in enumerate(request.calls)
        ]
        try:
            left = len(tasks)
            while left:
                await some_done.wait()
                await asyncio.sleep(0)  # answers that are ready in the same turn of the event loop are added
                some_done.clear()
                answers, done[:] = done[:], ()
                left -= len(answers)
                for message in _messages(answers):
                    yield message
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, call: pb.Call, authorizations: Sequence[str | bytes]) -> pb.Answer:
        handler = self._guarded.find(call.method)
        if handler is None or handler.unary_unary is None:
            return pb.Answer(error=_status(MethodUnknown(call.method)))
        if any(not _travels(value) for value in call.metadata.values()):
            return pb.Answer(error=_status(InvalidArgument(f"metadata must be printable ASCII, {LONGEST} at most.")))
        known = 0 <= call.authorization < len(authorizations)
        metadata = {**call.metadata, "authorization": authorizations[call.authorization] if known else ""}
        context = CallContext(tuple(metadata.items()))
        refusing = self._guard.refusal(call.method, context.invocation_metadata())
        behavior = handler.unary_unary if refusing is None else refusing.stream_unary
        try:
            response = await behavior(call.message, context)
            message = handler.response_serializer(response)
        except _Aborted:
            return pb.Answer(error=context.status)
        except Exception as error:
            log.error("rpc_broke", rpc=call.method, exc_info=error)
            return pb.Answer(error=_status(ServiceError("An internal error occurred.")))
        return pb.Answer(message=message, trailing_metadata=context.trailing_metadata())


def _authorizations(metadata: Iterable[tuple[str, str | bytes]]) -> list[str | bytes]:
    return [value for name, value in metadata if name == "authorization"]


class MethodUnknown(ServiceError):
    code = grpc.StatusCode.UNIMPLEMENTED
    reason = "METHOD_UNKNOWN"

    def __init__(self, method: str) -> None:
        super().__init__("The service has no unary RPC of this name.", method=method)


class CallContext:
    """The part of grpc.aio.ServicerContext that handlers and their wrappers use."""

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

    def time_remaining(self) -> float | None:
        """Unknown, because the batch has one deadline for all its calls."""
        return None

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
    """Whether gRPC would accept the value as metadata."""
    return len(value) <= LONGEST and value.isascii() and value.isprintable()


def _status(error: ServiceError) -> status_pb2.Status:
    return status_pb2.Status.FromString(error.status)


def _messages(answers: Iterable[pb.Answer]) -> Iterator[pb.SendBatchResponse]:
    part: list[pb.Answer] = []
    size = 0
    for answer in answers:
        if part and size + len(answer.message) > MESSAGE_BYTES:
            yield pb.SendBatchResponse(answers=part)
            part, size = [], 0
        part.append(answer)
        size += len(answer.message)
    yield pb.SendBatchResponse(answers=part)
