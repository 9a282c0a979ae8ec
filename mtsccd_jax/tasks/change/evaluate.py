"""Change detection (the paper's Table 7): was a scene's land use another at the second date?

CDC_1 classifies both dates, by the network's own head or by the SVM on its features, and compares the classes. CDC_2
does so from visual words (`cdc_2.py`). CFSM measures the distance between the features of both dates: a pair is changed
iff distance >= threshold. SSCD learns the distance instead (`sscd.py`); it has a network of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.data.sources import pair_splits
from mtsccd_jax.engine.evaluate import Embedding, Trained
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.distance import paired_distance
from mtsccd_jax.recipes.config import Data, Objective
from mtsccd_jax.report.rows import Row, load, load_artefact
from mtsccd_jax.tasks.change import METHODS
from mtsccd_jax.tasks.change.cdc_2 import cdc_2
from mtsccd_jax.tasks.change.decisions import (
    Decision,
    Scores,
    by_threshold,
    change_margin,
    check_finite,
    write_decision,
)
from mtsccd_jax.tasks.change.sscd import compare, new_pairs, sscd
from mtsccd_jax.tasks.feature_cache import FeatureCache, Features, Outputs
from mtsccd_jax.tasks.scenes.classifier import scene_classifier


@dataclass(frozen=True)
class Scale:
    """A common scale of distances: (distance - low) / span."""

    low: float = 0.0
    span: float = 1.0

    def __call__(self, distance_n: np.ndarray) -> np.ndarray:
        """Return the scaled distances, (n,) float32."""
        return ((distance_n - np.float32(self.low)) / np.float32(self.span)).astype(np.float32)


def supported_methods(trained: Trained) -> tuple[str, ...]:
    """Return the change methods that a network supports; InputError where there are none."""
    task = trained.recipe.model.task
    methods = tuple(name for name, method in METHODS.items() if method.trained_as == task)
    if not methods:
        raise InputError(
            f"{trained.workdir}: names all labels of a scene (model.task=labels); change detection needs a network "
            "that was trained with model.task=scenes or model.task=similarity"
        )
    return methods


def detect(
    cache: FeatureCache, methods: Sequence[str], objective: Objective, *, splits: Sequence[str] | None = None
) -> list[Row]:
    """Write a row for each split and method; both dates of a split go through the network once for all methods.

    Without `splits` every split but training and validation is evaluated, or all pairs of a list without splits.

    Raises:
        InputError: a method that the network does not support, or that the pairs do not allow.
        RunError: an SVM does not converge.
    """
    trained = cache.trained
    supported = supported_methods(trained)
    for method in methods:
        if method not in supported:
            raise InputError(
                f"{trained.workdir}: method {method} needs another network than this one, which was trained with "
                f"model.task={trained.recipe.model.task} and supports {', '.join(supported)}"
            )
    chosen = splits or evaluated_splits(cache.data)
    if "sscd" in methods:  # pairs are refused before anything is computed: what follows may take minutes
        for split in chosen:
            new_pairs(cache, split)
    return [evaluate(cache, method, split, objective) for split in chosen for method in methods]


def evaluate(cache: FeatureCache, method: str, split: str, objective: Objective | None = None) -> Row:
    """Write the row of a method on one split, its threshold chosen by `objective` or else by the recipe's."""
    if METHODS[method].has_threshold:
        return {"cfsm": cfsm, "sscd": sscd}[method](cache, split, objective or cache.trained.recipe.change.objective)
    return {"cdc_1": cdc_1, "cdc_2": cdc_2}[method](cache, split)


def evaluated_splits(data: Data) -> list[str]:
    """Return the splits to evaluate where none is named, all but training and validation; InputError without any."""
    known = pair_splits(data)
    chosen = [name for name in known if name not in ("train", "validation")]
    if not chosen:
        where = data.pair_dataset if data.pairs is None else f"{data.pairs}/pairs.csv"
        raise InputError(f"{where}: has no split to judge beside {', '.join(known)}; name one by --split")
    return chosen


def feature_distance(trained: Trained, images: dict[str, Embedding]) -> np.ndarray:
    """Return the distance of the features of both dates as the recipe defines it, (n,) float32, before any scaling."""
    settings = trained.recipe.change
    t1, t2 = images["image_t1"], images["image_t2"]
    unit_length = settings.scale == "features"

    def measure(own_t1: np.ndarray, own_t2: np.ndarray) -> np.ndarray:
        return np.asarray(paired_distance(own_t1, own_t2, metric=settings.metric, unit_length=unit_length))

    return t1.share.each(measure, t1.own_features, t2.own_features)


def pair_distance(cache: FeatureCache, method: str, split: str) -> tuple[Outputs[Any], np.ndarray]:
    """Return the outputs on a split of pairs, and the distance (n,) float32 of each by CFSM, CDC_1 or SSCD, unscaled.

    Raises:
        InputError: the network does not support the method, or has learned from the pairs.
        RunError: a distance is not finite.
    """
    if method == "sscd":
        compared = compare(cache, new_pairs(cache, split))
        return compared, compared.values.distance_n
    pairs = cache.features(cache.pairs(split))
    distance = feature_distance(cache.trained, pairs.values) if method == "cfsm" else _class_distance(cache, pairs)
    check_finite(pairs.source.name, distance)
    return pairs, distance


