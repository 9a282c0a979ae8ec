"""One city left out after the other: the networks that it takes, and the rows that sum them up."""

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtsccd_jax.data.sources import Source, cities, open_pairs, open_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Recipe, essentials, to_dict
from mtsccd_jax.recipes.experiment import Experiment
from mtsccd_jax.report import rows
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.reproduce import Reproduced, reproduce, work_directory
from mtsccd_jax.tasks.shift import SPLIT, SUMS_UP
from mtsccd_jax.tasks.shift.measure import measure
from mtsccd_jax.tasks.table import summary_line
from mtsccd_jax.tasks.write_row import Arrays, Origin, Result, append_row

logger = logging.getLogger(__name__)

# Arrays of the artefact `predictions` with truth and prediction: of scenes, and of every change method.
_SCENE, _CHANGE = ("label", "prediction"), ("changed", "predicted")
_DATES = ("date", "date_t1", "date_t2")


@dataclass(frozen=True)
class Fold:
    """The network that a city was left out for, and its rows: protocol and split -> row."""

    city: str
    recipe: Recipe
    workdir: Path
    rows: dict[tuple[str, str], Row]


def reproduce_by_city(experiments: Sequence[Experiment], root: Path, *, seeds: int = 1) -> Reproduced:
    """Run every experiment once for each city that is left out, and write the rows that sum them up.

    What is there already is kept, as in `reproduce`. A summary whose rows are not all there is not written.

    Raises:
        InputError: as `reproduce`, or the data have fewer than three cities.
    """
    names = {experiment.recipe.name: cities_to_leave_out(experiment) for experiment in experiments}
    folds = [without(experiment, city) for experiment in experiments for city in names[experiment.recipe.name]]
    result = reproduce(folds, root, seeds=seeds)
    wanted, done = 0, 0
    for offset in range(seeds):
        for experiment in experiments:
            seeded = replace(experiment, recipe=replace(experiment.recipe, seed=experiment.recipe.seed + offset))
            wanted += len(experiment.protocols)
            for row in sum_up(seeded, names[experiment.recipe.name], root):
                logger.info(summary_line(row))
                done += 1
    return Reproduced(result.rows + wanted, result.done + done, result.failures)


def cities_to_leave_out(experiment: Experiment) -> tuple[str, ...]:
    """Return the cities of an experiment's data; InputError where fewer than two would be left to learn from."""
    recipe = experiment.recipe
    found = cities(recipe.data, "pairs" if recipe.model.task == "similarity" else "scenes")
    if len(found) < 3:
        raise InputError(f"{recipe.name}: its data are of {', '.join(found)}; leaving one out needs three or more")
    return found


def without(experiment: Experiment, city: str) -> Experiment:
    """Return the experiment with networks that do not learn from a city."""
    recipe = experiment.recipe
    data = replace(recipe.data, leave_out=city)
    return replace(experiment, recipe=replace(recipe, name=f"{recipe.name}_without_{city}", data=data))


def sum_up(experiment: Experiment, names: Sequence[str], root: Path) -> Iterator[Row]:
    """Yield the shift row of every protocol of an experiment whose rows are all there; write it where it is new."""
    folds = [_fold(without(experiment, city).recipe, city, root) for city in names]
    for shift, protocol in SUMS_UP.items():
        asked = [(protocol, f"test_{city}") for city in names]
        if protocol in experiment.protocols and all(set(asked) <= fold.rows.keys() for fold in folds):
            yield _known(experiment, folds, shift, protocol, root) or _write(experiment, folds, shift, protocol, root)


def _fold(recipe: Recipe, city: str, root: Path) -> Fold:
    """Return a network's own rows."""
    workdir, own = work_directory(recipe, root), essentials(to_dict(recipe))
    usual = (None, recipe.change.objective)
    found = [row for row in rows.load(workdir) if essentials(row.recipe) == own and row.objective in usual]
    return Fold(city, recipe, workdir, {(row.protocol, row.split): row for row in found})


