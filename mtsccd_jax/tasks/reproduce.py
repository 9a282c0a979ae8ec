"""The tables of a paper as a matrix: every network trained once, every missing row computed, every failure recorded.

Each network and seed has a work directory of its own below one folder. A row that is there already, of the same recipe
and data, is not computed again; training continues where it stopped. A failure is written down with its reason, the
rest of the matrix goes on, and the same command tries the failed rows again.
"""

import json
import logging
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import jax

from mtsccd_jax import processes
from mtsccd_jax.checksums import with_sha256
from mtsccd_jax.engine.compilation import run_cache
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.engine.workdir import check_recipe
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import AnyPath, replacing
from mtsccd_jax.progress import console
from mtsccd_jax.recipes.config import Data, Recipe, essentials, to_dict
from mtsccd_jax.recipes.experiment import Experiment
from mtsccd_jax.report import rows
from mtsccd_jax.report.workdirs import FAILURES_FILE, Failure, failures
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.table import BY_HEAD, BY_PROTOCOL, summary_line
from mtsccd_jax.tasks.train import train

logger = logging.getLogger(__name__)

# Errors that fail one row and not the matrix: wrong input, a broken run, no memory on device or host.
_FAILURES = (InputError, RunError, jax.errors.JaxRuntimeError, MemoryError)
# XLA describes a full memory in pages.
_REASON_LENGTH = 300

# (protocol, split) of a row
Asked = tuple[str, str]
# fingerprint(data, protocol, split) of the source that a row is about
Fingerprint = Callable[[Data, str, str], str]


@dataclass(frozen=True)
class Reproduced:
    """The outcome of a matrix: how many rows it asks for, how many of them are there, and what failed this time."""

    rows: int
    done: int
    failures: tuple[Failure, ...]


def reproduce(experiments: Sequence[Experiment], root: AnyPath, *, seeds: int = 1) -> Reproduced:
    """Train and evaluate what is missing of a matrix; work directories and `failures.json` lie in `root`.

    Every experiment runs with its recipe's seed and the `seeds - 1` that follow.

    Raises:
        InputError: a recipe is impossible, the data that rows are about cannot be read, or a work directory holds
            another recipe's network.
        Stopped: a signal arrived; the state is saved.
    """
    root = Path(root)
    runs = [
        replace(experiment, recipe=replace(experiment.recipe, seed=experiment.recipe.seed + offset))
        for offset in range(seeds)
        for experiment in experiments
    ]
    for experiment in runs:
        experiment.recipe.check()
        if experiment.recipe.data.leaks is not None:
            raise InputError("data.leaks: rows of a matrix have no such column; use `mtsccd-jax evaluate --leaks`")
    with processes.together():
        _check_data(experiments)
    fingerprint = cache(_fingerprint)
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
    """Return the folder of a recipe's network and rows."""
    return root / f"{run_name(recipe)}-{recipe.seed}"


def run_name(recipe: Recipe) -> str:
    """Return the recipe's name, with the split configuration where it is not the paper's."""
    return recipe.name if recipe.data.config == "official" else f"{recipe.name}-{recipe.data.config}"


def run(experiment: Experiment, workdir: Path, fingerprint: Fingerprint) -> Iterator[Failure]:
    """Write the missing rows of an experiment to its work directory, and yield those that failed."""
    recipe, asked = experiment.recipe, missing(experiment, workdir, fingerprint)
    if not asked:
        return
    try:
        train(recipe, workdir)
        # The recipe as asked for: settings of evaluations, and where the data lie, may have changed since training.
        features = FeatureCache(replace(load_trained(workdir), recipe=recipe))
    except _FAILURES as error:
        processes.check_all_failed(error)
        for protocol, split in asked:
            yield _failure(experiment, protocol, split, error)
        return
    for protocol, split in asked:
        try:
            logger.info(summary_line(BY_PROTOCOL[protocol].evaluate(features, protocol, split)))
        except _FAILURES as error:
            processes.check_all_failed(error)
            yield _failure(experiment, protocol, split, error)


def missing(experiment: Experiment, workdir: Path, fingerprint: Fingerprint) -> list[Asked]:
    """Return the rows of an experiment that its work directory does not hold, of this recipe, objective and data."""
    found = processes.by_first(lambda: _missing(experiment, workdir, fingerprint))
    return [(protocol, split) for protocol, split in found]


def _missing(experiment: Experiment, workdir: Path, fingerprint: Fingerprint) -> list[Asked]:
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
    """Return every row of an experiment."""
    recipe, asked = experiment.recipe, []
    for protocol in experiment.protocols:
        kind = BY_PROTOCOL[protocol]
        splits: Sequence[str] = kind.published_splits
        if not splits or recipe.data.leave_out is not None:
            splits = kind.evaluated_splits(recipe, recipe.data)
        if recipe.data.leave_out is not None:
            splits = [split for split in splits if split != "validation"]
        asked += [(protocol, split) for split in splits]
    return asked


def _failure(experiment: Experiment, protocol: str, split: str, error: Exception) -> Failure:
    reason = textwrap.shorten(str(error), _REASON_LENGTH, placeholder=" ...")
    return Failure(run_name(experiment.recipe), protocol, split, experiment.recipe.seed, reason)


def _write_failures(root: Path, experiment: Experiment, failed: Sequence[Failure]) -> None:
    """Replace the failures of this experiment in the file; those of others stay."""
    recipe = experiment.recipe
    again = {(run_name(recipe), recipe.seed, *row) for row in _asked(experiment)}
    known = failures(root)
    others = [entry for entry in known if (entry.network, entry.seed, entry.protocol, entry.split) not in again]
    path = root / FAILURES_FILE
    if entries := [with_sha256(asdict(entry)) for entry in (*others, *failed)]:
        with replacing(path) as stream:
            stream.write(json.dumps(entries, indent=1).encode() + b"\n")
    elif processes.is_first():
        path.unlink(missing_ok=True)


def _check_data(experiments: Sequence[Experiment]) -> None:
    """Raise InputError, with all that is wrong, where data of the matrix cannot be opened.

    The training pairs of similarity networks are opened by their training alone, and fail only its rows.
    """
    wrong = dict[str, None]()
    for experiment in experiments:
        recipe = experiment.recipe
        try:
            kind = BY_HEAD[recipe.model.task]
            if kind.training and kind.training.task == recipe.model.task:
                kind.open_split(recipe.data, "train")
            for protocol, split in _asked(experiment):
                BY_PROTOCOL[protocol].open_split(recipe.data, split)
        except InputError as error:
            wrong[str(error)] = None
    if wrong:
        raise InputError("; ".join(wrong))


def _fingerprint(data: Data, protocol: str, split: str) -> str:
    return BY_PROTOCOL[protocol].open_split(data, split).fingerprint()
