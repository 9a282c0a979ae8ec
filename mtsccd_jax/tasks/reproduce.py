"""The tables of a paper as a matrix: every network trained once, every missing row computed, every failure recorded.

Each network and seed has a work directory of its own below one folder. A row that is there already, of the same recipe
and data, is not computed again; training goes on where it stopped. What fails is written down with its reason, the rest
of the matrix goes on, and the same command tries it again.
"""

import json
import logging
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import jax

from mtsccd_jax.data.sources import Source, open_pairs, open_source
from mtsccd_jax.engine.compilation import run_cache
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.engine.loop import fit
from mtsccd_jax.engine.workdir import check_recipe
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import replacing
from mtsccd_jax.progress import console
from mtsccd_jax.recipes.config import Data, Recipe, essentials, to_dict
from mtsccd_jax.recipes.experiment import Experiment
from mtsccd_jax.report import rows
from mtsccd_jax.report.workdirs import FAILURES_FILE, Failure, failures
from mtsccd_jax.tasks.change.evaluate import detect, evaluated_splits
from mtsccd_jax.tasks.feature_cache import Embedded
from mtsccd_jax.tasks.labels.evaluate import evaluate_labels
from mtsccd_jax.tasks.scenes.evaluate import default_splits, evaluate
from mtsccd_jax.tasks.write_row import said

logger = logging.getLogger(__name__)

# What fails one row and not the machine: wrong input, a run that broke down, what is too large for device or host.
_FAILURES = (InputError, RunError, jax.errors.JaxRuntimeError, MemoryError)
# XLA's account of a full memory is pages long.
_REASON_LENGTH = 300

# Protocols whose rows are about single scenes; those of the others are about pairs.
_OF_SCENES = ("scene", "multilabel")

# (protocol, split) of a row
Asked = tuple[str, str]
# fingerprint(data, protocol, split) of the source that a row is about
Fingerprint = Callable[[Data, str, str], str]


@dataclass(frozen=True)
class Reproduced:
    """What a matrix came to: how many rows it asks for, how many of them are there, and what failed this time."""

    rows: int
    done: int
    failures: tuple[Failure, ...]


def reproduce(experiments: Sequence[Experiment], root: Path, *, seeds: int = 1) -> Reproduced:
    """What the matrix came to; work directories and `failures.json` lie in `root`.

    Args:
        experiments: trainings and the protocols whose rows they fill.
        root: one folder a recipe, split config and seed is made in it.
        seeds: every experiment runs with its recipe's seed and the `seeds - 1` that follow.

    Raises:
        InputError: the data that rows are about cannot be read, or a work directory holds another recipe's network.
        Stopped: a signal arrived; the state is saved.
    """
    _check_data(experiments)
    fingerprint = cache(_fingerprint)
    runs = [
        replace(experiment, recipe=replace(experiment.recipe, seed=experiment.recipe.seed + offset))
        for offset in range(seeds)
        for experiment in experiments
    ]
    for experiment in runs:
        check_recipe(work_directory(experiment.recipe, root), experiment.recipe)
    wanted, done, all_failed = 0, 0, tuple[Failure, ...]()
    for number, experiment in enumerate(runs, start=1):
        console.print(f"{number}/{len(runs)}  {experiment.recipe.name}, seed {experiment.recipe.seed}", style="bold")
        workdir = work_directory(experiment.recipe, root)
        with run_cache(root):  # other seeds of a network share its programs
            failed = tuple(run(experiment, workdir, fingerprint))
        _write_failures(root, experiment, failed)
        for failure in failed:
            console.print(f"{failure.protocol} {failure.split}: {failure.reason}", style="red", markup=False)
        all_failed += failed
        wanted += len(_asked(experiment))
        done += len(_asked(experiment)) - len(missing(experiment, workdir, fingerprint))
        jax.clear_caches()  # the next network shares no program with this one
    return Reproduced(wanted, done, all_failed)


def work_directory(recipe: Recipe, root: Path) -> Path:
    """Where a recipe's network and rows lie."""
    return root / f"{run_name(recipe)}-{recipe.seed}"


def run_name(recipe: Recipe) -> str:
    """The recipe's name, and the split where it is not the paper's: both may lie in one folder."""
    return recipe.name if recipe.data.config == "official" else f"{recipe.name}-{recipe.data.config}"


