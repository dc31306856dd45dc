"""Maps failures of the database to errors for callers and to log entries."""

import asyncpg

from service_kit.db import LockHeld, NoConnection
from service_kit.errors import Aborted, DatabaseUnavailable, InvalidArgument, ServiceError


def describe(error: Exception) -> str:
    """Describe one of FAILURES for the log. Its message is left out, because it can quote a caller's data."""
    if isinstance(error, NoConnection):
        name = type(error).__name__
        return f"{name} {describe(error.__cause__)}" if isinstance(error.__cause__, Exception) else name
    if isinstance(error, OSError):
        return repr(error)
    words = (type(error).__name__, getattr(error, "sqlstate", None), getattr(error, "constraint_name", None))
    return " ".join(word for word in words if word)


_UNCHANGED = "Nothing was changed. Try again shortly."
_UNKNOWN = (
    "It is not known whether a change was made. Repeat it with the same Idempotency-Key, or read before you repeat it."
)
_LOCK_HELD = f"Another change of the same thing has not ended in time. {_UNCHANGED}"
_LOST = f"The connection to the database was lost. {_UNKNOWN}"
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.TooManyConnectionsError, f"The database accepts no more connections right now. {_UNCHANGED}"),
    (asyncpg.CannotConnectNowError, f"The database is starting up or shutting down. {_UNCHANGED}"),
    (asyncpg.LockNotAvailableError, _LOCK_HELD),
    (asyncpg.QueryCanceledError, f"The database took too long, and the call was canceled. {_UNCHANGED}"),
    (asyncpg.IdleInTransactionSessionTimeoutError, f"The change took too long and was canceled. {_UNCHANGED}"),
    (asyncpg.ReadOnlySQLTransactionError, f"The database is read-only right now. {_UNCHANGED}"),
    (asyncpg.DiskFullError, f"The disk of the database is full. {_UNCHANGED}"),
    (asyncpg.InsufficientResourcesError, f"The database has run out of memory or another resource. {_UNCHANGED}"),
    (asyncpg.InvalidCachedStatementError, f"The schema of the database has just changed. {_UNCHANGED}"),
    (asyncpg.OperatorInterventionError, f"The database has ended the connection. {_UNKNOWN}"),
    (asyncpg.PostgresConnectionError, _LOST),
    (asyncpg.InterfaceError, _LOST),
    (asyncpg.InternalClientError, _LOST),
    (TimeoutError, f"The database has not answered in time. {_UNKNOWN}"),
    (OSError, _LOST),
)
"""Errors for failures that may not happen again on a second try. The first matching row is used."""


def service_error(error: Exception) -> ServiceError:
    """The caller's error for one of FAILURES."""
    match error:
        case LockHeld():
            return DatabaseUnavailable(_LOCK_HELD)
        case NoConnection():
            return DatabaseUnavailable(_why_none(error.__cause__))
        case asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            return Aborted("Another change was made meanwhile. Nothing was changed. Try again.", retry_after=1)
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError() | asyncpg.InvalidSchemaNameError():
            return DatabaseUnavailable(
                "The schema of the database is older than this service. Run its migrations first."
            )
        case asyncpg.DataError():
            # Text that Postgres cannot store: a NUL, or JSON that only Postgres refuses.
            return InvalidArgument("The request contains text that cannot be stored.")
    # asyncpg stores the last error of Postgres before the connection closed as the cause of its own error.
    for each in (error.__cause__, error):
        if sentence := _sentence(each):
            return DatabaseUnavailable(sentence)
    return ServiceError("An internal error occurred.")


def _sentence(error: BaseException | None) -> str | None:
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return None  # the arguments of a statement do not match its types, which is a bug of the service
    return next((sentence for kind, sentence in _SENTENCES if isinstance(error, kind)), None)


def _why_none(cause: BaseException | None) -> str:
    if isinstance(cause, TimeoutError):
        return f"All connections to the database are in use. {_UNCHANGED}"
    if isinstance(cause, asyncpg.TooManyConnectionsError | asyncpg.CannotConnectNowError):
        return _sentence(cause) or ""
    return f"The database does not answer right now. {_UNCHANGED}"
