"""What every change method ends in: which pairs changed, from which class to which, and the row that says so.

A method gives each pair a distance and, where it knows classes, scores of both dates. `judge` turns distances into
verdicts by a threshold: chosen on validation pairs, or, for a pair list without splits, by cross-validation.
`write_verdict` turns verdicts into a row.

**From-to.** The predicted transition is the most probable one given the verdict: of a changed pair the classes i != j
with the largest score_t1[i] + score_t2[j], of an unchanged pair the class i with the largest score_t1[i] + score_t2[i].
Scores are log-probabilities up to a constant a date (logits), or the decision values of an SVM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.ops.bootstrap import (
    Intervals,
    bootstrap_confusions,
    bootstrap_interval,
    rechosen_threshold_interval,
)
from mtsccd_jax.ops.metrics import binary_metrics
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.recipes.config import Objective
from mtsccd_jax.report import published
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.write_row import Result, interval_metrics, is_mtsccd, thumbnails, write_row

FOLDS = 5
# Changed pairs, and unchanged ones, that are shown in the report.
EXAMPLES = 8
CLASS_NAMES = ("unchanged", "changed")


@dataclass(frozen=True)
class Verdict:
    """What a method says of every pair of a split.

    Attributes:
        protocol: of the row.
        predicted_n: whether each pair is called changed, (n,) bool.
        distance_n: how different the dates of each pair look, (n,) float32; larger is more different.
        score_t1_nk: (n, k) class scores of the first date, or None where the method knows no classes.
        score_t2_nk: likewise of the second date.
        class_names: the classes of the scores; None for the network's.
        threshold: a pair is changed iff its distance >= threshold; infinity calls none changed, None: there is none.
        objective: what the threshold is best at.
        threshold_from: "validation" or "cross_validation_5".
        rechosen: intervals of the metrics when the threshold, too, is uncertain.
        validation: `distance` and `changed` of the pairs that the threshold was chosen on.
        arrays: further artefacts of the row, each of named arrays.
    """

    protocol: str
    predicted_n: np.ndarray
    distance_n: np.ndarray
    score_t1_nk: np.ndarray | None = None
    score_t2_nk: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    threshold: float | None = None
    objective: Objective | None = None
    threshold_from: str | None = None
    rechosen: Intervals | None = None
    validation: Mapping[str, np.ndarray] | None = None
    arrays: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)


def judge(
    validation: tuple[np.ndarray, np.ndarray] | None,
    distance_n: np.ndarray,
    changed_n: np.ndarray,
    objective: Objective,
    *,
    protocol: str,
    name: str,
    resamples: int,
    seed: int,
    score_t1_nk: np.ndarray | None = None,
    score_t2_nk: np.ndarray | None = None,
    arrays: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Verdict:
    """The verdict distance >= threshold, with the threshold that is best on validation or else by cross-validation.

    Args:
        validation: (distance_n, changed_n) of the validation pairs; None where there are none.
        distance_n: of the pairs that are judged.
        changed_n: whether these changed, (n,) bool; used for cross-validation and intervals alone.
        objective: what the threshold is best at.
        protocol: of the verdict.
        name: of the data, for messages.
        resamples: bootstrap samples of the interval with re-chosen thresholds.
        seed: of the folds and the bootstrap.
        score_t1_nk: class scores of the first date, handed on to the verdict.
        score_t2_nk: likewise of the second date.
        arrays: further artefacts, handed on as well.

    Raises:
        InputError: there is no changed or no unchanged pair to choose the threshold on, or, without validation pairs,
            fewer than FOLDS of either.
        RunError: a distance is not finite.
    """
    if not all(np.isfinite(given).all() for given in (distance_n, *(validation or ())[:1])):
        raise RunError(
            f"{name}: the network's distances are not finite; lower optim.learning_rate and train in a new --workdir"
        )
    if validation is None:
        predicted, threshold = _cross_validated(distance_n, changed_n, objective, name, seed)
        return Verdict(
            protocol,
            predicted,
            distance_n,
            score_t1_nk,
            score_t2_nk,
            threshold=threshold,
            objective=objective,
            threshold_from=f"cross_validation_{FOLDS}",
            arrays=arrays or {},
        )
    chosen = best_threshold(*validation, objective)
    if chosen.degenerate:
        kind = CLASS_NAMES[int(validation[1][0])]
        raise InputError(
            f"{name}, validation: all {len(validation[1])} pairs are {kind}; "
            "a threshold is chosen on changed and unchanged pairs"
        )
    rechosen = rechosen_threshold_interval(*validation, distance_n, changed_n, objective, resamples, seed)
    return Verdict(
        protocol,
        distance_n >= chosen.threshold,
        distance_n,
        score_t1_nk,
        score_t2_nk,
        threshold=chosen.threshold,
        objective=objective,
        threshold_from="validation",
        rechosen=rechosen,
        validation={"distance": validation[0], "changed": validation[1]},
        arrays=arrays or {},
    )


def _cross_validated(
    distance_n: np.ndarray, changed_n: np.ndarray, objective: Objective, name: str, seed: int
) -> tuple[np.ndarray, float]:
    """Each pair judged by the threshold of the folds it is not in, and the median of these thresholds."""
    if min(changed_n.sum(), (~changed_n).sum()) < FOLDS:
        raise InputError(
            f"{name}: {int(changed_n.sum())} changed and {int((~changed_n).sum())} unchanged pairs; "
            f"choosing a threshold by {FOLDS}-fold cross-validation needs at least {FOLDS} of each"
        )
    fold = stratified_folds(changed_n, seed)
    predicted = np.zeros(len(changed_n), bool)
    thresholds = []
    for held_out in range(FOLDS):
        inside = fold == held_out
        chosen = best_threshold(distance_n[~inside], changed_n[~inside], objective)
        predicted[inside] = distance_n[inside] >= chosen.threshold
        thresholds.append(chosen.threshold)
    return predicted, float(np.median(thresholds))


def stratified_folds(changed: np.ndarray, seed: int) -> np.ndarray:
    """The fold (0 to FOLDS - 1) of each pair: seeded, with as many changed pairs in each, give or take one."""
    fold = np.empty(len(changed), np.int64)
    generator = np.random.default_rng(seed)
    for kind in (True, False):
        members = generator.permutation(np.flatnonzero(changed == kind))
        fold[members] = np.arange(len(members)) % FOLDS
    return fold


def transitions(
    predicted_n: np.ndarray, score_t1_nk: np.ndarray, score_t2_nk: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`(prediction_t1_n, prediction_t2_n)` int32: the most probable transition of each pair given its verdict.

    Raises:
        ValueError: fewer than two classes, between which nothing can change.
    """
    if score_t1_nk.shape[1] < 2:
        raise ValueError("a transition is between two classes, and there is only one")
    rows = np.arange(len(predicted_n))
    first_t1, second_t1 = _two_best(score_t1_nk)
    first_t2, second_t2 = _two_best(score_t2_nk)
    # Where both dates look most like one class, one of them has to take its second best: the one that loses less.
    loss_t1 = score_t1_nk[rows, first_t1] - score_t1_nk[rows, second_t1]
    loss_t2 = score_t2_nk[rows, first_t2] - score_t2_nk[rows, second_t2]
    clash = first_t1 == first_t2
    changed_t1 = np.where(clash & (loss_t1 < loss_t2), second_t1, first_t1)
    changed_t2 = np.where(clash & (loss_t1 >= loss_t2), second_t2, first_t2)
    same = (score_t1_nk + score_t2_nk).argmax(1)
    prediction_t1, prediction_t2 = np.where(predicted_n, changed_t1, same), np.where(predicted_n, changed_t2, same)
    return prediction_t1.astype(np.int32), prediction_t2.astype(np.int32)


