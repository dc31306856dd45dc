"""The headers that the gateway reads, and its error answers."""

import grpc
import pytest

from service_kit.errors import InvalidArgument, InvalidFields, ServiceError
from service_kit.http import errors, headers


@pytest.mark.parametrize("given", [None, "", "Basic abc", "Bearer", "dyn_pat_1", "Bearer é", "Bearer a\tb"])
def test_a_call_needs_a_bearer_token(given):
    with pytest.raises(errors.TokenMissing):
        headers.authorization({} if given is None else {"Authorization": given})


def test_the_authorization_is_forwarded_unchanged():
    assert headers.authorization({"Authorization": "bEARER  x"}) == "bEARER  x"


@pytest.mark.parametrize("given", ["", "  ", "k" * 256, "é", "a\x00", "a\n"])
def test_an_invalid_idempotency_key_is_refused(given):
    with pytest.raises(InvalidArgument) as caught:
        list(headers.passed_on({"Idempotency-Key": given}))

    assert list(caught.value.fields) == ["Idempotency-Key"]


@pytest.mark.parametrize("given", ["k", "k" * 255, "one two", "~!"])
def test_a_valid_idempotency_key_is_accepted(given):
    assert list(headers.passed_on({"Idempotency-Key": given})) == [("idempotency-key", given)]


@pytest.mark.parametrize(
    ("given", "etag", "current"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"b", "a"', '"a"', True),
        ('"b",W/"a"', '"a"', True),
        ("*", '"a"', True),
        (" * ", '"a"', True),
        ('"b"', '"a"', False),
        ("a", '"a"', False),
        ('"a,b"', '"b"', False),
        ("", '"a"', False),
        (None, '"a"', False),
    ],
)
def test_if_none_match_compares_weakly(given, etag, current):
    assert headers.is_current({} if given is None else {"If-None-Match": given}, etag) is current


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("INVALID_ARGUMENT", 400, "bad_request"),
        ("FAILED_PRECONDITION", 400, "bad_request"),
        ("OUT_OF_RANGE", 400, "bad_request"),
        ("UNAUTHENTICATED", 401, "unauthorized"),
        ("PERMISSION_DENIED", 403, "forbidden"),
        ("NOT_FOUND", 404, "not_found"),
        ("ALREADY_EXISTS", 409, "conflict"),
        ("ABORTED", 409, "conflict"),
        ("RESOURCE_EXHAUSTED", 429, "too_many_requests"),
        ("UNAVAILABLE", 503, "unavailable"),
        ("DEADLINE_EXCEEDED", 504, "timeout"),
        ("INTERNAL", 500, "internal"),
        ("UNKNOWN", 500, "internal"),
        ("UNIMPLEMENTED", 500, "internal"),
        ("DATA_LOSS", 500, "internal"),
        ("CANCELLED", 500, "internal"),
    ],
)
def test_each_grpc_code_has_its_http_status(code, status, name):
    answer = errors.of_service(failure(grpc.StatusCode[code]))

    assert answer.status == status
    assert f'"code":"{name}"'.encode() in answer.body


@pytest.mark.parametrize(
    ("code", "retry_after", "header"),
    [
        ("UNAVAILABLE", None, "1"),
        ("UNAVAILABLE", 0.2, "1"),
        ("UNAVAILABLE", 2.1, "3"),
        ("RESOURCE_EXHAUSTED", None, "1"),
        ("ABORTED", 1.0, "1"),
        ("ABORTED", None, None),
        ("NOT_FOUND", 1.0, None),
    ],
)
def test_retry_after_is_in_whole_seconds(code, retry_after, header):
    answer = errors.of_service(failure(grpc.StatusCode[code], retry_after))

    assert answer.headers.get("Retry-After") == header


def test_an_error_about_a_field_named_reason_keeps_its_reason():
    body = errors.of_service(InvalidFields({"reason": "is too long"})).body

    assert b'"message":"reason is too long"' in body
    assert b'"details":{"reason":"INVALID_REQUEST"}' in body


def failure(code: grpc.StatusCode, retry_after: float | None = None) -> ServiceError:
    error = ServiceError("It failed.", retry_after=retry_after)
    error.code = code
    return error