def run(experiment: Experiment, workdir: Path, fingerprint: Fingerprint) -> Iterator[Failure]:
    """The rows of an experiment that could not be had; those that could are in its work directory.

    Raises:
        Stopped: a signal arrived; the state is saved.
    """
    recipe, asked = experiment.recipe, missing(experiment, workdir, fingerprint)
    if not asked:
        return
    try:
        fit(recipe, workdir)
        # The recipe as asked for: what comes after the training, and where the data lie, may have changed since.
        passes = Embedded(replace(load_trained(workdir), recipe=recipe))
    except _FAILURES as error:
        yield from _failed(experiment, asked, error)
        return
    for together in _groups(asked):
        try:
            for row in _rows(passes, together):
                logger.info(said(row))
        except _FAILURES as error:
            left = missing(experiment, workdir, fingerprint)
            yield from _failed(experiment, [row for row in together if row in left], error)


def missing(experiment: Experiment, workdir: Path, fingerprint: Fingerprint) -> list[Asked]:
    """The experiment's rows that its work directory does not hold: of this recipe, objective and data.

    Raises:
        InputError: its rows or the data cannot be read.
    """
    recipe = experiment.recipe
    identity = essentials(to_dict(recipe))
    known = {
        (row.protocol, row.split, row.checksums.get("data"))
        for row in rows.load(workdir)
        if essentials(row.recipe) == identity and row.objective in (None, recipe.change.objective)
    }
    return [
        (protocol, split)
        for protocol, split in _asked(experiment)
        if (protocol, split, fingerprint(recipe.data, protocol, split)) not in known
    ]


def _asked(experiment: Experiment) -> list[Asked]:
    """Every row of an experiment."""
    data = experiment.recipe.data
    splits = {"scene": default_splits, "multilabel": lambda data: ["test"]}
    return [
        (protocol, split) for protocol in experiment.protocols for split in splits.get(protocol, evaluated_splits)(data)
    ]


def _groups(asked: list[Asked]) -> list[list[Asked]]:
    """Scenes split by split; the splits of a change method together, which share its validation."""
    scenes = [[row] for row in asked if row[0] in _OF_SCENES]
    methods = dict.fromkeys(protocol for protocol, _ in asked if protocol not in _OF_SCENES)
    return scenes + [[row for row in asked if row[0] == method] for method in methods]


def _rows(passes: Embedded, together: list[Asked]) -> Iterator[rows.Row]:
    """The rows of a group, each in its work directory before the next is begun."""
    protocol, splits = together[0][0], [split for _, split in together]
    if protocol in _OF_SCENES:
        yield (evaluate if protocol == "scene" else evaluate_labels)(passes, splits[0])
    else:
        yield from detect(passes, (protocol,), passes.trained.recipe.change.objective, splits=splits)


def _failed(experiment: Experiment, asked: list[Asked], error: Exception) -> Iterator[Failure]:
    reason = textwrap.shorten(str(error), _REASON_LENGTH, placeholder=" ...")
    for protocol, split in asked:
        yield Failure(run_name(experiment.recipe), protocol, split, experiment.recipe.seed, reason)


def _write_failures(root: Path, experiment: Experiment, failed: Sequence[Failure]) -> None:
    """Writes what failed, whole or not at all: of this experiment what failed now, of the others what was known."""
    recipe = experiment.recipe
    again = {(run_name(recipe), recipe.seed, *row) for row in _asked(experiment)}
    known = failures(root)
    others = [entry for entry in known if (entry.network, entry.seed, entry.protocol, entry.split) not in again]
    path = root / FAILURES_FILE
    if entries := [asdict(entry) for entry in (*others, *failed)]:
        with replacing(path) as stream:
            stream.write(json.dumps(entries, indent=1).encode() + b"\n")
    else:
        path.unlink(missing_ok=True)


def _check_data(experiments: Sequence[Experiment]) -> None:
    """Raises InputError, with all that is wrong, where the data that rows are about cannot be opened.

    What a similarity network trains on is its own affair.
    """
    wrong = dict[str, None]()
    for experiment in experiments:
        recipe = experiment.recipe
        try:
            if recipe.model.task != "similarity":
                open_source(recipe.data, "train")
            for protocol, split in _asked(experiment):
                _open(recipe.data, protocol, split)
        except InputError as error:
            wrong[str(error)] = None
    if wrong:
        raise InputError("; ".join(wrong))


def _fingerprint(data: Data, protocol: str, split: str) -> str:
    return _open(data, protocol, split).fingerprint()


def _open(data: Data, protocol: str, split: str) -> Source:
    return (open_source if protocol in _OF_SCENES else open_pairs)(data, split)