def change_margin(score_t1_nk: np.ndarray, score_t2_nk: np.ndarray) -> np.ndarray:
    """How much more likely the best change of class is than the best staying, (n,) float32.

    It is max over i != j of score_t1[i] + score_t2[j], less max over i of score_t1[i] + score_t2[i]: not negative where
    the best classes of both dates differ, not positive where they are the same.
    """
    rows = np.arange(len(score_t1_nk))
    class_t1, class_t2 = transitions(np.ones(len(rows), bool), score_t1_nk, score_t2_nk)
    best_change = score_t1_nk[rows, class_t1] + score_t2_nk[rows, class_t2]
    return (best_change - (score_t1_nk + score_t2_nk).max(1)).astype(np.float32)


def _two_best(score_nk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes of the largest and of the second largest score, the first among equals."""
    rows, first = np.arange(len(score_nk)), score_nk.argmax(1)
    others = score_nk.copy()
    others[rows, first] = -np.inf
    return first, others.argmax(1)


def write_verdict(
    trained: Trained, source: Source, split: str, verdict: Verdict, images_per_s: float, started: float
) -> Row:
    """The row of a verdict on labelled pairs, with the intervals of re-drawn pairs, appended to the work directory.

    Where the verdict has class scores the artefact `predictions` holds the predicted transition (`prediction_t1`,
    `prediction_t2`), and where the pairs have scene labels too, `metrics["transition"]` is the share of the truly
    changed pairs whose predicted transition is the true one.

    Args:
        trained: the network that the row is of.
        source: the pairs, in the order of the verdict.
        split: of the row.
        verdict: on each pair.
        images_per_s: how fast the images went through the network.
        started: `time.perf_counter()` when the work on this row began.
    """
    changed, predicted = source.column("changed").astype(bool), verdict.predicted_n
    tn, fp = int((~changed & ~predicted).sum()), int((~changed & predicted).sum())
    fn, tp = int((changed & ~predicted).sum()), int((changed & predicted).sum())
    confusion = np.array([[tn, fp], [fn, tp]])
    resamples, seed = trained.recipe.evaluation.resamples, trained.recipe.seed
    intervals = bootstrap_interval(confusion.ravel(), resamples=resamples, seed=seed)
    metrics = interval_metrics(binary_metrics((tn, fp, fn, tp)), intervals)
    predictions = {"changed": changed, "predicted": predicted, "distance": verdict.distance_n}
    for name in ("label_t1", "label_t2", "city", "filename_t1", "filename_t2"):
        if name in source.fields:
            predictions[name] = source.column(name)
    classes = verdict.class_names or trained.class_names
    # A network of one class says nothing of transitions.
    if verdict.score_t1_nk is not None and verdict.score_t2_nk is not None and len(classes) > 1:
        predicted_t1, predicted_t2 = transitions(predicted, verdict.score_t1_nk, verdict.score_t2_nk)
        predictions |= {"prediction_t1": predicted_t1, "prediction_t2": predicted_t2}
        if "label_t1" in source.fields and tuple(source.class_names) == classes and changed.any():
            right = (predicted_t1 == source.column("label_t1")) & (predicted_t2 == source.column("label_t2"))
            metrics["transition"] = transition_share(changed, right, resamples, seed)
    arrays = {"predictions": predictions, "examples": example_pairs(trained, source, verdict), **verdict.arrays}
    if verdict.validation is not None:
        arrays["validation"] = dict(verdict.validation)
    threshold, protocol, model = verdict.threshold, verdict.protocol, trained.recipe.model
    rechosen = interval_metrics(binary_metrics((tn, fp, fn, tp)), verdict.rechosen) if verdict.rechosen else None
    result = Result(
        protocol=protocol,
        split=split,
        metrics=metrics,
        metrics_rechosen=rechosen,
        confusion=confusion,
        class_names=CLASS_NAMES,
        threshold=threshold if threshold is not None and np.isfinite(threshold) else None,
        objective=verdict.objective,
        threshold_from=verdict.threshold_from,
        baseline={"name": "all unchanged", "oa": float((~changed).mean()), "kappa": 0.0},
        published=published.change(protocol, model.name, split, model.width) if is_mtsccd(source) else None,
        images_per_s=images_per_s,
        started=started,
        arrays=arrays,
    )
    return write_row(trained, source, result)


def transition_share(changed: np.ndarray, right: np.ndarray, resamples: int, seed: int) -> dict[str, float | None]:
    """The share of the changed pairs whose transition is right, and its 95 % interval over re-drawn pairs.

    The number of changed pairs is re-drawn with the pairs; a resample without any counts as 0, as everywhere in `ops`.
    """
    counts = np.array([(changed & right).sum(), (changed & ~right).sum(), (~changed).sum()])
    draws = bootstrap_confusions(counts, resamples, seed)
    low, high = np.quantile(draws[:, 0] / np.maximum(draws[:, 0] + draws[:, 1], 1), (0.025, 0.975))
    return {"value": float(counts[0] / (counts[0] + counts[1])), "low": float(low), "high": float(high)}


def example_pairs(trained: Trained, source: Source, verdict: Verdict) -> dict[str, np.ndarray]:
    """Thumbnails of a few changed and unchanged pairs and what is said of them (the paper's Table 8 in spirit).

    The pairs are drawn from the truth alone, by a seed of their own: whatever the verdict, the network and the seed of
    the run, the examples of a split are the same, so that methods can be seen side by side. `row` is the place of each
    pair in the split, by which its verdict in another row of that split is found.
    """
    changed, predicted = source.column("changed").astype(bool), verdict.predicted_n
    generator = np.random.default_rng(0)
    chosen = np.concatenate(
        [generator.permutation(np.flatnonzero(changed == truth))[:EXAMPLES] for truth in (True, False)]
    )
    unknown = np.full(len(source), -1, np.int32)
    return {
        "row": chosen,
        "thumb_t1": thumbnails(source, chosen, "image_t1"),
        "thumb_t2": thumbnails(source, chosen, "image_t2"),
        "changed": changed[chosen],
        "predicted": predicted[chosen],
        "distance": verdict.distance_n[chosen],
        "label_t1": (source.column("label_t1") if "label_t1" in source.fields else unknown)[chosen],
        "label_t2": (source.column("label_t2") if "label_t2" in source.fields else unknown)[chosen],
        "class_names": np.array(source.class_names or trained.class_names),
    }
