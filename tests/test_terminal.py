"""Names that a terminal would obey, or rich would take for markup, on their way to standard error and output."""

import io
import json
import logging

import pytest

from mtsccd_jax import progress
from mtsccd_jax.cli.output import as_json, complain
from mtsccd_jax.errors import InputError, one_line
from mtsccd_jax.progress import ConsoleHandler, ErrorConsole, bar

NAMES = {
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b31m\x7f\r": r"\x9b31m\x7f\r",
    "\u202egnp.exe": r"\u202egnp.exe",
    "[bold red]a[/]": "[bold red]a[/]",
    "[/nothing]": "[/nothing]",
    ":fire:": ":fire:",
}
every_name = pytest.mark.parametrize(("name", "shown"), NAMES.items())


@pytest.fixture
def console(monkeypatch):
    """A terminal, whose screen is `file`."""
    made = ErrorConsole(file=io.StringIO(), force_terminal=True, color_system=None, width=300)
    monkeypatch.setattr(progress, "console", made)
    return made


@every_name
def test_people_read_a_name_as_it_is(console, name, shown):
    from rich.table import Table

    console.print(f"scene {name}")
    ConsoleHandler().emit(logging.LogRecord("x", logging.WARNING, "", 0, f"log {name}", None, None))
    table = Table(title=f"title {name}")
    table.add_column(f"column {name}")
    table.add_row(f"cell {name}")
    console.print(table)
    text = console.file.getvalue()
    for place in ("scene", "log", "title", "column", "cell"):
        assert f"{place} {shown}" in text


@every_name
def test_a_bar_shows_a_name_as_it_is(console, name, shown):
    with bar(f"embed {name}") as advance:
        advance(1, 2, f"split {name}")
    text = console.file.getvalue()
    assert f"embed {shown}"[:22] in text
    assert f"split {shown}" in text


def test_lines_stay_lines(console):
    console.print("a\nb")
    assert console.file.getvalue() == "a\nb\n"
    assert one_line("a\nb\x1b") == r"a\nb\x1b"


@every_name
def test_json_holds_a_name_and_no_command(name, shown):
    text = as_json({"name": name})
    assert json.loads(text) == {"name": name}
    assert not set(text) & {"\x1b", "\x9b", "\x7f", "\x07", "\r"}


@every_name
def test_errors_are_one_line_without_commands(capsys, name, shown):
    complain(str(InputError(f"{name}: no such file")))
    assert capsys.readouterr().err == f"{shown}: no such file\n"
