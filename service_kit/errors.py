"""Base classes of all errors for callers. A ServiceError is sent over gRPC as google.rpc.Status and read back from it.

gRPC and protobuf are imported only where they are used. Worker processes raise these errors too, and do not need 20 MB
of libraries otherwise.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from service_kit.problems import Problems

if TYPE_CHECKING:
    import grpc
    from google.rpc import status_pb2

DOMAIN = "flowpin"
STATUS_DETAILS = "grpc-status-details-bin"
MAX_FIELD_BYTES = 2000
MAX_MESSAGE_BYTES = 600
"""Longer messages are cut. Both limits exist because errors are sent in trailers, and gRPC may refuse more than 8 KiB
of trailers."""


class _StatusCode:
    """The name of a class's gRPC status code."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, error: object, kind: type | None = None) -> "grpc.StatusCode":
        import grpc

        return grpc.StatusCode[self._name]


def _status_code(name: str) -> Any:
    return _StatusCode(name)


class ServiceError(Exception):
    """A failure that the contract names.

    `code` is the gRPC status, `reason` a constant that callers can test, and `message` a sentence for people. `fields`
    maps the path of each invalid field to a sentence. `metadata` has further facts for the reason, and `retry_after` is
    in seconds.
    """

    code: "grpc.StatusCode" = _status_code("INTERNAL")
    reason: str = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message)
        self.message = message.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
        self.fields: Mapping[str, str] = fields or {}
        self.metadata: Mapping[str, str] = metadata
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Callable[..., "ServiceError"], tuple[Any, ...]]:
        # Pickled by its state, because subclasses have other parameters.
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def status(self) -> bytes:
        """The serialized google.rpc.Status, for the trailer `grpc-status-details-bin`."""
        from google.protobuf.duration_pb2 import Duration
        from google.rpc import code_pb2, error_details_pb2, status_pb2

        status = status_pb2.Status(code=code_pb2.Code.Value(self.code.name), message=self.message)
        info = error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)
        status.details.add().Pack(info)
        if self.fields:
            bad_request = error_details_pb2.BadRequest()
            for field, description in self.fields.items():
                if bad_request.ByteSize() > MAX_FIELD_BYTES:
                    break
                bad_request.field_violations.add(field=_clip(field), description=_clip(description))
            status.details.add().Pack(bad_request)
        if self.retry_after is not None:
            delay = Duration()
            delay.FromMilliseconds(int(self.retry_after * 1000))
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        return bytes(status.SerializeToString())

    @classmethod
    def from_rpc_error(cls, error: "grpc.aio.AioRpcError") -> "ServiceError":
        """The error that the called service raised. For a failure of gRPC itself, the matching ServiceError."""
        import grpc
        from google.rpc import status_pb2

        trailers = error.trailing_metadata() or ()
        details = grpc.aio.Metadata(*trailers).get(STATUS_DETAILS)  # type: ignore[arg-type]  # pairs are accepted
        if isinstance(details, bytes):
            return cls.from_status(status_pb2.Status.FromString(details))
        return cls._from_transport(error.code())

    @classmethod
    def from_status(cls, status: "status_pb2.Status") -> "ServiceError":
        import grpc
        from google.rpc import code_pb2, error_details_pb2

        found = ServiceError(status.message)
        found.code = getattr(grpc.StatusCode, code_pb2.Code.Name(status.code))
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                found.reason, found.metadata = info.reason, dict(info.metadata)
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                violations = error_details_pb2.BadRequest.FromString(detail.value).field_violations
                found.fields = {violation.field: violation.description for violation in violations}
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                found.retry_after = delay.ToMilliseconds() / 1000
        return found

    @classmethod
    def _from_transport(cls, code: "grpc.StatusCode") -> "ServiceError":
        # gRPC's own messages contain addresses and internals, so they are not passed on.
        match code.name:
            case "UNAVAILABLE" | "CANCELLED":
                return Unreachable()
            case "DEADLINE_EXCEEDED":
                return DeadlineExceeded()
            case "RESOURCE_EXHAUSTED":
                return MessageTooLarge("The message is larger than the service accepts.")
        found = ServiceError("An internal error occurred.")
        found.code = code
        return found


