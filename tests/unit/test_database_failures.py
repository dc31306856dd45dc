"""Each failure of the database has a correct message, and says when to try again."""

import asyncio
import ssl

import asyncpg
import grpc
import pytest

from service_kit.database_errors import describe, service_error
from service_kit.db import FAILURES, LockHeld, NoConnection
from service_kit.errors import ServiceError


def from_postgres(sqlstate: str) -> asyncpg.PostgresError:
    """The error that asyncpg makes from a response of the server."""
    return asyncpg.PostgresError.new({"C": sqlstate, "M": "what Postgres says", "S": "ERROR"})


def caused(error: Exception, cause: Exception | None) -> Exception:
    error.__cause__ = cause
    return error


NOTHING_CHANGED = {
    "55P03 lock_timeout": ("55P03", "Another change of the same thing"),
    "57014 statement_timeout": ("57014", "took too long"),
    "25P03 idle in a transaction": ("25P03", "took too long"),
    "25006 read-only": ("25006", "read-only right now"),
    "53100 disk full": ("53100", "disk of the database is full"),
    "53200 out of memory": ("53200", "run out of memory"),
    "53300 too many connections": ("53300", "no more connections"),
    "57P03 starting up": ("57P03", "starting up or shutting down"),
}
NOT_KNOWN = {
    "57P01 shut down": (from_postgres("57P01"), "ended the connection"),
    "57P02 crashed": (from_postgres("57P02"), "ended the connection"),
    "08006 connection failure": (from_postgres("08006"), "connection to the database was lost"),
    "connection lost": (asyncpg.ConnectionDoesNotExistError(""), "connection to the database was lost"),
    "connection lost with a reason from Postgres": (
        caused(asyncpg.ConnectionDoesNotExistError(""), from_postgres("57P01")), "ended the connection"
    ),
    "connection closed": (asyncpg.InterfaceError("connection is closed"), "connection to the database was lost"),
    "asyncpg is out of step": (asyncpg.InternalClientError("cannot switch to state 12"), "was lost"),
    "reset": (ConnectionResetError(), "connection to the database was lost"),
    "TLS": (ssl.SSLError(), "connection to the database was lost"),
    "no answer": (caused(TimeoutError(), None), "not answered in time"),
}  # fmt: skip
NO_CONNECTION = {
    "connection refused": (ConnectionRefusedError(), "does not answer right now"),
    "reset": (ConnectionResetError(), "does not answer right now"),
    "connect timeout": (ConnectionError("not connected after 2 s"), "does not answer right now"),
    "asyncpg is out of step": (asyncpg.InternalClientError(""), "does not answer right now"),
    "too many connections": (from_postgres("53300"), "no more connections"),
    "starting up": (from_postgres("57P03"), "starting up or shutting down"),
    "wrong password": (from_postgres("28P01"), "does not answer right now"),
    "all connections in use": (TimeoutError(), "in use"),
}


def assert_unavailable(error: ServiceError, sentence: str, *, known: bool) -> None:
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert error.retry_after
    assert sentence in error.message
    assert ("Nothing was changed" in error.message) is known
    assert ("is not known" in error.message) is not known


@pytest.mark.parametrize(("sqlstate", "sentence"), NOTHING_CHANGED.values(), ids=NOTHING_CHANGED)
def test_a_statement_refused_by_postgres_is_reported_as_nothing_changed(sqlstate: str, sentence: str):
    assert_unavailable(service_error(from_postgres(sqlstate)), sentence, known=True)


def test_a_change_that_waited_too_long_is_reported_as_nothing_changed():
    assert_unavailable(service_error(LockHeld()), "Another change of the same thing", known=True)


@pytest.mark.parametrize(("error", "sentence"), NOT_KNOWN.values(), ids=NOT_KNOWN)
def test_after_a_lost_connection_the_outcome_is_reported_as_unknown(error: Exception, sentence: str):
    assert isinstance(error, FAILURES)
    assert_unavailable(service_error(error), sentence, known=False)


@pytest.mark.parametrize(("cause", "sentence"), NO_CONNECTION.values(), ids=NO_CONNECTION)
def test_a_call_without_a_connection_is_reported_as_nothing_changed(cause: Exception, sentence: str):
    assert_unavailable(service_error(caused(NoConnection(), cause)), sentence, known=True)


@pytest.mark.parametrize("sqlstate", ["40P01", "40001"])
def test_a_serialization_failure_is_an_aborted_call_with_a_retry(sqlstate: str):
    error = service_error(from_postgres(sqlstate))

    assert (error.code, error.retry_after) == (grpc.StatusCode.ABORTED, 1)


def test_an_unexpected_database_error_is_internal():
    unexpected = [
        from_postgres("23505"),
        from_postgres("42601"),
        asyncpg.exceptions._base.DataError("a str is expected"),
    ]

    assert {service_error(error).code for error in unexpected} == {grpc.StatusCode.INTERNAL}


def test_the_log_of_a_database_failure_has_its_class_and_code_and_no_data():
    assert describe(from_postgres("57014")) == "QueryCanceledError 57014"
    assert describe(caused(NoConnection(), from_postgres("53300"))) == "NoConnection TooManyConnectionsError 53300"
    assert describe(caused(NoConnection(), TimeoutError())) == "NoConnection TimeoutError()"


async def test_a_database_timeout_is_reported_as_not_answered_in_time():
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)

    assert "not answered in time" in service_error(caught.value).message
