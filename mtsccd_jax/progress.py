"""Show people what goes on: log lines, and a bar on a terminal; always on standard error."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)


class ConsoleHandler(logging.Handler):
    """Print log records on the console, above a bar that is running."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record: a note as it is, a warning with its level before it."""
        if record.levelno <= logging.INFO:
            console.print(record.getMessage(), style="dim", markup=False)
        else:
            console.print(f"{record.levelname.lower()}: {record.getMessage()}", markup=False)


class Advance(Protocol):
    """Tells a bar how far it has come."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """`done` of `total` are complete; `text` stands behind the bar."""


def silent(done: int, total: int, text: str = "") -> None:
    """The bar that shows nothing."""


@contextmanager
def bar(description: str) -> Iterator[Advance]:
    """Show a progress bar with remaining time; nothing where standard error is no terminal or the console is quiet."""
    if console.quiet or not console.is_terminal:
        yield silent
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=None, text="")

        def advance(done: int, total: int, text: str = "") -> None:
            progress.update(task, completed=done, total=total, text=text)

        yield advance
