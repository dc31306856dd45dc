"""Checks every RPC before its handler: token, role, and the contract's rules. Writes one log line with the outcome."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from service_kit import ids, logs
from service_kit.access.caller import Caller, Principal, current_caller, set_caller
from service_kit.access.file import Role
from service_kit.access.registry import AccessRegistry
from service_kit.errors import (
    InvalidArgument,
    InvalidFields,
    PermissionDenied,
    ServiceError,
    TooManyRequests,
    Unauthenticated,
)
from service_kit.fair_queue import FairQueue
from service_kit.hotpath import process_tuning
from service_kit.hotpath.handler_registry import Handler, Handlers, Metadata, Server
from service_kit.idempotency import KEY
from service_kit.serving import refusals
from service_kit.serving.refusals import Context
from service_kit.validation import violations

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

WATCH = "Watch"
"""RPCs with this prefix stream and nearly always wait. They have their own limits, and do not count as running
calls."""

Parse: TypeAlias = Callable[[bytes], Any]


class Guard:
    """Calls the handler of an RPC, unary or streaming, if its token, role and request are valid.

    The metadata is checked before the message is read, so a call that is refused then costs only the memory of its
    metadata. The message is also parsed here, because a malformed one is the caller's error and must not cause a
    traceback in the log.
    """

    def __init__(
        self, registry: AccessRegistry, roles: Mapping[str, Role], queue: FairQueue, spans: "Spans | None" = None
    ) -> None:
        """`roles` maps the full method name, "/package.Service/Method", to the role that it requires."""
        self._registry = registry
        self._roles = roles
        self._queue = queue
        self._spans = spans

    def before(self, server: Server) -> Handlers:
        """Receives the servicers whose calls are guarded."""
        return Handlers(server, self._guard, self.refusal)

    def refusal(self, method: str, metadata: Metadata) -> Handler | None:
        """The handler that refuses a call because of its metadata, before its message is read. None if the call may
        continue.

        From here on, the task's caller is known, and its log lines contain it.
        """
        fields = dict(metadata)
        request_id = ids.request_id(fields.get("x-request-id"))
        logs.about(request_id=request_id)
        try:
            principal = self.principal_of(fields.get("authorization"))
            logs.about(principal=str(principal.user.id), token=principal.token.id)
            set_caller(self._caller(method, principal, request_id, fields))
            if self._queue.is_full_for(principal.user.id):
                raise TooManyRequests
        except ServiceError as error:
            return self.refusing(method, error)
        return None

    def refusing(self, method: str, failure: ServiceError) -> Handler:
        """A handler for any kind of RPC that fails without reading a message."""
        refusals.forget_frames(failure)

        async def refuse(messages: object, context: Context) -> Any:
            started = time.perf_counter()
            aborting = refusals.abort(context, failure)
            del messages, context
            refusals.record(method, failure.code.name, failure, started)
            return await aborting

        return grpc.stream_unary_rpc_method_handler(
            refuse if self._spans is None else self._spans.unary(method, refuse)
        )

    def principal_of(self, authorization: object) -> Principal:
        """The owner of the bearer token. Raises Unauthenticated."""
        scheme, _, secret = str(authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated("The token is missing. Send `authorization: Bearer dyn_pat_…`.")
        principal = self._registry.principal_of(secret.strip())
        if principal is None:
            raise TokenInvalid
        return principal

    def _caller(self, method: str, principal: Principal, request_id: str, fields: Mapping[str, Any]) -> Caller:
        role = self._roles.get(method)
        if role is None:
            raise PermissionDenied("No role may call this method.")
        key = fields.get("idempotency-key")
        if key is not None and not (isinstance(key, str) and KEY.fullmatch(key)):
            raise InvalidArgument("idempotency-key must be 1 to 255 printable ASCII characters and not blank.")
        if_match = fields.get("if-match")
        agent = str(fields.get("rest-user-agent", ""))
        return Caller(principal, role, request_id, key, str(if_match) if if_match is not None else None, agent)

    def _guard(self, method: str, handler: Handler) -> Handler:
        parse = handler.request_deserializer
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(method, handler.stream_stream, None), parse, handler.response_serializer
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(method, handler.stream_unary, None), parse, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler.unary_stream, parse), None, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary, parse), None, handler.response_serializer
        )

    def _unary(
        self, method: str, behavior: Callable[..., Awaitable[Any]], parse: Parse | None
    ) -> Callable[..., Awaitable[Any]]:
        async def answer(message: Any, context: Context) -> Any:
            user = current_caller().id
            await self._queue.enter(user)
            try:
                request = self._checked(message, parse)
                del message
                return await behavior(request, context)
            finally:
                self._queue.leave(user)

        async def guarded(message: Any, context: Context) -> Any:
            started = time.perf_counter()
            is_large = parse is not None and len(message) > process_tuning.MMAP_THRESHOLD_BYTES
            answering = answer(message, context)
            del message
            try:
                answered = await answering
            except Exception as error:
                failure = refusals.failure_of(method, error)
            except BaseException:
                refusals.record(method, "CANCELLED", None, started)
                raise
            else:
                refusals.record(method, "OK", None, started)
                return answered
            if is_large:
                process_tuning.trim_heap_soon()
            aborting = refusals.abort(context, failure)
            del context
            refusals.record(method, failure.code.name, failure, started)
            return await aborting

        return guarded if self._spans is None else self._spans.unary(method, guarded)

    def _streaming(
        self, method: str, behavior: Callable[..., AsyncIterator[Any]], parse: Parse | None
    ) -> Callable[..., AsyncIterator[Any]]:
        is_watch = method.rpartition("/")[2].startswith(WATCH)

        async def answer(message: Any, context: Context) -> AsyncGenerator[Any, None]:
            user = current_caller().id
            await self._queue.enter(user)
            is_at_work = True
            try:
                request = self._checked(message, parse)
                del message
                if is_watch:
                    self._queue.leave(user)
                    is_at_work = False
                async for response in behavior(request, context):
                    yield response
            finally:
                if is_at_work:
                    self._queue.leave(user)

        async def guarded(message: Any, context: Context) -> AsyncIterator[Any]:
            started = time.perf_counter()
            answering = answer(message, context)
            del message
            try:
                async with aclosing(answering):
                    async for response in answering:
                        yield response
            except Exception as error:
                failure = refusals.failure_of(method, error)
            except BaseException:
                refusals.record(method, "CANCELLED", None, started)
                raise
            else:
                refusals.record(method, "OK", None, started)
                return
            aborting = refusals.abort(context, failure)
            del context
            refusals.record(method, failure.code.name, failure, started)
            await aborting

        return guarded if self._spans is None else self._spans.streaming(method, guarded)

    def _checked(self, message: Any, parse: Parse | None) -> Any:
        """The checked request, or `message` itself if there is nothing to parse. Raises ServiceError if the request is
        refused."""
        caller = current_caller()
        principal = self._registry.current(caller.principal)  # a message may arrive long after its metadata
        if principal is None:
            raise TokenInvalid
        if principal is not caller.principal:
            set_caller(replace(caller, principal=principal))
        if parse is None:
            return message
        request = parsed(message, parse)
        if isinstance(request, Message) and (wrong := violations(request)):
            raise InvalidFields(wrong)
        return request


class TokenInvalid(Unauthenticated):
    def __init__(self) -> None:
        super().__init__("The token is unknown, revoked or expired.")


def parsed(message: bytes, parse: Parse) -> Any:
    """Parse a message. Raises InvalidArgument if it cannot be parsed."""
    try:
        return parse(message)
    except DecodeError:
        raise InvalidArgument("message must be of the RPC's request type.") from None
