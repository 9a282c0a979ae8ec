"""Change detection (the paper's Table 7): was a scene's land use another at the second date?

CDC_1 classifies both dates and compares the classes. CFSM measures the distance between the features of both dates and
calls a pair changed iff distance >= threshold; the threshold is chosen on validation pairs, or, for a pair list without
splits, by cross-validation.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.config import Data, Objective
from mtsccd_jax.data.folders import pair_splits
from mtsccd_jax.data.sources import Source, open_pairs
from mtsccd_jax.engine.evaluate import Embedding, Trained, embed
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.distance import paired_distance
from mtsccd_jax.ops.metrics import binary_metrics
from mtsccd_jax.ops.statistics import bootstrap_interval, rechosen_threshold_interval
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.protocols.evidence import Result, interval_metrics, thumbnails, write_row
from mtsccd_jax.protocols.scene import is_mtsccd
from mtsccd_jax.report import published
from mtsccd_jax.report.rows import Row

METHODS = ("cfsm", "cdc_1")
FOLDS = 5
# Pairs shown in the report for each of: change found, change missed, false alarm, rightly unchanged.
EXAMPLES = 4
CLASS_NAMES = ("unchanged", "changed")


@dataclass(frozen=True)
class Pairs:
    """A source of pairs and what the network says of both dates."""

    split: str
    source: Source
    t1: Embedding
    t2: Embedding
    distance: np.ndarray
    images_per_s: float
    started: float

    @property
    def changed(self) -> np.ndarray:
        """Whether each pair changed, (n,) bool."""
        return self.source.column("changed").astype(bool)


def detect(
    trained: Trained,
    data: Data,
    methods: Sequence[str],
    objective: Objective,
    *,
    splits: Sequence[str] | None = None,
    quiet: bool = False,
) -> list[Row]:
    """A row for each split and method; both dates of a split go through the network once for all methods.

    Without `splits`: of MtSCCD both test cities, of a pair list its test split, or all pairs where it has no splits.
    """
    known = pair_splits(data.pairs) if data.pairs is not None else ("validation", "test_a", "test_b")
    chosen = splits or [name for name in known if name not in ("train", "validation")]
    validation = None
    if "cfsm" in methods and "validation" in known:
        validation = measure(trained, open_pairs(data, "validation"), "validation", quiet=quiet)
    rows = []
    for split in chosen:
        reuse = validation is not None and split == "validation"
        pairs = validation if reuse else measure(trained, open_pairs(data, split), split, quiet=quiet)
        assert pairs is not None
        for method in methods:
            rows.append(cfsm(trained, pairs, validation, objective) if method == "cfsm" else cdc_1(trained, pairs))
    return rows


def measure(trained: Trained, source: Source, split: str, *, quiet: bool = False) -> Pairs:
    """Both dates of every pair through the network, and their feature distances as the recipe defines them."""
    started = time.perf_counter()
    embeddings, images_per_s = embed(trained, source, quiet=quiet)
    t1, t2 = embeddings["image_t1"], embeddings["image_t2"]
    return Pairs(split, source, t1, t2, feature_distance(trained, t1, t2), images_per_s, started)


def feature_distance(trained: Trained, t1: Embedding, t2: Embedding) -> np.ndarray:
    """The distance of every pair's features as the recipe defines it, (n,) float32."""
    settings = trained.recipe.change
    return np.asarray(
        paired_distance(t1.features, t2.features, metric=settings.metric, unit_length=settings.unit_length)
    )


def cdc_1(trained: Trained, pairs: Pairs) -> Row:
    """The row of CDC_1: changed iff the network names another class at the second date."""
    predicted = pairs.t1.prediction != pairs.t2.prediction
    return _row(trained, pairs, "cdc_1", predicted, np.abs(pairs.t1.probability - pairs.t2.probability).sum(-1) / 2)


def cfsm(trained: Trained, pairs: Pairs, validation: Pairs | None, objective: Objective) -> Row:
    """The row of CFSM with the threshold that is best on the validation pairs (or by cross-validation, without them).

    Raises:
        InputError: there is no changed or no unchanged pair to choose the threshold on.
    """
    settings = trained.recipe.change
    if validation is None:
        return _cfsm_cross_validated(trained, pairs, objective)
    chosen = best_threshold(validation.distance, validation.changed, objective)
    if chosen.degenerate:
        raise InputError(
            f"{validation.source.name}, {validation.split}: all {len(validation.changed)} pairs are of one kind; "
            "a threshold needs changed and unchanged pairs"
        )
    rechosen = rechosen_threshold_interval(
        validation.distance,
        validation.changed,
        pairs.distance,
        pairs.changed,
        objective,
        settings.resamples,
        trained.recipe.seed,
    )
    return _row(
        trained,
        pairs,
        "cfsm",
        pairs.distance >= chosen.threshold,
        pairs.distance,
        threshold=chosen.threshold,
        objective=objective,
        threshold_from="validation",
        rechosen=rechosen,
        validation={"distance": validation.distance, "changed": validation.changed},
    )


