"""Change detection (the paper's Table 7): was a scene's land use another at the second date?

CDC_1 classifies both dates, by the network's own head or by the SVM on its features, and compares the classes. CDC_2
does so from visual words (`cdc_2.py`). CFSM measures the distance between the features of both dates and calls a pair
changed iff distance >= threshold. SSCD learns the distance instead (`sscd.py`); it has a network of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtsccd_jax.data.sources import pair_splits
from mtsccd_jax.engine.evaluate import Embedding, Trained
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.distance import paired_distance
from mtsccd_jax.recipes.config import Data, Objective
from mtsccd_jax.report.rows import Row, load_artefact
from mtsccd_jax.tasks.change.cdc_2 import cdc_2
from mtsccd_jax.tasks.change.decisions import Verdict, change_margin, judge, write_verdict
from mtsccd_jax.tasks.change.sscd import detect_similarity
from mtsccd_jax.tasks.feature_cache import Embedded, Pass
from mtsccd_jax.tasks.scenes.classifier import scene_classifier

# What a network can be asked, by what it was trained for.
METHODS = {"scenes": ("cfsm", "cdc_1", "cdc_2"), "labels": (), "similarity": ("sscd",)}


@dataclass(frozen=True)
class Scale:
    """How distances are brought to a common scale: (distance - low) / span."""

    low: float = 0.0
    span: float = 1.0

    def __call__(self, distance_n: np.ndarray) -> np.ndarray:
        """The scaled distances, (n,) float32."""
        return ((distance_n - np.float32(self.low)) / np.float32(self.span)).astype(np.float32)


def supported_methods(trained: Trained) -> tuple[str, ...]:
    """The change methods of a network, by what it was trained for.

    Raises:
        InputError: there is none.
    """
    methods: tuple[str, ...] = METHODS[trained.recipe.model.task]
    if not methods:
        raise InputError(
            f"{trained.workdir}: names all labels of a scene (model.task=labels); change detection needs a network "
            "that was trained with model.task=scenes or model.task=similarity"
        )
    return methods


def detect(
    passes: Embedded, methods: Sequence[str], objective: Objective, *, splits: Sequence[str] | None = None
) -> list[Row]:
    """A row for each split and method; both dates of a split go through the network once for all methods.

    Without `splits`: every one but training and validation; all pairs of a list that has no splits.

    Raises:
        InputError: a method that the network does not support, or that the pairs do not allow.
        RunError: an SVM does not converge.
    """
    trained = passes.trained
    supported = supported_methods(trained)
    for method in methods:
        if method not in supported:
            raise InputError(
                f"{trained.workdir}: method {method} needs another network than this one, which was trained with "
                f"model.task={trained.recipe.model.task} and supports {', '.join(supported)}"
            )
    chosen = splits or evaluated_splits(passes.data)
    if supported == ("sscd",):
        return detect_similarity(trained, passes.data, objective, chosen)
    rows = []
    for split in chosen:
        for method in methods:
            if method == "cfsm":
                rows.append(cfsm(passes, split, objective))
            else:
                rows.append((cdc_1 if method == "cdc_1" else cdc_2)(passes, split))
    return rows


def evaluated_splits(data: Data) -> list[str]:
    """The splits of pairs that are judged where none is named: all but training and validation.

    Raises:
        InputError: there are no others.
    """
    known = pair_splits(data)
    chosen = [name for name in known if name not in ("train", "validation")]
    if not chosen:
        where = data.pair_dataset if data.pairs is None else f"{data.pairs}/pairs.csv"
        raise InputError(f"{where}: has no split to judge beside {', '.join(known)}; name one by --split")
    return chosen


def feature_distance(trained: Trained, t1: Embedding, t2: Embedding) -> np.ndarray:
    """The distance of every pair's features as the recipe defines it, (n,) float32, not yet scaled by validation."""
    settings = trained.recipe.change
    return np.asarray(
        paired_distance(t1.features, t2.features, metric=settings.metric, unit_length=settings.scale == "features")
    )


