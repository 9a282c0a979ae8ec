"""The errors that a command reports in one line, by who has to act on them."""

import difflib
import re
from collections.abc import Iterable

# Controls, separators of lines, and marks of direction that hide what stands behind them.
_OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class InputError(ValueError):
    """The user's input is wrong (exit status 2). Its message is one line: what was wrong, where, and what to do."""

    def __str__(self) -> str:
        """Return the message in one line."""
        return one_line(super().__str__())


class RunError(RuntimeError):
    """The run failed and the same command resumes it (exit status 3)."""


def one_line(text: str) -> str:
    """Return text with its control characters, which names of files may hold, escaped."""
    return "\\n".join(map(printable, text.split("\n")))


def printable(text: str) -> str:
    """Return text, of lines maybe, with characters escaped that a terminal would obey or that turn a line around."""
    return _OBEYED.sub(lambda found: repr(found[0])[1:-1], text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the hint " Did you mean 'x'?" with the closest known name, or an empty string."""
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
