"""The command `mtsccd-jax`: one subcommand, one function, no logic of its own.

Standard output carries one JSON object, the last thing a command prints; everything for people goes to standard error.
Exit status: 0 done, 2 the input is wrong, 3 the run failed and can be resumed, 130/143 stopped by a signal, saved.
"""

import argparse
import errno
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mtsccd_jax import __version__
from mtsccd_jax.config import Data, Recipe, override, to_dict
from mtsccd_jax.errors import InputError, RunError, nearest
from mtsccd_jax.host_memory import keep_freed_memory

Json = dict[str, Any] | list[Any]

# What the operating system says of a path, by who has to act on it.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
BROKEN_DISK = (errno.EIO, errno.EFBIG)
WRONG_PATH = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
WRONG_PATH |= {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and name the nearest choice."""

    def error(self, message: str) -> NoReturn:
        """Exits with status 2 after one line: what was wrong and where the help is."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and "invalid choice" in message:
                given = message.split("'")[1]
                hint = nearest(given, action.choices).rstrip("?")
                message = f"unknown command '{given}'" + (f".{hint}?" if hint else "")
        self.exit(2, f"{self.prog}: error: {message}; see `{self.prog} --help`\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if "run" not in options:
        parser.print_help(sys.stderr)
        return 2
    options.quiet = options.quiet or options.json
    show_warnings(options.quiet)
    keep_freed_memory()  # before any thread has memory of its own
    try:
        result = options.run(options)
    except Exception as error:
        return fail(parser.prog, error)
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    if result is not None:
        print(json.dumps(finite(result), ensure_ascii=False))
    return 0


def show_warnings(quiet: bool) -> None:
    """What the builders warn of, a line each on standard error; what the libraries below log is not for this user."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    logger = logging.getLogger("tfds_builders")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.ERROR if quiet else logging.WARNING)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def fail(prog: str, error: Exception) -> int:
    """One line on standard error for what a user can act on, and its exit status; anything else is raised again."""
    from mtsccd_jax.engine.loop import Stopped
    from tfds_builders.archives import ArchiveError

    if isinstance(error, (InputError, ArchiveError)):
        status = 2
    elif isinstance(error, RunError):
        status = 3
    elif isinstance(error, Stopped):
        status = 128 + error.signum
    elif isinstance(error, OSError) and error.errno in FULL_DISK:
        status = 3
        error = RunError(f"{error.filename or 'the disk'}: no space left; free some and run the same command again")
    elif isinstance(error, ChildProcessError) or (isinstance(error, OSError) and error.errno in BROKEN_DISK):
        status = 3  # a worker was killed or the disk gave up; what is left is whole, and the same command continues
    elif isinstance(error, OSError) and error.errno in WRONG_PATH and error.filename:
        status = 2
        reason = os.strerror(error.errno).lower()
        error = InputError(f"{error.filename}: {reason}; choose another path")
    else:
        raise error
    print(f"{prog}: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def finite(value: Any) -> Any:
    """The value with absolute paths as text, and null for what is not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, Path):
        return str(value.resolve())
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------------------------------------------------------
# Commands


def run_demo(options: argparse.Namespace) -> Json:
    """Archive, build, train, evaluate, change, report, in one go."""
    from mtsccd_jax.demo import demo

    workdir = options.workdir or Path("runs/demo")
    return demo(workdir, options.set, scale=options.scale, seed=options.seed, quiet=options.quiet)


def run_synth(options: argparse.Namespace) -> Json:
    """Writes a generated archive."""
    from mtsccd_jax.progress import bar
    from tfds_builders import synthetic

    with bar("generate scenes", options.quiet) as advance:
        images = synthetic.write_archive(
            options.out,
            scale=options.scale,
            image_size=options.image_size,
            layout=options.layout,
            seed=options.seed or 0,
            progress=advance,
        )
    return {"images": images, "out": options.out}


def run_check(options: argparse.Namespace) -> Json:
    """Compares an archive's names with the published counts."""
    from tfds_builders.mtsccd.check import check_archive

    report = check_archive(options.archive)
    if options.strict and not report.strict_ok:
        raise InputError(
            f"{options.archive}: {len(report.problems)} problems and {len(report.differences)} differences from the "
            f"published tables, the first: {[*report.problems, *report.differences][0]}; all without --strict"
        )
    if not options.quiet:
        print(report.text(), file=sys.stderr)
    return {
        "images": report.images,
        "pairs": report.pairs,
        "problems": report.problems,
        "differences": report.differences,
    }


def run_build(options: argparse.Namespace) -> Json:
    """Builds a TFDS data set in both file formats."""
    import tfds_builders
    from mtsccd_jax.progress import bar, console

    with bar(f"build {options.name}", options.quiet) as advance:
        name, _, config = options.name.partition("/")
        built = tfds_builders.build(
            name,
            archive=options.archive,
            data_dir=options.data_dir,
            skip_bad=options.skip_bad,
            config=config or "official",
            progress=advance,
        )
    for line in built.skipped:
        console.print(f"skipped: {line}", style="yellow", markup=False)
    return {"splits": built.splits, "skipped": built.skipped, "data_dir": built.data_dir}


def run_recipes(options: argparse.Namespace) -> Json | None:
    """Lists the recipes."""
    from mtsccd_jax.progress import console
    from mtsccd_jax.recipes import RECIPES

    if options.json:
        return [to_dict(recipe) for recipe in RECIPES.values()]
    for recipe in RECIPES.values():
        console.print(f"[bold]{recipe.name:<20}[/bold] {recipe.summary}")
    return None


def run_models(options: argparse.Namespace) -> Json | None:
    """Lists the networks."""
    from rich.table import Table

    from mtsccd_jax.models import describe_models
    from mtsccd_jax.progress import console

    described = describe_models()
    if options.json:
        return described
    table = Table(box=None)
    table.add_column("name", no_wrap=True)
    for title in ("parameters (M)", "GMAC at 224", "feature width", "source"):
        table.add_column(title)
    for model in described:
        numbers = (f"{model['params'] / 1e6:.1f}", f"{model['gmacs_224']:.2f}", str(model["feature_width"]))
        table.add_row(model["name"], *numbers, model["source"])
    console.print(table)
    return None


def run_train(options: argparse.Namespace) -> Json:
    """Trains or resumes a recipe."""
    from mtsccd_jax.engine.loop import fit

    recipe = chosen_recipe(options)
    done = fit(recipe, options.workdir or Path("runs") / recipe.name, quiet=options.quiet)
    return {
        "step": done.step,
        "loss": done.loss,
        "images_per_s": done.images_per_s,
        "checkpoint": done.checkpoint,
        "compile_s": done.compile_s,
        "seconds": done.train_s,
    }


def run_evaluate(options: argparse.Namespace) -> Json:
    """Scene classification with the network's own head."""
    from mtsccd_jax.data.sources import open_source
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.protocols.scene import default_splits, evaluate

    trained = load_trained(options.workdir, options.set)
    data = input_data(options, trained.recipe.data)
    result: dict[str, Any] = {}
    splits = options.split or default_splits(data)
    for split in splits:
        row = evaluate(trained, open_source(data, split), split, quiet=options.quiet)
        result[split] = {name: metric["value"] for name, metric in row.metrics.items()}
    return {"rows": len(splits), **result}


def run_change(options: argparse.Namespace) -> Json:
    """Change detection by CFSM, CDC_1 or both."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.protocols.change import METHODS, detect

    trained = load_trained(options.workdir, options.set)
    data = input_data(options, trained.recipe.data)
    methods = METHODS if options.method is None else (options.method,)
    objective = options.objective or trained.recipe.change.objective
    rows = detect(trained, data, methods, objective, splits=options.split, quiet=options.quiet)
    result: dict[str, Any] = {"rows": len(rows)}
    for row in rows:
        metrics = {name: metric["value"] for name, metric in row.metrics.items()}
        result.setdefault(row.protocol, {})[row.split] = metrics | {"threshold": row.threshold}
    return result


def run_predict(options: argparse.Namespace) -> Json:
    """Labels, probabilities and, given pairs, change for unlabelled images."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.protocols.predict import predict

    trained = load_trained(options.workdir)
    done = predict(trained, options.images, options.out, skip_bad=options.skip_bad, quiet=options.quiet)
    return {"images": done.images, "skipped": done.skipped, "out": options.out}


def run_embed(options: argparse.Namespace) -> Json:
    """Features (and pair distances) of any input."""
    from mtsccd_jax.data.sources import open_source
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.protocols.predict import embed_to_file

    trained = load_trained(options.workdir)
    data = input_data(options, trained.recipe.data)
    split = options.split or ("test_a" if data.folder is None and data.pairs is None else "all")
    shape = embed_to_file(trained, open_source(data, split), options.out, quiet=options.quiet)
    return {"shape": list(shape), "out": options.out}


def run_report(options: argparse.Namespace) -> Json:
    """One self-contained page from rows and artefacts."""
    from mtsccd_jax.report.page import write

    out = options.out or options.workdirs[0] / "report"
    return {"report": write(options.workdirs, out)}


def chosen_recipe(options: argparse.Namespace) -> Recipe:
    """The named recipe with the input, seed and overrides of the command line."""
    import dataclasses

    from mtsccd_jax.recipes import get_recipe

    recipe = get_recipe(options.recipe)
    recipe = dataclasses.replace(recipe, data=input_data(options, recipe.data))
    if options.seed is not None:
        recipe = dataclasses.replace(recipe, seed=options.seed)
    return override(recipe, options.set)


def input_data(options: argparse.Namespace, data: Data) -> Data:
    """The recipe's data with the input that the command line names instead."""
    import dataclasses

    given = [name for name in ("dataset", "folder", "pairs") if getattr(options, name, None) is not None]
    if len(given) > 1:
        raise InputError(f"--{given[0]} and --{given[1]}: give one input")
    if getattr(options, "data_dir", None) is not None:
        data = dataclasses.replace(data, data_dir=str(options.data_dir))
    if not given:
        return data
    if given == ["dataset"]:
        return dataclasses.replace(data, dataset=options.dataset, pair_dataset=options.dataset, folder=None, pairs=None)
    changed_above = getattr(options, "changed_above", None)
    if changed_above is not None:
        data = dataclasses.replace(data, changed_above=changed_above)
    folder = str(options.folder) if given == ["folder"] else None
    pairs = str(options.pairs) if given == ["pairs"] else None
    return dataclasses.replace(data, folder=folder, pairs=pairs)


# ---------------------------------------------------------------------------------------------------------------------
# Options


def make_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="mtsccd-jax",
        description="Land-use scene classification and change detection in JAX: data sets, training, change, report.",
        epilog="start with: mtsccd-jax demo",
    )
    parser.add_argument("--version", action="version", version=f"mtsccd-jax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    demo = command(
        commands, "demo", run_demo, "generate, build, train, evaluate, detect change, report", "mtsccd-jax demo"
    )
    add_run_options(demo)
    demo.add_argument("--scale", type=scale, default=0.05, help="share of the 65,548 scenes, in (0, 1] (default: 0.05)")

    data = commands.add_parser(
        "data", help="archives and TFDS data sets", epilog="example: mtsccd-jax data check MtSCCD.zip"
    )
    data.set_defaults(run=lambda options: data.error("name one of synth, check, build"), json=False, quiet=False)
    of_data = data.add_subparsers(title="commands", metavar="COMMAND")
    synth = command(
        of_data, "synth", run_synth, "write a generated archive", "mtsccd-jax data synth --out archive --scale 0.02"
    )
    synth.add_argument("--out", type=Path, required=True, help="folder to write to")
    synth.add_argument("--dataset", choices=["mtsccd"], default="mtsccd", help="which archive (default: mtsccd)")
    synth.add_argument(
        "--scale", type=scale, default=0.02, help="share of the 65,548 images, in (0, 1] (default: 0.02)"
    )
    synth.add_argument("--image-size", type=at_least(8), default=300, help="pixels a side (default: 300)")
    synth.add_argument("--layout", type=int, choices=range(1, 8), default=6, help="folder layout (default: 6)")
    synth.add_argument("--seed", type=at_least(0), default=0, help="of everything random (default: 0)")
    check = command(
        of_data, "check", run_check, "compare an archive with the published counts", "mtsccd-jax data check MtSCCD.zip"
    )
    check.add_argument("archive", type=Path, help="folder, zip or tar")
    check.add_argument("--dataset", choices=["mtsccd"], default="mtsccd", help="which archive (default: mtsccd)")
    check.add_argument("--strict", action="store_true", help="fail unless Tables 2 to 5 hold")
    build = command(
        of_data,
        "build",
        run_build,
        "build a TFDS data set, both file formats",
        "mtsccd-jax data build mtsccd_lusc --archive MtSCCD.zip --data-dir tfds",
    )
    build.add_argument("name", help="mtsccd_lusc or mtsccd_lucd, with /paired for the leak-free split")
    build.add_argument("--archive", type=Path, required=True, help="folder, zip or tar")
    build.add_argument("--data-dir", type=Path, default=None, help="where data sets lie (default: TFDS's own)")
    build.add_argument("--skip-bad", action="store_true", help="skip, count and name what cannot be read")

    command(commands, "recipes", run_recipes, "list the recipes", "mtsccd-jax recipes")
    command(commands, "models", run_models, "list the networks", "mtsccd-jax models --json")

    train = command(
        commands,
        "train",
        run_train,
        "train a recipe, or continue where it stopped",
        "mtsccd-jax train resnet18_scratch --data-dir tfds --set optim.learning_rate=0.05",
    )
    train.add_argument("recipe", help="see `mtsccd-jax recipes`")
    add_run_options(train)
    add_input(train)

    evaluate = command(
        commands,
        "evaluate",
        run_evaluate,
        "scene classification metrics",
        "mtsccd-jax evaluate runs/demo --split test_a --split test_b",
    )
    add_workdir(evaluate)
    add_override(evaluate)
    add_input(evaluate)
    add_split(evaluate)

    change = command(
        commands, "change", run_change, "change detection", "mtsccd-jax change runs/demo --method cfsm --objective f1"
    )
    add_workdir(change)
    add_override(change)
    change.add_argument("--method", choices=["cfsm", "cdc_1"], default=None, help="default: both")
    change.add_argument("--objective", choices=["kappa", "oa", "f1", "balanced"], default=None, help="of the threshold")
    change.add_argument("--changed-above", type=share, default=None, help="changed fraction from which a pair counts")
    add_input(change, folder=False)
    add_split(change)

    predict = command(
        commands,
        "predict",
        run_predict,
        "labels and probabilities for unlabelled images (and change, given A/ and B/)",
        "mtsccd-jax predict runs/demo my_images --out labels.csv",
    )
    add_workdir(predict)
    predict.add_argument("images", type=Path, help="folder of images, or of A/ and B/ for pairs")
    predict.add_argument("--out", type=Path, required=True, help="CSV file to write")
    predict.add_argument("--skip-bad", action="store_true", help="skip, count and name what cannot be read")

    embed = command(
        commands,
        "embed",
        run_embed,
        "features (and pair distances) of any input",
        "mtsccd-jax embed runs/demo --folder my_images --split all --out features.npz",
    )
    add_workdir(embed)
    add_input(embed)
    embed.add_argument("--split", default=None, help="default: test_a of TFDS data, all of folders and pair lists")
    embed.add_argument("--out", type=Path, required=True, help="NPZ file to write")

    report = command(commands, "report", run_report, "one page from rows and artefacts", "mtsccd-jax report runs/demo")
    report.add_argument("workdirs", type=Path, nargs="+", metavar="WORKDIR", help="work directories")
    report.add_argument("--out", type=Path, default=None, help="folder to write to (default: WORKDIR/report)")
    return parser


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], Json | None], help_text: str, example: str
) -> argparse.ArgumentParser:
    """A subcommand with the options that all have."""
    parser = commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="machine output only")
    parser.add_argument("-q", dest="quiet", action="store_true", help="no progress, no notes")
    parser.set_defaults(run=run)
    return parser


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """--workdir, --set and --seed, of commands that make a work directory."""
    parser.add_argument(
        "--workdir", type=Path, default=None, help="rows, checkpoints, artefacts (default: runs/RECIPE)"
    )
    add_override(parser)
    parser.add_argument("--seed", type=at_least(0), default=None, help="of everything random (default: the recipe's)")