def cdc_1(passes: Embedded, split: str) -> Row:
    """The row of CDC_1: changed iff the scene classifier names another class at the second date.

    The distance beside each verdict is that of the class probabilities (half the sum of their absolute differences) or,
    of an SVM, the margin of change.

    Raises:
        InputError: the pairs, or for an SVM its training scenes, cannot be read.
        RunError: the SVM does not converge.
    """
    trained, pairs = passes.trained, passes.pairs(split)
    t1, t2 = pairs.images["image_t1"], pairs.images["image_t2"]
    if trained.recipe.scene.classifier == "svm":
        classifier = scene_classifier(passes)
        score_t1, score_t2 = classifier.scores(t1.features), classifier.scores(t2.features)
        distance, arrays = change_margin(score_t1, score_t2), {"svm": classifier.arrays()}
    else:
        score_t1, score_t2, arrays = t1.logits, t2.logits, {}
        distance = np.abs(t1.probability - t2.probability).sum(-1) / 2
    predicted = score_t1.argmax(1) != score_t2.argmax(1)
    verdict = Verdict("cdc_1", predicted, distance, score_t1, score_t2, arrays=arrays)
    return write_verdict(trained, pairs.source, split, verdict, pairs.images_per_s, pairs.started)


def cfsm(passes: Embedded, split: str, objective: Objective) -> Row:
    """The row of CFSM with the threshold that is best on the validation pairs (or by cross-validation, without them).

    The classes of both dates are those of the scene classifier, as in CDC_1.

    Raises:
        InputError: the pairs do not allow to choose a threshold, or to scale distances as the recipe asks.
        RunError: the SVM that names the classes does not converge.
    """
    trained, pairs = passes.trained, passes.pairs(split)
    settings, validation, scale = trained.recipe.change, None, Scale()
    distance = _distance(trained, pairs)
    if "validation" in pair_splits(passes.data):
        known = passes.pairs("validation")
        of_validation = _distance(trained, known)
        if settings.scale == "validation":
            scale = validation_scale(of_validation, known.source.name)
        validation = scale(of_validation), known.source.column("changed").astype(bool)
    elif settings.scale == "validation":
        raise InputError(
            f"{pairs.source.name}: has no validation pairs, whose distances change.scale=validation needs; "
            "use --set change.scale=features or none"
        )
    score_t1, score_t2 = _scores(passes, pairs)
    verdict = judge(
        validation,
        scale(distance),
        pairs.source.column("changed").astype(bool),
        objective,
        protocol="cfsm",
        name=pairs.source.name,
        resamples=trained.recipe.evaluation.resamples,
        seed=trained.recipe.seed,
        score_t1_nk=score_t1,
        score_t2_nk=score_t2,
        arrays={"scale": {"low": np.array(scale.low), "span": np.array(scale.span)}},
    )
    return write_verdict(trained, pairs.source, split, verdict, pairs.images_per_s, pairs.started)


def validation_scale(distance_n: np.ndarray, name: str) -> Scale:
    """The scale on which the validation distances reach from 0 to 1.

    Raises:
        InputError: they are all equal.
    """
    low, high = float(distance_n.min()), float(distance_n.max())
    if low == high:
        raise InputError(
            f"{name}, validation: all distances are {low:g}; change.scale=validation divides by their range"
        )
    return Scale(low, high - low)


def row_scale(workdir: Path, row: Row) -> Scale:
    """The scale of a CFSM row's distances and threshold.

    Raises:
        InputError: it is needed, and the row's artefact is gone.
    """
    if row.recipe["change"]["scale"] != "validation":
        return Scale()
    found = load_artefact(workdir, row, "scale")
    if found is None:
        raise InputError(
            f"{workdir}: the artefact 'scale' of row {row.id} is gone; run `mtsccd-jax change` there again"
        )
    return Scale(float(found["low"]), float(found["span"]))


def _distance(trained: Trained, pairs: Pass) -> np.ndarray:
    return feature_distance(trained, pairs.images["image_t1"], pairs.images["image_t2"])


def _scores(passes: Embedded, pairs: Pass) -> tuple[np.ndarray, np.ndarray]:
    """The class scores of both dates by the recipe's scene classifier."""
    t1, t2 = pairs.images["image_t1"], pairs.images["image_t2"]
    if passes.trained.recipe.scene.classifier == "head":
        return t1.logits, t2.logits
    classifier = scene_classifier(passes)
    return classifier.scores(t1.features), classifier.scores(t2.features)
