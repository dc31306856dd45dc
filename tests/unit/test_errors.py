"""A ServiceError crosses gRPC and is the same on the other side."""

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

LIMIT = 8 << 10  # what gRPC takes of trailers in all


def crossed(error: ServiceError) -> ServiceError:
    trailers = grpc.aio.Metadata((STATUS_DETAILS, error.status))
    return ServiceError.from_rpc_error(grpc.aio.AioRpcError(error.code, grpc.aio.Metadata(), trailers, error.message))


class VersionMissing(NotFound):
    reason = "VERSION_MISSING"


def test_what_was_raised_is_what_is_read_back():
    read = crossed(VersionMissing("There is no such version.", version="7"))

    assert (read.code, read.reason) == (grpc.StatusCode.NOT_FOUND, "VERSION_MISSING")
    assert (read.message, read.metadata) == ("There is no such version.", {"version": "7"})


def test_fields_and_the_time_to_wait_cross_too():
    assert crossed(InvalidFields({"a.b[0]": "is wrong"})).fields == {"a.b[0]": "is wrong"}
    assert crossed(Aborted("Later.", retry_after=1.5)).retry_after == 1.5


def test_many_and_long_fields_still_fit_into_a_trailer():
    fields = {f"flow.{'k' * 500}[{number}]": "x" * 5000 for number in range(1000)}

    error = InvalidFields(fields)

    assert len(error.status) + len(error.message.encode()) < LIMIT
    assert crossed(error).fields
    assert error.message.endswith("; and 998 more")


def test_a_few_problems_are_all_said():
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
def test_what_grpc_itself_refuses_is_said_without_its_words(code, reason):
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "ipv4:10.0.0.7:50051: refused")

    read = ServiceError.from_rpc_error(error)

    assert read.reason == reason
    assert "10.0.0.7" not in read.message