def add_override(parser: argparse.ArgumentParser) -> None:
    """--set, of commands that follow a recipe."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override of the recipe, repeatable"
    )


def add_workdir(parser: argparse.ArgumentParser) -> None:
    """WORKDIR, of commands that read a trained run."""
    parser.add_argument("workdir", type=Path, metavar="WORKDIR", help="work directory of a trained recipe")


def add_input(parser: argparse.ArgumentParser, folder: bool = True) -> None:
    """--dataset, --folder (where scenes are asked for), --pairs and --data-dir."""
    parser.add_argument("--dataset", default=None, metavar="NAME[/CONFIG]", help="TFDS data set")
    if folder:
        parser.add_argument("--folder", type=Path, default=None, metavar="DIR", help="one folder a class")
    parser.add_argument("--pairs", type=Path, default=None, metavar="DIR", help="A/, B/ and pairs.csv")
    parser.add_argument("--data-dir", type=Path, default=None, help="where TFDS data sets lie (default: TFDS's own)")


def add_split(parser: argparse.ArgumentParser) -> None:
    """--split, repeatable."""
    parser.add_argument("--split", action="append", default=None, help="split to evaluate, repeatable (default: all)")


def at_least(smallest: int) -> Callable[[str], int]:
    """The parser of an integer that is at least `smallest`."""

    def integer(text: str) -> int:
        if (value := int(text)) < smallest:
            raise argparse.ArgumentTypeError(f"{value} is less than {smallest}")
        return value

    return integer


def scale(text: str) -> float:
    """The parser of a number in (0, 1]."""
    if not 0 < (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in (0, 1]")
    return value


def share(text: str) -> float:
    """The parser of a number in [0, 1]."""
    if not 0 <= (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1]")
    return value


if __name__ == "__main__":
    sys.exit(main())
