"""Shared by the commands: the parser, groups of options, and the recipe that they choose."""

import argparse
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from mtsccd_jax.errors import InputError, nearest, one_line
from mtsccd_jax.files import local_path
from mtsccd_jax.recipes.config import Data, Recipe, override
from mtsccd_jax.recipes.ranges import COUNT, RANGES, Range
from mtsccd_jax.recipes.values import excerpt, from_text
from mtsccd_jax.recipes.values import kind as in_words

Json = dict[str, Any] | list[Any]

# What argparse says of an unknown command.
_CHOICE = re.compile(r"^argument COMMAND: invalid choice: '(.*)' \(choose from ", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line; for an unknown command it names the nearest."""

    def error(self, message: str) -> NoReturn:
        """Print one line, what was wrong and where the help is, and exit with status 2."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and (chosen := _CHOICE.search(message)):
                hint = nearest(chosen[1], action.choices).rstrip("?")
                message = f"unknown command '{chosen[1]}'" + (f".{hint}?" if hint else "")
        self.exit(2, f"{self.prog}: error: {one_line(message)}; see `{self.prog} --help`\n")


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], Json | None], help_text: str, *examples: str
) -> argparse.ArgumentParser:
    """Add a command with the options that all commands have, and return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog="\n  ".join(["example:", *examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="machine output only")
    parser.add_argument("-q", dest="quiet", action="store_true", help="no progress, no notes")
    parser.set_defaults(run=run, status=0, command=name)
    return parser


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add --workdir, --set and --seed, for commands that make a work directory."""
    parser.add_argument(
        "--workdir", type=directory, default=None, help="rows, checkpoints, artefacts (default: runs/RECIPE)"
    )
    add_override(parser)
    parser.add_argument("--seed", type=seed, default=None, help="of everything random (default: the recipe's)")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device, for commands that compute."""
    parser.add_argument(
        "--device",
        choices=("cpu", "gpu", "tpu"),
        default=None,
        help="what computes (default: what JAX_PLATFORMS says, else the fastest there is)",
    )


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add --coordinator, --processes and --process-id, for commands that several processes can share."""
    group = parser.add_argument_group("many hosts", "started alike on each (default: as the launcher says, else alone)")
    group.add_argument("--coordinator", default=None, metavar="HOST:PORT", help="where the first process listens")
    group.add_argument("--processes", type=at_least(1), default=None, metavar="N", help="of this command")
    group.add_argument("--process-id", type=at_least(0), default=None, metavar="I", help="of this one, from 0")


def add_override(parser: argparse.ArgumentParser) -> None:
    """Add --set, for commands that follow a recipe."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override of the recipe, repeatable (`--set help`: all of them)",
    )


def add_workdir(parser: argparse.ArgumentParser) -> None:
    """Add WORKDIR, for commands that read a trained run."""
    parser.add_argument("workdir", type=directory, metavar="WORKDIR", help="work directory of a trained recipe")


def add_input(parser: argparse.ArgumentParser, folder: bool = True, pairs: bool = True) -> None:
    """Add --dataset, --folder (for scenes), --pairs (for pairs) and --data-dir."""
    parser.add_argument("--dataset", default=None, metavar="NAME[/CONFIG]", help="TFDS data set")
    if folder:
        parser.add_argument("--folder", type=directory, default=None, metavar="DIR", help="one folder a class")
    if pairs:
        parser.add_argument("--pairs", type=directory, default=None, metavar="DIR", help="A/, B/ and pairs.csv")
    parser.add_argument(
        "--data-dir", type=directory, default=None, help="where TFDS data sets lie (default: TFDS's own)"
    )


def add_exclude(parser: argparse.ArgumentParser) -> None:
    """Add --exclude, for commands that follow a recipe."""
    _add_list(parser, "exclude", "leave out the rows of exclude.csv of `data audit`")


def add_leaks(parser: argparse.ArgumentParser) -> None:
    """Add --leaks, for commands that write rows."""
    _add_list(parser, "leaks", "say how many examples have a copy in training, by exclude.csv of `data audit`")


def _add_list(parser: argparse.ArgumentParser, name: str, meaning: str) -> None:
    """Add an option with the path of a list, as the override of a key of the recipe's data."""

    def assignment(text: str) -> str:
        return f"data.{name}={path(text).absolute()}"

    parser.add_argument(f"--{name}", type=assignment, action="append", dest="set", metavar="LIST", help=meaning)


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add --split, repeatable."""
    parser.add_argument("--split", action="append", default=None, help="split to evaluate, repeatable (default: all)")


def path(text: str) -> Path:
    """Parse the path of a file or folder of this machine."""
    try:
        return local_path(text, "path")
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def directory(text: str) -> Path:
    """Parse the path of a folder, which need not be there yet."""
    found = path(text)
    if found.is_file():
        raise argparse.ArgumentTypeError(f"{text} is a file; name a folder")
    return found


def weights(text: str) -> str:
    """Parse where weights come from: a local path, or hf:OWNER/NAME."""
    return text if text.startswith("hf:") else str(path(text))


def batch(text: str) -> int | str:
    """Parse a batch size, or "auto"."""
    if text == "auto":
        return text
    size: int = number(int, RANGES["engine.batch_size"], "a number or auto")(text)
    return size


def number(kind: type, allowed: Range, expected: str = "") -> Callable[[str], Any]:
    """Return a parser of integers or numbers in a range; `expected` says what else there may be."""

    def parse(text: str) -> Any:
        value: Any = from_text(text, kind)
        if isinstance(value, str):
            raise argparse.ArgumentTypeError(f"{excerpt(text)}: expected {expected or in_words(kind)}")
        if value not in allowed:
            raise argparse.ArgumentTypeError(f"{excerpt(text)}: {allowed}")
        return value

    return parse


def at_least(smallest: int) -> Callable[[str], int]:
    """Return a parser of integers of at least `smallest`, which int32 can hold."""
    return number(int, dataclasses.replace(COUNT, least=smallest))


scale = number(float, Range(above=0, most=1))
seed = number(int, RANGES["seed"])


def chosen_recipe(options: argparse.Namespace) -> Recipe:
    """Return the named recipe with the input, seed, weights and overrides of the command line."""
    from mtsccd_jax.recipes import get_recipe

    recipe = get_recipe(options.recipe)
    recipe = dataclasses.replace(recipe, data=input_data(options, recipe.data))
    if options.seed is not None:
        recipe = dataclasses.replace(recipe, seed=options.seed)
    if options.init is not None:
        recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, init=options.init))
    return override(recipe, options.set)


def input_data(options: argparse.Namespace, data: Data) -> Data:
    """Return the recipe's data with the input of the command line; InputError where there is more than one."""
    given = [name for name in ("dataset", "folder", "pairs") if getattr(options, name, None) is not None]
    if len(given) > 1:
        raise InputError(f"--{given[0]} and --{given[1]}: give one input")
    changes: dict[str, Any] = {}
    if getattr(options, "data_dir", None) is not None:
        changes["data_dir"] = str(options.data_dir)
    if given == ["dataset"]:
        changes |= {"dataset": options.dataset, "pair_dataset": options.dataset, "folder": None, "pairs": None}
    elif given:
        changes |= {"folder": None, "pairs": None, given[0]: str(getattr(options, given[0]))}
        if given == ["pairs"]:
            changes["dataset"] = None
        if getattr(options, "changed_above", None) is not None:
            changes["changed_above"] = options.changed_above
    return dataclasses.replace(data, **changes)
