"""The only writer of rows: a task's numbers and arrays, with the provenance that makes them believable."""

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np

from mtsccd_jax import provenance
from mtsccd_jax.data.bands import picture, picture_bands
from mtsccd_jax.data.parts.listed import copies_of_training
from mtsccd_jax.data.parts.subset import Subset
from mtsccd_jax.data.patch_source import PatchSource
from mtsccd_jax.data.sources import Source, training_name
from mtsccd_jax.data.tfds_source import TfdsSource
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


def write_row(trained: Trained, outputs: Outputs[Any], result: Result) -> rows.Row:
    """Append the row of a result to the work directory, with its artefacts; `outputs` give its split and throughput."""
    recipe, seed, source = to_dict(trained.recipe), trained.recipe.seed, outputs.source
    result = with_leaked(result, source, trained.recipe)
    measured, threshold = result.measured, result.threshold
    objective = threshold.objective if threshold else None
    value = threshold.value if threshold else None
    fingerprint = source.fingerprint()
    identity = rows.row_id(
        recipe,
        source.split,
        result.protocol,
        seed,
        objective=objective if objective != trained.recipe.change.objective else None,
        dataset=rows.data_identity(source.dataset, fingerprint),
    )
    artefacts, checksums = {}, {}
    for name, content in {**result.arrays, "training": training_curve(trained)}.items():
        file_name = f"{identity}-{name}" if name != "training" else "training"
        artefacts[name], checksums[name] = rows.save_artefact(trained.workdir, file_name, content)
    now = datetime.datetime.now(datetime.UTC)
    row = rows.Row(
        id=identity,
        dataset=source.dataset,
        generated=source.generated,
        split=source.split,
        protocol=result.protocol,
        model=trained.recipe.model.name,
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
        images_per_s=outputs.images_per_s,
        checksums={
            "data": fingerprint,
            "initial_weights": work.load(trained.workdir).weights_sha256,
            "artefacts": checksums,
        },
        artefacts=artefacts,
    )
    rows.append(trained.workdir, row)
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
    return replace(result, measured=result.measured.with_leaked(leaked), arrays=arrays)


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
    assert isinstance(source, (TfdsSource, PatchSource, Subset))
    names = picture_bands(source.stored_bands)
    found = source.reading(names).read(indices) if len(indices) else {}
    return _small(picture({name: found[name] for name in names}) if found else [])


def _small(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    thumbs = np.zeros((len(images), THUMB, THUMB, 3), np.uint8)
    for row, image in enumerate(images):
        larger = min(image.shape[:2]) < THUMB
        thumbs[row] = cv2.resize(image, (THUMB, THUMB), interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    return thumbs
