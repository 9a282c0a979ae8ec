"""What every protocol adds to its numbers so that they can be believed: the row and its artefacts."""

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from mtsccd_jax import provenance
from mtsccd_jax.data.bands import picture, picture_bands
from mtsccd_jax.data.patch_source import PatchSource
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.tfds_source import TfdsSource
from mtsccd_jax.engine import workdir as work
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.recipes.config import to_dict
from mtsccd_jax.report import rows
from mtsccd_jax.report.published import Published

# Thumbnails in the report, pixels a side.
THUMB = 96


@dataclass(frozen=True)
class Result:
    """What a protocol found on one split, before provenance is added."""

    protocol: str
    split: str
    metrics: dict[str, dict[str, float | None]]
    confusion: np.ndarray
    class_names: tuple[str, ...]
    baseline: dict[str, Any]
    published: Published | None
    images_per_s: float
    started: float
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    threshold: float | None = None
    objective: str | None = None
    threshold_from: str | None = None
    metrics_rechosen: dict[str, dict[str, float | None]] | None = None


def write_row(trained: Trained, source: Source, result: Result) -> rows.Row:
    """The row of a result, appended to the work directory with its artefacts."""
    recipe = to_dict(trained.recipe)
    seed = trained.recipe.seed
    objective = result.objective if result.objective != trained.recipe.change.objective else None
    fingerprint = source.fingerprint()
    identity = rows.row_id(
        recipe,
        result.split,
        result.protocol,
        seed,
        objective=objective,
        dataset=rows.data_identity(source.dataset, fingerprint),
    )
    arrays = {**result.arrays, "training": training_curve(trained)}
    artefacts, checksums = {}, {}
    for name, content in arrays.items():
        file_name = f"{identity}-{name}" if name != "training" else "training"
        artefacts[name], checksums[name] = rows.save_artefact(trained.workdir, file_name, content)
    now = datetime.datetime.now(datetime.UTC)
    row = rows.Row(
        id=identity,
        dataset=source.dataset,
        generated=source.generated,
        split=result.split,
        protocol=result.protocol,
        model=trained.recipe.model.name,
        seed=seed,
        n=len(source),
        metrics=result.metrics,
        metrics_rechosen=result.metrics_rechosen,
        confusion=result.confusion.astype(int).tolist(),
        class_names=list(result.class_names),
        threshold=result.threshold,
        objective=result.objective,
        threshold_from=result.threshold_from,
        baseline=result.baseline,
        published=asdict(result.published) if result.published else None,
        recipe=recipe,
        versions=provenance.versions(),
        device=provenance.device(),
        commit=provenance.commit(),
        times={"finished": now.isoformat(timespec="seconds"), "seconds": time.perf_counter() - result.started},
        images_per_s=result.images_per_s,
        checksums={
            "data": fingerprint,
            "initial_weights": work.load(trained.workdir).weights_sha256,
            "artefacts": checksums,
        },
        artefacts=artefacts,
    )
    rows.append(trained.workdir, row)
    return row


def said(row: rows.Row) -> str:
    """A row in one line for people: the two metrics that its protocol is best known by."""
    known = {"multilabel": ("ap_macro", "f1_macro"), "retrieval": ("map", "precision_at_10")}
    names = [name for name in known.get(row.protocol, ("oa", "kappa")) if name in row.metrics]
    values = {name: row.metrics[name]["value"] for name in names}
    scores = "  ".join(f"{name} {'-' if value is None else format(value, '.4f')}" for name, value in values.items())
    return f"{row.protocol:<10} {row.split:<11} {scores}"


def training_curve(trained: Trained) -> dict[str, np.ndarray]:
    """The training history as arrays: step, epoch, loss, accuracy, learning_rate, images_per_s; NaN where not known."""
    history = work.read_history(trained.workdir)
    return {
        name: np.array([getattr(record, name) for record in history], dtype)
        for name, dtype in (
            ("step", np.int64),
            ("epoch", np.int64),
            ("loss", np.float64),
            ("accuracy", np.float64),
            ("learning_rate", np.float64),
            ("images_per_s", np.float64),
        )
    }


def interval_metrics(
    values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> dict[str, dict[str, float | None]]:
    """Each metric with its value and the ends of its 95 % interval, as rows hold them."""
    return {
        name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
        for name, value in values.items()
        if name in intervals
    }


def is_mtsccd(source: Source) -> bool:
    """Whether a source is one of the MtSCCD data sets, so that the paper's tables are about it."""
    return source.name.startswith("mtsccd_")


def thumbnails(source: Source, indices: np.ndarray, field: str) -> np.ndarray:
    """The images of a field at THUMB pixels a side, (n, THUMB, THUMB, 3) uint8."""
    return _small(source.read(indices)[field]) if len(indices) else _small([])


def pictures(source: Source, indices: np.ndarray) -> np.ndarray:
    """Scenes as people look at them, (n, THUMB, THUMB, 3) uint8: their images, or natural colours of their bands.

    Of a data set without these bands radar in false colours, or else one band in grey.
    """
    if source.image_fields:
        return thumbnails(source, indices, source.image_fields[0])
    assert isinstance(source, (TfdsSource, PatchSource))
    names = picture_bands(source.stored_bands)
    found = source.reading(names).read(indices) if len(indices) else {}
    return _small(picture({name: found[name] for name in names}) if found else [])


def _small(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    thumbs = np.zeros((len(images), THUMB, THUMB, 3), np.uint8)
    for row, image in enumerate(images):
        larger = min(image.shape[:2]) < THUMB
        thumbs[row] = cv2.resize(image, (THUMB, THUMB), interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    return thumbs