def _cfsm_cross_validated(trained: Trained, pairs: Pairs, objective: Objective) -> Row:
    """Each pair is judged by the threshold of the four folds it is not in; the row's threshold is their median."""
    changed, distance = pairs.changed, pairs.distance
    if min(changed.sum(), (~changed).sum()) < FOLDS:
        raise InputError(
            f"{pairs.source.name}: {int(changed.sum())} changed and {int((~changed).sum())} unchanged pairs; "
            f"choosing a threshold by {FOLDS}-fold cross-validation needs at least {FOLDS} of each"
        )
    fold = stratified_folds(changed, trained.recipe.seed)
    predicted = np.zeros(len(changed), bool)
    thresholds = []
    for held_out in range(FOLDS):
        inside = fold == held_out
        chosen = best_threshold(distance[~inside], changed[~inside], objective)
        predicted[inside] = distance[inside] >= chosen.threshold
        thresholds.append(chosen.threshold)
    return _row(
        trained,
        pairs,
        "cfsm",
        predicted,
        distance,
        threshold=float(np.median(thresholds)),
        objective=objective,
        threshold_from=f"cross_validation_{FOLDS}",
    )


def stratified_folds(changed: np.ndarray, seed: int) -> np.ndarray:
    """The fold (0 to FOLDS - 1) of each pair: seeded, with as many changed pairs in each, give or take one."""
    fold = np.empty(len(changed), np.int64)
    generator = np.random.default_rng(seed)
    for kind in (True, False):
        members = generator.permutation(np.flatnonzero(changed == kind))
        fold[members] = np.arange(len(members)) % FOLDS
    return fold


def _row(
    trained: Trained,
    pairs: Pairs,
    protocol: str,
    predicted: np.ndarray,
    distance: np.ndarray,
    *,
    threshold: float | None = None,
    objective: Objective | None = None,
    threshold_from: str | None = None,
    rechosen: dict[str, tuple[float, float]] | None = None,
    validation: dict[str, np.ndarray] | None = None,
) -> Row:
    """The row of a method's verdicts, with the intervals of re-drawn pairs and, where given, of the threshold."""
    changed = pairs.changed
    tn, fp = int((~changed & ~predicted).sum()), int((~changed & predicted).sum())
    fn, tp = int((changed & ~predicted).sum()), int((changed & predicted).sum())
    confusion = np.array([[tn, fp], [fn, tp]])
    values = binary_metrics((tn, fp, fn, tp))
    settings = trained.recipe.change
    intervals = bootstrap_interval(confusion.ravel(), resamples=settings.resamples, seed=trained.recipe.seed)
    source = pairs.source
    predictions = {"changed": changed, "predicted": predicted, "distance": distance}
    for name in ("label_t1", "label_t2", "city", "filename_t1", "filename_t2"):
        if name in source.fields:
            predictions[name] = source.column(name)
    if len(trained.class_names) == pairs.t1.logits.shape[1]:
        predictions |= {"prediction_t1": pairs.t1.prediction, "prediction_t2": pairs.t2.prediction}
    arrays = {"predictions": predictions, "examples": example_pairs(trained, pairs, predicted, distance)}
    if validation is not None:
        arrays["validation"] = validation
    result = Result(
        protocol=protocol,
        split=pairs.split,
        metrics=interval_metrics(values, intervals),
        metrics_rechosen=interval_metrics(values, rechosen) if rechosen else None,
        confusion=confusion,
        class_names=CLASS_NAMES,
        threshold=threshold if threshold is not None and np.isfinite(threshold) else None,
        objective=objective,
        threshold_from=threshold_from,
        baseline={"name": "all unchanged", "oa": float((~changed).mean()), "kappa": 0.0},
        published=published.change(protocol, trained.recipe.model.name, pairs.split) if is_mtsccd(source) else None,
        images_per_s=pairs.images_per_s,
        started=pairs.started,
        arrays=arrays,
    )
    return write_row(trained, source, result)


def example_pairs(trained: Trained, pairs: Pairs, predicted: np.ndarray, distance: np.ndarray) -> dict[str, np.ndarray]:
    """Thumbnails of a few pairs of each outcome, drawn by the recipe's seed (the paper's Table 8 in spirit)."""
    changed = pairs.changed
    generator = np.random.default_rng(trained.recipe.seed)
    chosen = np.concatenate(
        [
            generator.permutation(np.flatnonzero((changed == truth) & (predicted == verdict)))[:EXAMPLES]
            for truth, verdict in ((True, True), (True, False), (False, True), (False, False))
        ]
    )
    source = pairs.source
    unknown = np.full(len(source), -1, np.int32)
    return {
        "thumb_t1": thumbnails(source, chosen, "image_t1"),
        "thumb_t2": thumbnails(source, chosen, "image_t2"),
        "changed": changed[chosen],
        "predicted": predicted[chosen],
        "distance": distance[chosen],
        "label_t1": (source.column("label_t1") if "label_t1" in source.fields else unknown)[chosen],
        "label_t2": (source.column("label_t2") if "label_t2" in source.fields else unknown)[chosen],
        "class_names": np.array(trained.class_names),
    }