def _known(experiment: Experiment, folds: Sequence[Fold], shift: str, protocol: str, root: Path) -> Row | None:
    """Return the shift row that is there already, if it is made of the same rows."""
    made_of, own = _made_of(folds, protocol), essentials(to_dict(experiment.recipe))
    for row in rows.load(work_directory(experiment.recipe, root / "by_city")):
        if row.protocol == shift and row.checksums.get("data") == made_of and essentials(row.recipe) == own:
            return row
    return None


def _write(experiment: Experiment, folds: Sequence[Fold], shift: str, protocol: str, root: Path) -> Row:
    """Write the shift row of a protocol, with the predictions of all its rows."""
    started, recipe = time.perf_counter(), experiment.recipe
    names, first = [fold.city for fold in folds], folds[0].rows[protocol, f"test_{folds[0].city}"]
    parts = [_city(folds, protocol, number) for number in range(len(folds))]
    predictions = {
        field: np.concatenate([part[field] for part in parts], axis=1 if field == "predicted" else 0)
        for field in parts[0]
    }
    classes = len(first.class_names)
    measured = measure(
        predictions["truth"],
        predictions["predicted"],
        predictions["city"],
        names,
        classes,
        resamples=recipe.evaluation.resamples,
        seed=recipe.seed,
    )
    arrays = {"predictions": predictions | {"city_names": np.array(names), "classes": np.array(classes)}}
    origin = Origin(
        workdir=work_directory(recipe, root / "by_city"),
        recipe=recipe,
        dataset=first.dataset,
        split=SPLIT,
        generated=first.generated,
        fingerprint=_made_of(folds, protocol),
    )
    result = Result(protocol=shift, measured=measured, class_names=tuple(names), arrays=arrays, started=started)
    return append_row(origin, result)


def _city(folds: Sequence[Fold], protocol: str, number: int) -> dict[str, np.ndarray]:
    """Return truth, dates and the predictions of all networks on the test split of one city.

    Raises:
        InputError: an artefact is gone, or the rows are of different examples.
    """
    split = f"test_{folds[number].city}"
    names = _SCENE if protocol == "scene" else _CHANGE
    found = [_predictions(fold, protocol, split) for fold in folds]
    for fold, own in zip(folds, found, strict=True):
        if not np.array_equal(own[names[0]], found[0][names[0]]):
            raise InputError(f"{fold.workdir}: its {protocol} row of {split} is of other examples; evaluate it again")
    source = _source(folds[number], protocol, split)
    dates = {field: source.column(field) for field in _DATES if field in source.fields}
    truth = found[0][names[0]].astype(np.int32)
    predicted = np.stack([own[names[1]] for own in found]).astype(np.int32)
    return {"truth": truth, "predicted": predicted, "city": np.full(len(truth), number, np.int32), **dates}


def _predictions(fold: Fold, protocol: str, split: str) -> Arrays:
    """Return the predictions of a row; InputError where they are gone."""
    row = fold.rows[protocol, split]
    found = rows.load_artefact(fold.workdir, row, "predictions")
    if found is None:
        raise InputError(f"{fold.workdir}: the predictions of row {row.id} are gone; delete the row and run this again")
    return found


def _source(fold: Fold, protocol: str, split: str) -> Source:
    return (open_source if protocol == "scene" else open_pairs)(fold.recipe.data, split)


def _made_of(folds: Sequence[Fold], protocol: str) -> str:
    """Return a SHA-256 of the predictions of all rows that a shift row is made of."""
    digest = hashlib.sha256()
    for fold in folds:
        for other in folds:
            row = fold.rows[protocol, f"test_{other.city}"]
            digest.update(f"{fold.city}:{row.split}:{row.checksums['artefacts'].get('predictions')}\n".encode())
    return digest.hexdigest()
