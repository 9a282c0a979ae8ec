"""`reproduce`: the tables of a paper."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.options import Json, add_exclude, add_override, add_processes, command, directory, number, seed
from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.recipes.config import Data, Recipe, override
from mtsccd_jax.recipes.ranges import Range

# The matrices of MtSCCD, whose scenes and pairs may come from elsewhere too.
MTSCCD = ("table6", "table7", "all")


def add(commands: Any) -> None:
    """Declare the commands of this file."""
    reproduce = command(
        commands,
        "reproduce",
        run_reproduce,
        "the rows of a paper's tables, whatever is there already kept",
        "mtsccd-jax reproduce all --data-dir tfds --init-dir weights --seeds 3",
        "mtsccd-jax reproduce mlrsnet --data-dir tfds --stand-ins --set data.image_size=96",
        "mtsccd-jax reproduce table6 --data-dir tfds --only resnet18 --leave-one-city-out",
    )
    reproduce.add_argument(
        "table",
        choices=[*MTSCCD, "bigearthnet_v1", "bigearthnet_v2", "mlrsnet"],
        help="of the MtSCCD paper scenes, change, or all; or the networks of another data set's source",
    )
    reproduce.add_argument(
        "--only",
        action="append",
        default=None,
        metavar="NAME",
        help="this network or recipe (or part of a name), repeatable",
    )
    reproduce.add_argument(
        "--seeds", type=number(int, Range(least=1, most=10_000)), default=1, help="runs of every network (default: 1)"
    )
    reproduce.add_argument("--seed", type=seed, default=0, help="of the first run (default: 0)")
    reproduce.add_argument(
        "--workdir", type=directory, default=Path("runs/reproduce"), metavar="DIR", help="one folder a network in it"
    )
    reproduce.add_argument(
        "--init-dir", type=directory, default=None, metavar="DIR", help="published weights, NETWORK.* or NETWORK-*.*"
    )
    reproduce.add_argument(
        "--split", choices=["official", "paired"], default="official", help="of MtSCCD, the paper's, or no leak"
    )
    reproduce.add_argument(
        "--leave-one-city-out",
        action="store_true",
        help="train each network of MtSCCD once for every city, without it, and judge all of them in every city",
    )
    reproduce.add_argument("--stand-ins", action="store_true", help="small random networks, for a CPU")
    reproduce.add_argument(
        "--folder",
        type=directory,
        default=None,
        metavar="DIR",
        help="MtSCCD's tables on other scenes, one folder a class",
    )
    reproduce.add_argument(
        "--pairs",
        type=directory,
        default=None,
        metavar="DIR",
        help="MtSCCD's tables on other pairs, A/, B/ and pairs.csv",
    )
    reproduce.add_argument(
        "--data-dir", type=directory, default=None, help="where TFDS data sets lie (default: TFDS's own)"
    )
    add_override(reproduce)
    add_exclude(reproduce)
    add_processes(reproduce)


def run_reproduce(options: argparse.Namespace) -> Json:
    """Train what is missing, compute the rows that are missing, and write the report."""
    from mtsccd_jax import processes
    from mtsccd_jax.recipes import EXPERIMENTS
    from mtsccd_jax.recipes.experiment import stand_in
    from mtsccd_jax.report.page import write
    from mtsccd_jax.tasks.reports import REPORTS
    from mtsccd_jax.tasks.reproduce import reproduce
    from mtsccd_jax.tasks.shift.leave_one_out import reproduce_by_city

    if options.split != "official" and (options.folder or options.pairs):
        raise InputError("--split paired is a build of the MtSCCD data sets; leave out --folder and --pairs")
    if options.stand_ins and options.init_dir is not None:
        raise InputError("--stand-ins begin with random weights; leave out --init-dir")
    chosen = EXPERIMENTS[options.table]
    if options.table not in MTSCCD:
        given = {"split": options.split != "official", "folder": options.folder, "pairs": options.pairs}
        for name, value in {**given, "leave-one-city-out": options.leave_one_city_out}.items():
            if value:
                raise InputError(f"--{name}: belongs to the tables of MtSCCD; `reproduce {options.table}` has none")
    known = list(dict.fromkeys(name for e in chosen for name in (e.recipe.model.name, e.recipe.name)))
    only = {one_of(part, known, options.table) for part in options.only or ()}

    def prepared(recipe: Recipe) -> Recipe:
        model, data = recipe.model, matrix_data(options, recipe.data)
        if model.task == "similarity":
            data = dataclasses.replace(data, folder=None)  # learns from pairs alone
        if options.init_dir is not None and model.init is not None:
            model = dataclasses.replace(model, init=str(init_file(options.init_dir, model.name)))
        recipe = dataclasses.replace(recipe, model=model, data=data, seed=options.seed)
        return override(stand_in(recipe) if options.stand_ins else recipe, options.set)

    matrix = [
        dataclasses.replace(experiment, recipe=prepared(experiment.recipe))
        for experiment in chosen
        if not only or {experiment.recipe.model.name, experiment.recipe.name} & only
    ]
    run = reproduce_by_city if options.leave_one_city_out else reproduce
    result = run(matrix, options.workdir, seeds=options.seeds)
    options.status = 3 if result.failures else 0
    is_written = result.done > 0 and processes.is_first()
    report = write([options.workdir], options.workdir / "report", REPORTS) if is_written else None
    return {
        "rows": result.rows,
        "done": result.done,
        "failed": len(result.failures),
        "failures": [dataclasses.asdict(failure) for failure in result.failures],
        "report": report,
    }


def one_of(part: str, known: Sequence[str], table: str) -> str:
    """Return the network or recipe that `--only` means: by its name, by whole words of it, or by any part of one alone.

    Raises:
        InputError: there is none, or there are several; the words that end a name go before others.
    """
    low = part.lower()
    for holding in (
        [name for name in known if name.lower() == low],
        [name for name in known if name.lower().endswith(f"_{low}")],
        [name for name in known if f"_{low}_" in f"_{name.lower()}_"],
        [name for name in known if low in name.lower()],
    ):
        # A network and the recipe that is called after it are one.
        found = [name for name in holding if not any(name.endswith(f"_{other}") for other in holding)]
        if len(found) > 1:
            raise InputError(f"--only {part}: could be {', '.join(found)}; write more of the name")
        if found:
            return found[0]
    raise InputError(f"--only {part}: no network or recipe of {table}.{nearest(part, known)}")


def matrix_data(options: argparse.Namespace, data: Data) -> Data:
    """Return the recipe's data, read from where the command line says."""
    changes: dict[str, Any] = {"config": options.split} if options.table in MTSCCD else {}
    if options.data_dir is not None:
        changes["data_dir"] = str(options.data_dir)
    if options.folder is not None:
        changes |= {"folder": str(options.folder), "dataset": None}
    if options.pairs is not None:
        changes |= {"pairs": str(options.pairs), "pair_dataset": None}
    return dataclasses.replace(data, **changes)


def init_file(directory: Path, network: str) -> Path:
    """Find the file of published weights of a network: NETWORK.safetensors, torchvision's NETWORK-1a2b3c4d.pth, ...

    Return the name that was looked for where there is none: reading it fails with that name.

    Raises:
        InputError: there is no such folder, or several files could be meant.
    """
    if not directory.is_dir():
        raise InputError(f"--init-dir {directory}: no such folder")
    suffixes = (".safetensors", ".pth", ".pt", ".bin")
    files = sorted(path for path in directory.iterdir() if path.suffix in suffixes)
    exact = [path for path in files if path.stem == network]
    found = exact or [path for path in files if path.stem.startswith((f"{network}-", f"{network}.", f"{network}_"))]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(
            f"--init-dir {directory}: {names} could all be {network}; name one of them {network}{found[0].suffix}"
        )
    return found[0] if found else directory / f"{network}.safetensors"