def cdc_1(cache: FeatureCache, split: str) -> Row:
    """Write the row of CDC_1: a pair is changed iff the scene classifier predicts another class at the second date.

    The distance is that of the class probabilities (half the sum of their absolute differences) or, of an SVM, the
    margin of change.
    """
    pairs = cache.features(cache.pairs(split))
    scores, distance = _class_scores(cache, pairs), _class_distance(cache, pairs)
    is_svm = cache.trained.recipe.scene.classifier == "svm"
    arrays = {"svm": scene_classifier(cache).arrays()} if is_svm else {}
    predicted = scores[0].argmax(1) != scores[1].argmax(1)
    return write_decision(cache.trained, pairs, "cdc_1", Decision(predicted, distance, scores, arrays=arrays))


def cfsm(cache: FeatureCache, split: str, objective: Objective) -> Row:
    """Write the row of CFSM, its threshold chosen on the validation pairs or, without them, by cross-validation.

    The classes of both dates are those of the scene classifier, as in CDC_1.
    """
    trained, pairs = cache.trained, cache.features(cache.pairs(split))
    recipe, validation, scale = trained.recipe, None, Scale()
    if "validation" in pair_splits(cache.data):
        known = cache.features(cache.pairs("validation"))
        known_distance = feature_distance(trained, known.values)
        if recipe.change.scale == "validation":
            scale = validation_scale(known_distance, known.source.name)
        validation = scale(known_distance), known.source.column("changed").astype(bool)
    elif recipe.change.scale == "validation":
        raise InputError(
            f"{pairs.source.name}: has no validation pairs, whose distances change.scale=validation needs; "
            "use --set change.scale=features or none"
        )
    decision = by_threshold(
        validation,
        scale(feature_distance(trained, pairs.values)),
        pairs.source.column("changed").astype(bool),
        objective,
        name=pairs.source.name,
        resamples=recipe.evaluation.resamples,
        seed=recipe.seed,
    )
    arrays = {"scale": {"low": np.array(scale.low), "span": np.array(scale.span)}, **decision.arrays}
    decision = replace(decision, scores=_class_scores(cache, pairs), arrays=arrays)
    return write_decision(trained, pairs, "cfsm", decision)


def validation_scale(distance_n: np.ndarray, name: str) -> Scale:
    """Return the scale on which validation distances reach from 0 to 1; InputError where they are all equal."""
    low, high = float(distance_n.min()), float(distance_n.max())
    if low == high:
        raise InputError(
            f"{name}, validation: all distances are {low:g}; change.scale=validation divides by their range"
        )
    return Scale(low, high - low)


def row_scale(workdir: Path, row: Row) -> Scale:
    """Return the scale of a CFSM row's distances and threshold; InputError where its artefact is gone."""
    if row.recipe["change"]["scale"] != "validation":
        return Scale()
    found = load_artefact(workdir, row, "scale")
    if found is None:
        raise InputError(
            f"{workdir}: the artefact 'scale' of row {row.id} is gone; run `mtsccd-jax change` there again"
        )
    return Scale(float(found["low"]), float(found["span"]))


def predicted_columns(trained: Trained, images: dict[str, Embedding]) -> dict[str, np.ndarray]:
    """Return the columns of `predict` on pairs: whether the classes differ, the distance, and whether CFSM decides so.

    CFSM decides by the newest threshold in the work directory that was chosen with the recipe's metric, scale and
    objective. Where distances are scaled by those of validation pairs, they are scaled as in the row of the threshold.
    """
    distance, settings = feature_distance(trained, images), trained.recipe.change
    differ = images["image_t1"].prediction != images["image_t2"].prediction
    chosen = [
        row
        for row in load(trained.workdir)
        if row.protocol == "cfsm"
        and row.objective == settings.objective
        and (row.recipe["change"]["metric"], row.recipe["change"]["scale"]) == (settings.metric, settings.scale)
    ]
    if not chosen:
        return {"changed_cdc_1": differ.astype(int), "distance": distance}
    threshold = np.inf if chosen[-1].threshold is None else chosen[-1].threshold
    distance = row_scale(trained.workdir, chosen[-1])(distance)
    changed = (distance >= threshold).astype(int)
    return {"changed_cdc_1": differ.astype(int), "distance": distance, "changed_cfsm": changed}


def _class_distance(cache: FeatureCache, pairs: Features) -> np.ndarray:
    """Return the distance of the classes of both dates, (n,) float32, as `cdc_1` defines it."""
    if cache.trained.recipe.scene.classifier == "svm":
        return change_margin(*_class_scores(cache, pairs))
    t1, t2 = pairs.values["image_t1"], pairs.values["image_t2"]
    distance_n: np.ndarray = np.abs(t1.probability - t2.probability).sum(-1) / 2
    return distance_n


def _class_scores(cache: FeatureCache, pairs: Features) -> Scores:
    """Return the class scores of both dates by the recipe's scene classifier."""
    t1, t2 = pairs.values["image_t1"], pairs.values["image_t2"]
    if cache.trained.recipe.scene.classifier == "head":
        return t1.logits, t2.logits
    score = scene_classifier(cache).scores
    return t1.share.each(score, t1.own_features), t2.share.each(score, t2.own_features)
