"""The only writer of rows: a task's numbers and arrays, with the provenance that makes them believable."""

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtsccd_jax import provenance
from mtsccd_jax.data.bands import picture, picture_bands
from mtsccd_jax.data.parts.listed import copies_of_training
from mtsccd_jax.data.sources import Source, training_name
from mtsccd_jax.engine import workdir as work
from mtsccd_jax.engine.checkpoint import newest_step
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.recipes.config import Recipe, to_dict
from mtsccd_jax.report import rows
from mtsccd_jax.report.measured import Interval, Measured
from mtsccd_jax.report.published import Published
from mtsccd_jax.tasks.feature_cache import Outputs

# Side of the thumbnails in the report, pixels.
THUMB = 96

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ChosenThreshold:
    """How the threshold of a decision was chosen."""

    objective: str
    chosen_on: str  # "validation" or "cross_validation_5"
    value: float | None = None  # infinity makes no example positive; None where each label has its own
    intervals: Mapping[str, Interval] | None = None  # of the metrics when the threshold is uncertain too


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of an evaluation on one split, without provenance."""

    protocol: str
    measured: Measured
    class_names: tuple[str, ...]  # of the rows of the confusion matrix
    arrays: Mapping[str, Arrays]  # its artefacts by name
    started: float  # `time.perf_counter()` when the work on the row began
    published: Published | None = None
    threshold: ChosenThreshold | None = None  # None for a protocol without one


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a result comes from: the network and the examples."""

    workdir: Path
    recipe: Recipe
    dataset: str
    split: str
    generated: bool
    fingerprint: str  # of the examples
    images_per_s: float | None = None
    initial_weights: str | None = None  # SHA-256


def write_row(trained: Trained, outputs: Outputs[Any], result: Result) -> rows.Row:
    """Append the row of a result to the work directory, with its artefacts; `outputs` give its split and throughput."""
    source = outputs.source
    origin = Origin(
        workdir=trained.workdir,
        recipe=trained.recipe,
        dataset=source.dataset,
        split=source.split,
        generated=source.generated,
        fingerprint=source.fingerprint(),
        images_per_s=outputs.images_per_s,
        initial_weights=work.load(trained.workdir).weights_sha256,
    )
    curve = rows.save_artefact(trained.workdir, "training", training_curve(trained))
    return append_row(origin, with_leaked(result, source, trained.recipe), {"training": curve})


def append_row(origin: Origin, result: Result, saved: Mapping[str, tuple[str, str]] | None = None) -> rows.Row:
    """Append the row of a result to its work directory, with its artefacts and those that are `saved` already."""
    recipe, seed = to_dict(origin.recipe), origin.recipe.seed
    measured, threshold = result.measured, result.threshold
    objective = threshold.objective if threshold else None
    value = threshold.value if threshold else None
    identity = rows.row_id(
        recipe,
        origin.split,
        result.protocol,
        seed,
        objective=objective if objective != origin.recipe.change.objective else None,
        dataset=rows.data_identity(origin.dataset, origin.fingerprint, recipe),
    )
    artefacts = {
        name: rows.save_artefact(origin.workdir, f"{identity}-{name}", content)
        for name, content in result.arrays.items()
    } | dict(saved or {})
    now = datetime.datetime.now(datetime.UTC)
    row = rows.Row(
        id=identity,
        dataset=origin.dataset,
        generated=origin.generated,
        split=origin.split,
        protocol=result.protocol,
        model=origin.recipe.model.name,
        seed=seed,
        n=measured.n,
        metrics=measured.metrics,
        metrics_rechosen=measured.metrics_within(threshold.intervals) if threshold and threshold.intervals else None,
        confusion=measured.confusion.astype(int).tolist(),
        class_names=list(result.class_names),
        threshold=value if value is not None and np.isfinite(value) else None,
        objective=objective,
        threshold_from=threshold.chosen_on if threshold else None,
        baseline=dict(measured.baseline),
        published=asdict(result.published) if result.published else None,
        recipe=recipe,
        versions=provenance.versions(),
        device=provenance.device(),
        commit=provenance.commit(),
        times={"finished": now.isoformat(timespec="seconds"), "seconds": time.perf_counter() - result.started},
        images_per_s=origin.images_per_s,
        checksums={
            "data": origin.fingerprint,
            "initial_weights": origin.initial_weights,
            "artefacts": {name: sha256 for name, (_, sha256) in artefacts.items()},
        },
        artefacts={name: path for name, (path, _) in artefacts.items()},
    )
    rows.append(origin.workdir, row)
    return row


def with_leaked(result: Result, source: Source, recipe: Recipe) -> Result:
    """Return a result with the share of examples that have a copy in training, by a list of `data audit`, if any.

    Which ones have is an array of the artefact `predictions`.
    """
    leaks = recipe.data.leaks
    if leaks is None or "predictions" not in result.arrays:
        return result
    is_pairs = recipe.model.task == "similarity" or (recipe.data.folder is None and recipe.data.dataset is None)
    leaked = copies_of_training(source, leaks, training_name(recipe.data, pairs=is_pairs))
    predictions = {**result.arrays["predictions"], "leaked": leaked}
    arrays = {**result.arrays, "predictions": predictions}
    return replace(result, measured=result.measured.with_share("leaked", leaked), arrays=arrays)


def training_curve(trained: Trained) -> dict[str, np.ndarray]:
    """Return the training history as arrays by name; NaN where a rate is not known."""
    saved_step = newest_step(trained.workdir) or 0  # first: a training that runs adds to both
    history = work.read_history(trained.workdir)
    work.warn_of_lost_steps(trained.workdir, history, saved_step)
    types = {"step": np.int64, "epoch": np.int64}
    names = ("step", "epoch", "loss", "accuracy", "learning_rate", "images_per_s")
    return {
        name: np.array([getattr(record, name) for record in history], types.get(name, np.float64)) for name in names
    }


def thumbnails(source: Source, indices: np.ndarray, field: str) -> np.ndarray:
    """Return the images of a field at THUMB pixels a side, (n, THUMB, THUMB, 3) uint8."""
    return _small(source.read(indices)[field]) if len(indices) else _small([])


def pictures(source: Source, indices: np.ndarray) -> np.ndarray:
    """Return scenes as people look at them, (n, THUMB, THUMB, 3) uint8: their images, or their bands in colours.

    The colours are natural where the data set has those bands; else radar in false colours, else one band in grey.
    """
    if source.image_fields:
        return thumbnails(source, indices, source.image_fields[0])
    of_bands: Any = source  # which has these two
    names = picture_bands(of_bands.stored_bands)
    found = of_bands.reading(names).read(indices) if len(indices) else {}
    return _small(picture({name: found[name] for name in names}) if found else [])


def _small(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    thumbs = np.zeros((len(images), THUMB, THUMB, 3), np.uint8)
    for row, image in enumerate(images):
        larger = min(image.shape[:2]) < THUMB
        thumbs[row] = cv2.resize(image, (THUMB, THUMB), interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    return thumbs
