"""The one way to fail: a ServiceError, which crosses gRPC as google.rpc.Status and is read back from it."""

from collections.abc import Mapping

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "flowpin"
STATUS_DETAILS = "grpc-status-details-bin"
MAX_FIELD_BYTES = 2000
MAX_MESSAGE_BYTES = 600
"""What is longer is cut: both travel in trailers, encoded, and gRPC may refuse more than 8 KiB of them in all."""


class ServiceError(Exception):
    """A failure that the contract names.

    `code` is the gRPC status, `reason` a constant that callers can test, `message` a sentence for people, `fields`
    maps the path of each wrong field to a sentence, `metadata` holds what else the reason's reader needs, and
    `retry_after` is in seconds.
    """

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
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

    @property
    def status(self) -> bytes:
        """The serialized google.rpc.Status, for the trailer `grpc-status-details-bin`."""
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
    def from_rpc_error(cls, error: grpc.aio.AioRpcError) -> "ServiceError":
        """What the called service raised, or, where gRPC itself failed, the same in our words."""
        trailers = error.trailing_metadata() or ()
        details = grpc.aio.Metadata(*trailers).get(STATUS_DETAILS)  # type: ignore[arg-type]  # pairs, as it takes
        if isinstance(details, bytes):
            return cls.from_status(status_pb2.Status.FromString(details))
        return cls._from_transport(error.code())

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> "ServiceError":
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
    def _from_transport(cls, code: grpc.StatusCode) -> "ServiceError":
        # gRPC's own words name addresses and internals, so none of them are passed on.
        match code:
            case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
                return Unavailable("The service cannot be reached right now. Try again shortly.", retry_after=1)
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return DeadlineExceeded("The call took too long and was given up.")
            case grpc.StatusCode.RESOURCE_EXHAUSTED:
                return MessageTooLarge("The message is larger than the service accepts.")
        found = ServiceError("Something went wrong on our side.")
        found.code = code
        return found


class InvalidArgument(ServiceError):
    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_REQUEST"


class InvalidFields(InvalidArgument):
    """Some fields break their rule; each is named with a sentence."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(sentences(fields), fields=fields)


def sentences(fields: Mapping[str, str]) -> str:
    """Field problems as one message: as many as fit into it, and how many more there are."""
    shown: list[str] = []
    room = MAX_MESSAGE_BYTES - len("; and 1000000 more")
    for field, problem in fields.items():
        sentence = f"{_clip(field)} {_clip(problem)}"
        room -= len(sentence.encode()) + len("; ")
        if shown and room < 0:
            return f"{'; '.join(shown)}; and {len(fields) - len(shown)} more"
        shown.append(sentence)
    return "; ".join(shown)


def _clip(text: str, longest: int = 120) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


class FailedPrecondition(ServiceError):
    code = grpc.StatusCode.FAILED_PRECONDITION


class NotFound(ServiceError):
    code = grpc.StatusCode.NOT_FOUND


class ProjectNotFound(NotFound):
    reason = "PROJECT_NOT_FOUND"

    def __init__(self, project_id: object) -> None:
        super().__init__("There is no such project.", project_id=str(project_id))


class AlreadyExists(ServiceError):
    code = grpc.StatusCode.ALREADY_EXISTS


class Aborted(ServiceError):
    code = grpc.StatusCode.ABORTED


class PermissionDenied(ServiceError):
    code = grpc.StatusCode.PERMISSION_DENIED


class RoleTooSmall(PermissionDenied):
    reason = "ROLE_TOO_SMALL"

    def __init__(self, role: str, scope: str = "the project") -> None:
        super().__init__(f"This takes the role {role} in {scope}.", role=role)


class Unauthenticated(ServiceError):
    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "TOKEN_INVALID"


class ResourceExhausted(ServiceError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class TooManyRequests(ResourceExhausted):
    reason = "TOO_MANY_REQUESTS"

    def __init__(self) -> None:
        super().__init__("Too much is under way here. Nothing was changed; try again shortly.", retry_after=1)


class MessageTooLarge(ResourceExhausted):
    reason = "MESSAGE_TOO_LARGE"


class Unavailable(ServiceError):
    code = grpc.StatusCode.UNAVAILABLE
    reason = "SERVICE_UNAVAILABLE"


LOST = (
    "The connection to the database was lost. Whether a change was made is not known: "
    "repeat it with the same Idempotency-Key, or read before you repeat it."
)


class DatabaseUnavailable(Unavailable):
    reason = "DATABASE_UNAVAILABLE"

    def __init__(self, message: str = LOST) -> None:
        super().__init__(message, retry_after=1)


class DeadlineExceeded(ServiceError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
