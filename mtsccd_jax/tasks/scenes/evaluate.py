"""Scene classification (the paper's Table 6): the network's own classifier, or an SVM on its features."""

import numpy as np

from mtsccd_jax.data.sources import Source, scene_splits
from mtsccd_jax.engine.evaluate import Embedding, Trained
from mtsccd_jax.ops.bootstrap import bootstrap_interval
from mtsccd_jax.ops.metrics import confusion_matrix, scene_metrics
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.report import published
from mtsccd_jax.report.measured import Measured
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.scenes.classifier import scene_classifier
from mtsccd_jax.tasks.scenes.source import scene_source
from mtsccd_jax.tasks.write_row import Result, thumbnails, write_row

# Scenes of each class and city that the report shows.
SHEET = 2


def evaluate(cache: FeatureCache, split: str) -> Row:
    """Write the row of the recipe's scene classifier on one split to the work directory of the network.

    The artefact `predictions` holds class probabilities of the network's own head, or decision values of an SVM.

    Raises:
        InputError: the source has other classes than the network, or no SVM can be fitted.
        RunError: the SVM does not converge.
    """
    trained, outputs = cache.trained, cache.features(scene_source(cache, split))
    source, embedding = outputs.source, outputs.values["image"]
    arrays = {}
    if trained.recipe.scene.classifier == "svm":
        classifier = scene_classifier(cache)
        score = embedding.share.each(classifier.scores, embedding.own_features)
        prediction, certainty = score.argmax(1), {"decision": score}
        arrays["svm"] = classifier.arrays()
    else:
        prediction, certainty = embedding.prediction, {"probability": embedding.probability}
    label, recipe = source.column("label"), trained.recipe
    resamples, seed = recipe.evaluation.resamples, recipe.seed
    measured = measure(label, prediction, len(trained.class_names), resamples=resamples, seed=seed)
    arrays["predictions"] = {
        "label": label,
        "prediction": prediction.astype(np.int32),
        **certainty,
        "filename": source.column("filename"),
    }
    arrays["scenes"] = scene_sheet(source)
    result = Result(
        protocol="scene",
        measured=measured,
        class_names=trained.class_names,
        arrays=arrays,
        started=outputs.started,
        published=published_value(source.dataset, recipe.model.name, split, recipe.model.width),
    )
    return write_row(trained, outputs, result)


def measure(label_n: np.ndarray, prediction_n: np.ndarray, classes: int, *, resamples: int, seed: int) -> Measured:
    """Return the numbers of a scene row from the true and the predicted class of every scene."""
    confusion = np.asarray(confusion_matrix(label_n, prediction_n, classes), np.int64)
    intervals = bootstrap_interval(confusion, resamples=resamples, seed=seed)
    most_frequent = float(confusion.sum(1).max() / confusion.sum())
    baseline = {"name": "most frequent class", "oa": most_frequent, "kappa": 0.0}
    return Measured(len(label_n), confusion, scene_metrics(confusion), intervals, baseline)


def published_value(dataset: str, model: str, split: str, width: float) -> published.Published | None:
    """Return the entry of Table 6 for a network on a split of an MtSCCD data set; None where there is none."""
    return published.scene(model, split, width) if dataset.startswith("mtsccd_") else None


def evaluated_splits(data: Data) -> list[str]:
    """Return the splits to evaluate where none is named: all but training."""
    return [name for name in scene_splits(data) if name != "train"]


def predicted_columns(trained: Trained, embedding: Embedding) -> dict[str, np.ndarray]:
    """Return the columns of `predict`: the most probable class, its probability, and that of every class."""
    probability, names = embedding.probability.astype(np.float64).round(6), trained.class_names
    columns = {"label": np.array(names)[embedding.prediction], "probability": probability.max(-1)}
    return columns | {f"p_{name}": probability[:, k] for k, name in enumerate(names)}


def scene_sheet(source: Source) -> dict[str, np.ndarray]:
    """Return thumbnails of the first SHEET scenes of every class and city (the paper's Figure 1, per city)."""
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