def _restored(kind: type[ServiceError], args: tuple[Any, ...], state: dict[str, Any]) -> ServiceError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InvalidArgument(ServiceError):
    code = _status_code("INVALID_ARGUMENT")
    reason = "INVALID_REQUEST"


class InvalidFields(InvalidArgument):
    """Some fields are invalid. `fields` has a sentence for each."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(sentences(fields), fields=fields)


def sentences(fields: Mapping[str, str]) -> str:
    """Field problems as one message: as many as fit, and the number of others."""
    shown: list[str] = []
    count = len(fields) + (fields.more if isinstance(fields, Problems) else 0)
    room = MAX_MESSAGE_BYTES - len("; and 1000000 more")
    for field, problem in fields.items():
        sentence = f"{_clip(field)} {_clip(problem)}"
        room -= len(sentence.encode()) + len("; ")
        if shown and room < 0:
            break
        shown.append(sentence)
    more = [f"and {count - len(shown)} more"] if count > len(shown) else []
    return "; ".join([*shown, *more])


def _clip(text: str, longest: int = 120) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


class DocumentTooComplex(InvalidArgument):
    """A document exceeds a limit of values, differences, CPU time or memory."""

    reason = "DOCUMENT_TOO_COMPLEX"

    def __init__(self, excess: str) -> None:
        """`excess` is the predicate of the message, such as `holds more than 1,000,000 values`."""
        super().__init__(f"The document is too complex: it {excess}.")


class FailedPrecondition(ServiceError):
    code = _status_code("FAILED_PRECONDITION")


class NotFound(ServiceError):
    code = _status_code("NOT_FOUND")


class ProjectNotFound(NotFound):
    reason = "PROJECT_NOT_FOUND"

    def __init__(self, project_id: object) -> None:
        super().__init__("Project not found.", project_id=str(project_id))


class AlreadyExists(ServiceError):
    code = _status_code("ALREADY_EXISTS")


class Aborted(ServiceError):
    code = _status_code("ABORTED")


class PermissionDenied(ServiceError):
    code = _status_code("PERMISSION_DENIED")


class InsufficientRole(PermissionDenied):
    reason = "ROLE_TOO_SMALL"

    def __init__(self, role: str, scope: str = "the project") -> None:
        super().__init__(f"This needs the role {role} in {scope}.", role=role)


class Unimplemented(ServiceError):
    code = _status_code("UNIMPLEMENTED")
    reason = "NOT_IMPLEMENTED"


class Unauthenticated(ServiceError):
    code = _status_code("UNAUTHENTICATED")
    reason = "TOKEN_INVALID"


class ResourceExhausted(ServiceError):
    code = _status_code("RESOURCE_EXHAUSTED")


class TooManyRequests(ResourceExhausted):
    reason = "TOO_MANY_REQUESTS"

    def __init__(self) -> None:
        super().__init__("Too many calls are in progress. Nothing was changed. Try again shortly.", retry_after=1)


class MessageTooLarge(ResourceExhausted):
    reason = "MESSAGE_TOO_LARGE"


class Unavailable(ServiceError):
    code = _status_code("UNAVAILABLE")
    reason = "SERVICE_UNAVAILABLE"


class Unreachable(Unavailable):
    """gRPC itself failed: the service has not answered, and may never have seen the call."""

    def __init__(self, message: str = "The service cannot be reached right now. Try again shortly.") -> None:
        super().__init__(message, retry_after=1)


class DatabaseUnavailable(Unavailable):
    reason = "DATABASE_UNAVAILABLE"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=1)


class DeadlineExceeded(ServiceError):
    code = _status_code("DEADLINE_EXCEEDED")
    reason = "DEADLINE_EXCEEDED"

    def __init__(self, message: str = "The call took too long and was canceled.") -> None:
        super().__init__(message)
