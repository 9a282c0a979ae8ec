"""Scene classification (the paper's Table 6): the network's own classifier on a labelled source."""

import time

import numpy as np

from mtsccd_jax.config import Data
from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.evaluate import Trained, embed
from mtsccd_jax.engine.loop import check_scenes
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.metrics import confusion_matrix, scene_metrics
from mtsccd_jax.ops.statistics import bootstrap_interval
from mtsccd_jax.protocols.evidence import Result, interval_metrics, thumbnails, write_row
from mtsccd_jax.report import published
from mtsccd_jax.report.rows import Row

# Scenes shown per class and city in the report.
SHEET = 2


def evaluate(trained: Trained, source: Source, split: str, *, quiet: bool = False) -> Row:
    """The row of the network's own classifier on one split, written to its work directory.

    Raises:
        InputError: the source has other classes than the network.
    """
    check_scenes(source)
    if tuple(source.class_names) != trained.class_names:
        raise InputError(
            f"{source.name}: its classes ({', '.join(source.class_names[:4])}, ...) are not those the network of "
            f"{trained.workdir} was trained on ({', '.join(trained.class_names[:4])}, ...); for other images there is "
            "`mtsccd-jax predict`"
        )
    started = time.perf_counter()
    embeddings, images_per_s = embed(trained, source, quiet=quiet)
    prediction, probability = embeddings["image"].prediction, embeddings["image"].probability
    label = source.column("label")
    classes = len(trained.class_names)
    confusion = np.asarray(confusion_matrix(label, prediction, classes), np.int64)
    intervals = bootstrap_interval(confusion, resamples=trained.recipe.change.resamples, seed=trained.recipe.seed)
    result = Result(
        protocol="scene",
        split=split,
        metrics=interval_metrics(scene_metrics(confusion), intervals),
        confusion=confusion,
        class_names=trained.class_names,
        baseline=majority_baseline(confusion),
        published=published.scene(trained.recipe.model.name, split) if is_mtsccd(source) else None,
        images_per_s=images_per_s,
        started=started,
        arrays={
            "predictions": {
                "label": label,
                "prediction": prediction.astype(np.int32),
                "probability": probability,
                "filename": source.column("filename"),
            },
            "scenes": scene_sheet(source),
        },
    )
    return write_row(trained, source, result)


def default_splits(data: Data) -> list[str]:
    """The splits that are evaluated where none is named: validation, and of MtSCCD both test cities."""
    return ["validation", "test"] if data.folder is not None else ["validation", "test_a", "test_b"]


def majority_baseline(confusion: np.ndarray) -> dict[str, str | float]:
    """The predictor that always names the split's most frequent class."""
    counts = confusion.sum(1)
    return {"name": "most frequent class", "oa": float(counts.max() / counts.sum()), "kappa": 0.0}


def is_mtsccd(source: Source) -> bool:
    """Whether a source is one of the MtSCCD data sets, so that the paper's tables are about it."""
    return source.name.startswith("mtsccd_")


def scene_sheet(source: Source) -> dict[str, np.ndarray]:
    """Thumbnails of the first SHEET scenes of every class and city (the paper's Figure 1, per city)."""
    label = source.column("label")
    city = source.column("city") if "city" in source.fields else np.zeros(len(source), np.int32)
    phase = source.column("phase") if "phase" in source.fields else np.zeros(len(source), np.int32)
    chosen = np.array(
        [
            row
            for place in np.unique(city)
            for scene_class in np.unique(label)
            for row in np.flatnonzero((city == place) & (label == scene_class))[:SHEET]
        ],
        np.int64,
    )
    return {
        "thumb": thumbnails(source, chosen, "image"),
        "label": label[chosen],
        "city": city[chosen],
        "phase": phase[chosen],
        "class_names": np.array(source.class_names),
        "city_names": np.array(source.names.get("city", ("",))),
    }
