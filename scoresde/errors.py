"""What a user is told of a mistake: one line."""

from typing import Any


class UsageError(ValueError):
    """A mistake in what the user asked for: the message names the cause and the remedy.

    The command line prints it as one line and exits with status 2, without a traceback.
    """


class UsageWarning(UserWarning):
    """What can be done, but is hardly what the user wants. The command line prints it as a line."""


def first_line(error: Exception) -> str:
    """What an error says, for a message of one line."""
    return f"{error}".strip().partition("\n")[0]


def shown(value: Any) -> str:
    """A value in a message of one line."""
    return f"{' '.join(repr(value).split()):.60}"
