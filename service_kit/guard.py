"""What stands before every RPC: authentication, the role table, the contract's own checks, errors, one log line."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message

from service_kit import auth, db, logs, metrics
from service_kit.access import Role
from service_kit.admission import Admission
from service_kit.directory import Directory
from service_kit.errors import (
    STATUS_DETAILS,
    InvalidArgument,
    InvalidFields,
    PermissionDenied,
    ServiceError,
    TooManyRequests,
    Unauthenticated,
)
from service_kit.idempotency import KEY
from service_kit.ids import new_id
from service_kit.validation import violations

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = Any  # grpc's stubs type only the handlers of its synchronous server
Wrap: TypeAlias = Callable[[str, Handler], Handler]

log = structlog.get_logger()


class Guard:
    """Lets a call through to its handler once its token, role and request have passed; unary and streaming alike."""

    def __init__(
        self, directory: Directory, roles: Mapping[str, Role], admission: Admission, spans: "Spans | None" = None
    ) -> None:
        """`roles` maps the full method name, "/package.Service/Method", to the role it takes."""
        self._directory = directory
        self._roles = roles
        self._admission = admission
        self._spans = spans

    def before(self, server: "Server") -> "Handlers":
        """Where servicers are added whose calls are to be guarded."""
        return Handlers(server, self._guard)

    def _guard(self, method: str, handler: Handler) -> Handler:
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(method, handler.stream_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(method, handler.stream_unary), handler.request_deserializer, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, method: str, behavior: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def guarded(request: Any, context: Context) -> Any:
            started = time.perf_counter()
            try:
                self._admission.enter()
            except TooManyRequests as error:
                await _fail(method, error, started, context)
            try:
                self._check(method, request, context)
                answer = await behavior(request, context)
            except BaseException as error:
                await _fail(method, error, started, context)
            finally:
                self._admission.leave()
            _record(method, "OK", None, started)
            return answer

        return guarded if self._spans is None else self._spans.unary(method, guarded)

    def _streaming(self, method: str, behavior: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
            started = time.perf_counter()
            try:
                self._admission.enter()
            except TooManyRequests as error:
                await _fail(method, error, started, context)
            try:
                self._check(method, request, context)
                async for response in behavior(request, context):
                    yield response
            except BaseException as error:
                await _fail(method, error, started, context)
            finally:
                self._admission.leave()
            _record(method, "OK", None, started)

        return guarded if self._spans is None else self._spans.streaming(method, guarded)

    def _check(self, method: str, request: Any, context: Context) -> None:
        """Raises the ServiceError that the call is refused with. From here on its lines in the log say whose it is."""
        metadata = dict(context.invocation_metadata() or ())
        request_id = str(metadata.get("x-request-id") or new_id().hex)
        logs.about(request_id=request_id)
        auth.set_caller(self._caller(method, request_id, metadata))
        if isinstance(request, Message) and (wrong := violations(request)):
            raise InvalidFields(wrong)

    def _caller(self, method: str, request_id: str, metadata: Mapping[str, str | bytes]) -> auth.Caller:
        scheme, _, secret = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated("The call carries no token. Send `authorization: Bearer dyn_pat_…`.")
        principal = self._directory.principal_of(secret.strip())
        if principal is None:
            raise Unauthenticated("The token is not known, or was revoked, or has expired.")
        logs.about(principal=str(principal.user.id), token=principal.token.id)
        role = self._roles.get(method)
        if role is None:
            raise PermissionDenied("Nobody may call this.")
        key = metadata.get("idempotency-key")
        if key is not None and not (isinstance(key, str) and KEY.fullmatch(key)):
            raise InvalidArgument("idempotency-key must be 1 to 255 printable ASCII characters and not blank.")
        if_match = metadata.get("if-match")
        return auth.Caller(principal, role, request_id, key, str(if_match) if if_match is not None else None)


async def _fail(method: str, error: BaseException, started: float, context: Context) -> NoReturn:
    """Say what `error` means, in the log and to the caller."""
    failure = _failure(method, error)
    if failure is None:
        _record(method, "CANCELLED", None, started)
        try:
            raise error
        finally:
            del error  # or it and this frame would keep each other
    _record(method, failure.code.name, failure, started)
    await context.abort(failure.code, failure.message, ((STATUS_DETAILS, failure.status),))


def _failure(method: str, error: BaseException) -> ServiceError | None:
    """None: nobody waits for an answer any more."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, db.FAILURES):
        log.warning("database_failed", rpc=method, error=db.describe(error))
        return db.service_error(error)
    if isinstance(error, Exception):
        log.error("rpc_broke", rpc=method, exc_info=error)
        return ServiceError("Something went wrong on our side.")
    return None


def _record(method: str, code: str, failure: ServiceError | None, started: float) -> None:
    seconds = time.perf_counter() - started
    metrics.count_rpc(method, code, seconds)
    milliseconds = round(seconds * 1000, 2)
    if failure is None:
        log.info("rpc", rpc=method, code=code, duration_ms=milliseconds)
    else:
        log.info("rpc", rpc=method, code=code, reason=failure.reason, duration_ms=milliseconds)


class Server(Protocol):
    """What handlers are added to: one grpc.aio.Server, or several."""

    def add_generic_rpc_handlers(self, handlers: Iterable[Handler], /) -> None: ...


class Handlers:
    """A server's handlers, each wrapped, and found by name alone: what generated code adds servicers to.

    grpc.aio (1.85) also keeps a call pending for each method that is registered singly, and waits for all of them on
    every call: with the 40 methods here some 20 µs of an empty call's 250, and an interceptor takes as much again.
    """

    def __init__(self, server: "Server", wrap: Wrap = lambda method, handler: handler) -> None:
        self._server = server
        self._wrap = wrap
        self._added: list[_Wrapped] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[Handler]) -> None:
        added = [_Wrapped(handler, self._wrap) for handler in handlers]
        self._server.add_generic_rpc_handlers(added)
        self._added += added

    def find(self, method: str) -> Handler | None:
        """The wrapped handler of an RPC's full name, "/package.Service/Method"."""
        return next((handler for each in self._added if (handler := each.find(method))), None)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """The same handlers once more."""


class _Wrapped(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs only
    def __init__(self, inner: Handler, wrap: Wrap) -> None:
        self._inner = inner
        self._wrap = wrap
        self._known: dict[str, Handler] = {}

    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        return self.find(details.method)

    def find(self, method: str) -> Handler | None:
        handler = self._known.get(method)
        if handler is None:
            found = self._inner.service(_Details(method, ()))
            if found is None:
                return None
            handler = self._known[method] = self._wrap(method, found)
        return handler


class _Details(NamedTuple):
    """What generated code reads of a grpc.HandlerCallDetails, and a little more."""

    method: str
    invocation_metadata: tuple[()]
