"""RPCs without a token, health and reflection, with limits for the size of messages and the time to send them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from grpc.aio import EOF  # type: ignore[attr-defined]  # the stubs leave it out

from service_kit.errors import DeadlineExceeded, InvalidArgument, ServiceError
from service_kit.hotpath import process_tuning
from service_kit.hotpath.handler_registry import Handler
from service_kit.serving import refusals
from service_kit.serving.guard import parsed
from service_kit.serving.refusals import Context

MOST_BYTES = 1024
"""Maximum bytes of a message, which is kept while its RPC lasts. Names of services and symbols have about 100 bytes."""
READ_SECONDS = 5.0
"""How long a message may take to arrive. gRPC keeps incomplete messages, even above `MOST_BYTES`."""


def bounded(_method: str, handler: Handler) -> Handler:
    """The handler with its messages as a stream, for all kinds of RPC, so that reading them can be canceled."""
    parse, serialize = handler.request_deserializer, handler.response_serializer

    async def unary(context: Context) -> Any:
        return await handler.unary_unary(parsed(await _only(context), parse), context)

    async def watching(context: Context) -> None:
        await handler.unary_stream(parsed(await _only(context), parse), context)

    async def requests(context: Context) -> AsyncIterator[Any]:
        while (message := await _read(context)) is not None:
            yield parsed(message, parse)

    async def stream(context: Context) -> None:
        async with aclosing(handler.stream_stream(requests(context), context)) as responses:
            async for response in responses:
                await context.write(response)

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(_failing(stream), None, serialize)
    if handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(_failing(watching), None, serialize)
    return grpc.stream_unary_rpc_method_handler(_failing(unary), None, serialize)


async def _only(context: Context) -> bytes:
    message = await _read(context)
    if message is None:
        raise InvalidArgument("A message must be sent.")
    return message


async def _read(context: Context) -> bytes | None:
    """The next message, or None at the end. Raises DeadlineExceeded or InvalidArgument."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            message = await context.read()
    except TimeoutError:
        process_tuning.trim_heap_soon()
        raise DeadlineExceeded(f"A message must arrive within {READ_SECONDS:.0f} seconds.") from None
    if message is EOF:
        return None
    if len(message) > MOST_BYTES:
        process_tuning.trim_heap_soon()
        raise InvalidArgument(f"A message must have {MOST_BYTES} bytes at most.")
    return bytes(message)


def _failing(behavior: Callable[[Context], Awaitable[Any]]) -> Callable[[object, Context], Awaitable[Any]]:
    """Fail the RPC without logging, because any client can cause such a failure."""

    async def answer(messages: object, context: Context) -> Any:
        try:
            return await behavior(context)
        except ServiceError as error:
            failure = error
        refusals.forget_frames(failure)
        aborting = refusals.abort(context, failure)
        del messages, context
        return await aborting

    return answer
