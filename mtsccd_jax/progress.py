"""Progress for people: a bar on a terminal, nothing elsewhere; always on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)


class Advance(Protocol):
    """Tells a bar how far it has come."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """`done` of `total` are complete; `text` stands behind the bar."""


def silent(done: int, total: int, text: str = "") -> None:
    """The bar that shows nothing."""


@contextmanager
def bar(description: str, quiet: bool = False) -> Iterator[Advance]:
    """A progress bar with remaining time; silent where standard error is not a terminal or `quiet` is set."""
    if quiet or not console.is_terminal:
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
