"""Scene classification (the paper's Table 6): the network's own classifier, or an SVM on its features."""

import numpy as np

from mtsccd_jax.data.sources import Source, scene_splits
from mtsccd_jax.ops.bootstrap import bootstrap_interval
from mtsccd_jax.ops.metrics import confusion_matrix, scene_metrics
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.report import published
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.feature_cache import Embedded
from mtsccd_jax.tasks.scenes.classifier import scene_classifier
from mtsccd_jax.tasks.write_row import Result, interval_metrics, is_mtsccd, thumbnails, write_row

# Scenes shown per class and city in the report.
SHEET = 2


def evaluate(passes: Embedded, split: str) -> Row:
    """The row of the recipe's scene classifier on one split, written to the work directory of the network.

    The artefact `predictions` holds class probabilities of the network's own head, decision values of an SVM.

    Raises:
        InputError: the source has other classes than the network, or no SVM can be fitted.
        RunError: the SVM does not converge.
    """
    trained = passes.trained
    scenes = passes.scenes(split)
    source, embedding = scenes.source, scenes.images["image"]
    arrays = {}
    if trained.recipe.scene.classifier == "svm":
        classifier = scene_classifier(passes)
        score = classifier.scores(embedding.features)
        prediction, certainty = score.argmax(1), {"decision": score}
        arrays["svm"] = classifier.arrays()
    else:
        prediction, certainty = embedding.prediction, {"probability": embedding.probability}
    label, model = source.column("label"), trained.recipe.model
    classes = len(trained.class_names)
    confusion = np.asarray(confusion_matrix(label, prediction, classes), np.int64)
    intervals = bootstrap_interval(confusion, resamples=trained.recipe.evaluation.resamples, seed=trained.recipe.seed)
    arrays["predictions"] = {
        "label": label,
        "prediction": prediction.astype(np.int32),
        **certainty,
        "filename": source.column("filename"),
    }
    arrays["scenes"] = scene_sheet(source)
    result = Result(
        protocol="scene",
        split=split,
        metrics=interval_metrics(scene_metrics(confusion), intervals),
        confusion=confusion,
        class_names=trained.class_names,
        baseline=majority_baseline(confusion),
        published=published.scene(model.name, split, model.width) if is_mtsccd(source) else None,
        images_per_s=scenes.images_per_s,
        started=scenes.started,
        arrays=arrays,
    )
    return write_row(trained, source, result)


def default_splits(data: Data) -> list[str]:
    """The splits that are evaluated where none is named: all but training.

    Raises:
        InputError: the input does not exist or was not built.
    """
    return [name for name in scene_splits(data) if name != "train"]


def majority_baseline(confusion: np.ndarray) -> dict[str, str | float]:
    """The predictor that always names the split's most frequent class."""
    counts = confusion.sum(1)
    return {"name": "most frequent class", "oa": float(counts.max() / counts.sum()), "kappa": 0.0}


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
