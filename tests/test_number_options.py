"""Every option that takes a number refuses in one line, with status 2, what is none or lies out of its range."""

import argparse
from collections.abc import Iterator

import pytest

from mtsccd_jax.cli import make_parser

WRONG = ["", " ", "many", "nan", "inf", "-1", "-0.5", "1_000", "0x10", "٣", "1e400", "9" * 30, "9" * 5000, "1\n2"]


def reads_numbers(action: argparse.Action) -> bool:
    """Return whether an option takes 1 as a number, or refuses it as too small a one."""
    try:
        return isinstance(action.type("1"), int | float)
    except argparse.ArgumentTypeError:
        return True


PARSER = make_parser()


def options(parser: argparse.ArgumentParser, command: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command up to each of its options that take a number."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, part in action.choices.items():
                yield from options(part, (*command, name))
        elif action.option_strings and action.type is not None and reads_numbers(action):
            yield (*command, action.option_strings[-1])


OPTIONS = list(options(PARSER))


def test_all_are_found():
    assert {("train", "--seed"), ("train", "--batch"), ("retrieve", "-k"), ("bench", "build", "--workers")} < {*OPTIONS}
    assert len(OPTIONS) > 30


@pytest.mark.parametrize("words", OPTIONS, ids=" ".join)
def test_what_is_no_such_number_is_refused(capsys, words):
    for text in WRONG:
        with pytest.raises(SystemExit) as stop:  # nothing runs, even if it were taken
            PARSER.parse_args([*words, text])
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"argument {words[-1]}" in line
        assert len(line) < 300
