"""Errors that end a command: a sentence for the person at the terminal, and an exit code."""

from typing import ClassVar


class CannotRun(Exception):
    """The command cannot start or continue. The message says why, and what to do."""

    exit_code: ClassVar[int] = 1


class WrongUsage(CannotRun):
    """The arguments are wrong or ambiguous."""

    exit_code = 2


class NotFound(CannotRun):
    """The named thing does not exist, or the token cannot see it."""

    exit_code = 3


class NotPermitted(CannotRun):
    """The token is not valid, or its role does not cover this."""

    exit_code = 4


class Conflict(CannotRun):
    """Somebody else has changed it meanwhile."""

    exit_code = 5


CHANGES_PENDING = 6
"""Exit code of `flowpin apply --dry-run` when there is something to apply."""
