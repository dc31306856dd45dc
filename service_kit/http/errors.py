"""Errors over HTTP: one table from gRPC codes, one envelope."""

import math
from collections.abc import Collection, Mapping

import msgspec
from aiohttp import web
from grpc import StatusCode

from service_kit.errors import InvalidArgument, ServiceError, Unauthenticated

HARDENED = {"X-Content-Type-Options": "nosniff"}
"""Headers of every answer. Browsers must not guess the type of a body."""
INTERNAL = (500, "internal")
TOO_LARGE = (413, "payload_too_large")
NOT_THERE_YET = (501, "not_implemented")

ANSWERS = {
    StatusCode.INVALID_ARGUMENT: (400, "bad_request"),
    StatusCode.FAILED_PRECONDITION: (400, "bad_request"),
    StatusCode.OUT_OF_RANGE: (400, "bad_request"),
    StatusCode.UNAUTHENTICATED: (401, "unauthorized"),
    StatusCode.PERMISSION_DENIED: (403, "forbidden"),
    StatusCode.NOT_FOUND: (404, "not_found"),
    StatusCode.ALREADY_EXISTS: (409, "conflict"),
    StatusCode.ABORTED: (409, "conflict"),
    StatusCode.RESOURCE_EXHAUSTED: (429, "too_many_requests"),
    StatusCode.UNAVAILABLE: (503, "unavailable"),
    StatusCode.DEADLINE_EXCEEDED: (504, "timeout"),
}
REASONS_OF_SIZE = ("CONFIG_TOO_LARGE", "FLOW_TOO_LARGE", "MESSAGE_TOO_LARGE")
NOT_IMPLEMENTED = "NOT_IMPLEMENTED"
"""The reason of parts of the contract that are not implemented yet."""

HTTP_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


class TokenMissing(Unauthenticated):
    def __init__(self) -> None:
        super().__init__("The token is missing. Send `Authorization: Bearer dyn_pat_…`.")


def answer_to(code: StatusCode, reason: str) -> tuple[int, str]:
    """The HTTP status and the envelope's code."""
    if code is StatusCode.RESOURCE_EXHAUSTED and reason in REASONS_OF_SIZE:
        return TOO_LARGE
    if code is StatusCode.UNIMPLEMENTED and reason == NOT_IMPLEMENTED:  # gRPC's own is from an older service
        return NOT_THERE_YET
    return ANSWERS.get(code, INTERNAL)


def of_service(error: ServiceError, in_path: Collection[str] = ()) -> web.Response:
    """The answer to a failed call. `in_path` are the fields that are path variables."""
    wrong_in_path = {field: sentence for field, sentence in error.fields.items() if field in in_path}
    if error.code is StatusCode.INVALID_ARGUMENT and wrong_in_path:
        # A malformed id in the path is a 404, even if other fields are invalid too.
        return envelope(404, "not_found", "Not found.", {**wrong_in_path, "reason": error.reason})
    status, code = answer_to(error.code, error.reason)
    if (status, code) == INTERNAL:
        return internal()
    # If a field has the same name as a later key, its sentence is lost here, but the message contains it.
    details = {**error.fields, **error.metadata, "reason": error.reason}
    return envelope(status, code, error.message, details, _headers(status, error.retry_after))


def of_http(error: web.HTTPException) -> web.Response:
    """The envelope for requests that aiohttp itself refuses: an unknown path or method, or a body over the limit."""
    code = HTTP_CODES.get(error.status, "bad_request" if error.status < 500 else "internal")
    message = {
        404: "There is nothing at this path.",
        405: "This path does not take this method.",
        408: "The body took too long to arrive.",
        413: "The body is over the size limit.",
        415: "Content-Encoding must be gzip, deflate or identity.",
    }.get(error.status, error.reason)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return envelope(error.status, code, message, headers=headers)


def internal() -> web.Response:
    return envelope(*INTERNAL, "An internal error occurred. The logs say what, under this X-Request-Id.")


def head_too_large() -> web.Response:
    response = envelope(431, "bad_request", "The head of the request is too large.")
    response.headers["Connection"] = "close"
    return response


def as_bytes(response: web.Response) -> bytes:
    """The whole answer as bytes. The caller replaces `{id}` by the request's id."""
    fields = {**response.headers, **HARDENED, "Cache-Control": "private, no-cache", "X-Request-Id": "{id}"}
    body = response.body
    if not isinstance(body, bytes):
        raise TypeError("an error's body is bytes")
    lines = [f"HTTP/1.1 {response.status} {response.reason}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def bad_header(name: str, rule: str) -> InvalidArgument:
    return InvalidArgument(f"{name} {rule}.", fields={name: rule})


def envelope(
    status: int,
    code: str,
    message: str,
    details: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    error = {"code": code, "message": message} | ({"details": details} if details else {})
    return web.Response(
        status=status, body=msgspec.json.encode({"error": error}), content_type="application/json", headers=headers
    )


def _headers(status: int, retry_after: float | None) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status in (429, 503) or (status == 409 and retry_after is not None):
        return {"Retry-After": str(max(1, math.ceil(retry_after or 1)))}
    return {}
