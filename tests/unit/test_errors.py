"""A ServiceError is the same after it was sent over gRPC."""

import grpc
import pytest

from service_kit.errors import (
    STATUS_DETAILS,
    Aborted,
    InvalidFields,
    NotFound,
    ServiceError,
    sentences,
)

LIMIT = 8 << 10  # gRPC's limit for all trailers


def crossed(error: ServiceError) -> ServiceError:
    trailers = grpc.aio.Metadata((STATUS_DETAILS, error.status))
    return ServiceError.from_rpc_error(grpc.aio.AioRpcError(error.code, grpc.aio.Metadata(), trailers, error.message))


class VersionMissing(NotFound):
    reason = "VERSION_MISSING"


def test_an_error_sent_over_grpc_is_read_back_unchanged():
    read = crossed(VersionMissing("There is no such version.", version="7"))

    assert (read.code, read.reason) == (grpc.StatusCode.NOT_FOUND, "VERSION_MISSING")
    assert (read.message, read.metadata) == ("There is no such version.", {"version": "7"})


def test_an_error_sent_over_grpc_keeps_its_fields_and_retry_time():
    assert crossed(InvalidFields({"a.b[0]": "is wrong"})).fields == {"a.b[0]": "is wrong"}
    assert crossed(Aborted("Later.", retry_after=1.5)).retry_after == 1.5


def test_an_error_with_many_long_fields_is_shortened_to_fit_a_trailer():
    fields = {f"flow.{'k' * 500}[{number}]": "x" * 5000 for number in range(1000)}

    error = InvalidFields(fields)

    assert len(error.status) + len(error.message.encode()) < LIMIT
    assert crossed(error).fields
    assert error.message.endswith("; and 998 more")


def test_a_message_lists_all_of_a_few_problems():
    assert sentences({"a": "is required", "b": "cannot be blank"}) == "a is required; b cannot be blank"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
        (grpc.StatusCode.UNKNOWN, "INTERNAL"),
    ],
)
def test_an_error_from_grpc_itself_is_reported_without_its_text(code, reason):
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "ipv4:10.0.0.7:50051: refused")

    read = ServiceError.from_rpc_error(error)

    assert read.reason == reason
    assert "10.0.0.7" not in read.message
