"""What can go wrong, told apart by who has to act on it."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input is wrong. One line: what was wrong, where, and what to do (exit status 2)."""


class RunError(RuntimeError):
    """The run itself failed and can be resumed by the same command (exit status 3)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint " Did you mean 'x'?" for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
