"""Multi-label classification: which labels a scene has, by the network's own head.

A label is predicted positive where its probability reaches a threshold: one half, as the papers have it, or the label's
own threshold that is best on the validation split, found exactly.
"""

import numpy as np

from mtsccd_jax.data.sources import Source, scene_splits
from mtsccd_jax.engine.evaluate import Embedding, Trained
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.multilabel import (
    DECISION_METRICS,
    METRICS,
    class_thresholds,
    decide,
    decision_counts,
    decision_metrics,
    multilabel_metrics,
)
from mtsccd_jax.ops.multilabel_bootstrap import bootstrap_intervals
from mtsccd_jax.recipes.config import Data, Recipe
from mtsccd_jax.report import published
from mtsccd_jax.report.measured import Measured
from mtsccd_jax.report.rows import Row, load, load_artefact
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.labels.source import label_source, names_of
from mtsccd_jax.tasks.write_row import ChosenThreshold, Result, pictures, write_row

# Scenes that the report shows with their true and predicted labels.
PICTURES = 12


def evaluate(cache: FeatureCache, split: str) -> Row:
    """Write the row of all labels of a split to the work directory of the network.

    Every metric of `ops.multilabel` has its 95 % interval over resampled scenes; the thresholds stay as they are.

    Raises:
        InputError: the source has other labels than the network, no scene to choose thresholds on or to evaluate, or
            the recipe asks for an SVM.
        LeakError: the network has learned from some of the scenes in another data set.
        RunError: the network's outputs are not finite.
    """
    recipe, settings = cache.trained.recipe, cache.trained.recipe.labels
    outputs = cache.features(label_source(cache, split))
    source = outputs.source
    if recipe.scene.classifier == "svm":
        raise InputError("scene.classifier=svm: labels are named by the network's own head alone; set it to head")
    label, probability = source.column("labels"), outputs.values["image"].label_probability
    threshold, chosen = np.full(label.shape[1], 0.5), None
    arrays = {}
    if settings.threshold == "validation":
        known = cache.features(label_source(cache, "validation"))
        known_label, known_probability = known.source.column("labels"), known.values["image"].label_probability
        threshold = class_thresholds(known_label, known_probability, settings.objective).threshold_k
        chosen = ChosenThreshold(settings.objective, "validation")
        arrays["validation"] = {"label": known_label, "probability": known_probability}
    predicted = decide(probability, threshold)
    resamples, seed = recipe.evaluation.resamples, recipe.seed
    measured = measure(label, probability, predicted, resamples=resamples, seed=seed)
    arrays |= {
        "predictions": {
            "label": label,
            "probability": probability,
            "called": predicted,
            "threshold": threshold,
            "filename": names_of(source),
        },
        "patches": labelled_pictures(source),
    }
    model = recipe.model
    result = Result(
        protocol="multilabel",
        measured=measured,
        class_names=cache.trained.class_names,
        arrays=arrays,
        started=outputs.started,
        published=published.multilabel(source.dataset, model.name, recipe.data.bands, model.width, split),
        threshold=chosen,
    )
    return write_row(cache.trained, outputs, result)


def measure(
    label_nk: np.ndarray, probability_nk: np.ndarray, predicted_nk: np.ndarray, *, resamples: int, seed: int
) -> Measured:
    """Return the numbers of a row from the truth, the probability and the decision (bool) of every label."""
    tp, fp, fn = decision_counts(label_nk, predicted_nk)
    # Decisions as scores of 0 and 1: their metrics need no threshold, which differs from label to label.
    decision = predicted_nk.astype(np.float32)
    of_scores = [name for name in METRICS if name not in DECISION_METRICS]
    intervals = {
        **bootstrap_intervals(label_nk, probability_nk, metrics=of_scores, resamples=resamples, seed=seed),
        **bootstrap_intervals(label_nk, decision, metrics=DECISION_METRICS, resamples=resamples, seed=seed),
    }
    share = np.broadcast_to(label_nk.mean(0), label_nk.shape)
    return Measured(
        n=len(label_nk),
        confusion=np.stack([len(label_nk) - tp - fp - fn, fp, fn, tp], 1),
        values=multilabel_metrics(label_nk, probability_nk) | decision_metrics(label_nk, predicted_nk),
        intervals=intervals,
        baseline={"name": "label frequencies", **multilabel_metrics(label_nk, share)},
    )


def evaluated_splits(recipe: Recipe, data: Data) -> list[str]:
    """Return the splits to evaluate where none is named: all but training, and those that thresholds are chosen on."""
    chosen_on = ["validation"] if recipe.labels.threshold == "validation" else []
    return [name for name in scene_splits(data) if name not in ("train", *chosen_on)]


def label_thresholds(trained: Trained) -> np.ndarray | float:
    """Return the probability from which a label is predicted positive, one or (k,): one half, or as last chosen."""
    if trained.recipe.labels.threshold == "half":
        return 0.5
    objective = trained.recipe.labels.objective
    chosen = [row for row in load(trained.workdir) if row.protocol == "multilabel" and row.objective == objective]
    found = load_artefact(trained.workdir, chosen[-1], "predictions") if chosen else None
    if found is None:
        raise InputError(
            f"{trained.workdir}: labels.threshold=validation, and no thresholds by {objective} are there; run "
            "`mtsccd-jax evaluate` first, or train with labels.threshold=half"
        )
    return found["threshold"]


def predicted_columns(trained: Trained, embedding: Embedding) -> dict[str, np.ndarray]:
    """Return the columns of `predict`: the labels that are predicted positive, and the probability of each."""
    probability, names = embedding.label_probability, np.array(trained.class_names)
    predicted = decide(probability, label_thresholds(trained))
    columns = {"labels": np.array(["; ".join(names[row]) for row in predicted])}
    digits = probability.astype(np.float64).round(6)
    return columns | {f"p_{name}": digits[:, k] for k, name in enumerate(trained.class_names)}


def labelled_pictures(source: Source) -> dict[str, np.ndarray]:
    """Return a few scenes with labels (Table 3 of the BigEarthNet v1 paper), the same whatever the network."""
    some = np.flatnonzero(source.column("labels").any(1))
    row = np.sort(np.random.default_rng(0).permutation(some)[:PICTURES])
    return {"thumb": pictures(source, row), "row": row, "class_names": np.array(source.names["labels"])}
