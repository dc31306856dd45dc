"""What a failure of the database means to a caller, and what the log says of it."""

import asyncpg

from service_kit.db import LockHeld, NoConnection
from service_kit.errors import Aborted, DatabaseUnavailable, InvalidArgument, ServiceError


def describe(error: Exception) -> str:
    """One of FAILURES for the log: which it is, and never its message, which can quote what a caller sent."""
    if isinstance(error, NoConnection):
        name = type(error).__name__
        return f"{name} {describe(error.__cause__)}" if isinstance(error.__cause__, Exception) else name
    if isinstance(error, OSError):
        return repr(error)
    words = (type(error).__name__, getattr(error, "sqlstate", None), getattr(error, "constraint_name", None))
    return " ".join(word for word in words if word)


_UNCHANGED = "Nothing was changed; try again shortly."
_UNKNOWN = (
    "Whether a change was made is not known: repeat it with the same Idempotency-Key, or read before you repeat it."
)
_LOCK_HELD = f"Another change of the same thing has not ended in time. {_UNCHANGED}"
_LOST = f"The connection to the database was lost. {_UNKNOWN}"
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.TooManyConnectionsError, f"The database takes no more connections right now. {_UNCHANGED}"),
    (asyncpg.CannotConnectNowError, f"The database is starting up or shutting down. {_UNCHANGED}"),
    (asyncpg.LockNotAvailableError, _LOCK_HELD),
    (asyncpg.QueryCanceledError, f"The database took too long and was given up. {_UNCHANGED}"),
    (asyncpg.IdleInTransactionSessionTimeoutError, f"The change took too long and was given up. {_UNCHANGED}"),
    (asyncpg.ReadOnlySQLTransactionError, f"The database takes no changes right now, only reads. {_UNCHANGED}"),
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
"""What a caller is told of a failure that another try may not meet: the first that fits."""


def service_error(error: Exception) -> ServiceError:
    """What one of FAILURES means to the caller."""
    match error:
        case LockHeld():
            return DatabaseUnavailable(_LOCK_HELD)
        case NoConnection():
            return DatabaseUnavailable(_why_none(error.__cause__))
        case asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            return Aborted("Another change came in between. Nothing was changed; try again.", retry_after=1)
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError() | asyncpg.InvalidSchemaNameError():
            return DatabaseUnavailable("The database is older than this service. Its migrations have to run first.")
        case asyncpg.DataError():
            # Text that Postgres cannot keep: a NUL, or JSON that only it refuses.
            return InvalidArgument("The request holds text that cannot be stored.")
    # asyncpg puts what Postgres said last before it closed the connection under its own error.
    for each in (error.__cause__, error):
        if sentence := _sentence(each):
            return DatabaseUnavailable(sentence)
    return ServiceError("Something went wrong on our side.")


def _sentence(error: BaseException | None) -> str | None:
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return None  # a statement's arguments are not of its types: a fault of ours
    return next((sentence for kind, sentence in _SENTENCES if isinstance(error, kind)), None)


def _why_none(cause: BaseException | None) -> str:
    if isinstance(cause, TimeoutError):
        return f"All connections to the database are in use. {_UNCHANGED}"
    if isinstance(cause, asyncpg.TooManyConnectionsError | asyncpg.CannotConnectNowError):
        return _sentence(cause) or ""
    return f"The database does not answer right now. {_UNCHANGED}"
