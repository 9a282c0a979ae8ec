"""Show people what a command does: log lines, and a progress bar on a terminal, always on standard error."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from mtsccd_jax.errors import printable


class ErrorConsole(Console):
    """Standard error, for people; where nobody reads it any more the command goes on in silence.

    Text is shown as it is: brackets in names are no markup, and what a terminal would obey is escaped.
    """

    def __init__(self, **settings: Any):
        super().__init__(stderr=True, highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return text to show, with what a terminal would obey escaped."""
        return super().render_str(printable(text), **settings)

    def on_broken_pipe(self) -> None:
        """Send what is still printed to nowhere."""
        self.quiet = True
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Send what is still written to a stream to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


console = ErrorConsole(soft_wrap=True)


class ConsoleHandler(logging.Handler):
    """Print log records on the console, above a running bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a note as it is, and a warning with its level before it."""
        if record.levelno <= logging.INFO:
            console.print(record.getMessage(), style="dim")
        else:
            console.print(f"{record.levelname.lower()}: {record.getMessage()}")


class Advance(Protocol):
    """A function that moves a bar."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """Show `done` of `total`, with `text` behind the bar."""


@contextmanager
def bar(description: str) -> Iterator[Advance]:
    """Show a progress bar with the remaining time, but only on a terminal and unless the console is quiet."""
    if console.quiet or not console.is_terminal:
        yield lambda done, total, text="": None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<22}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(printable(description), total=None, text="")

        def advance(done: int, total: int, text: str = "") -> None:
            progress.update(task, completed=done, total=total, text=printable(text))

        yield advance
