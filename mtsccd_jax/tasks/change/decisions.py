"""What all change methods share: the decision on every pair, the classes of both dates, and the row.

A method gives each pair a distance and, where it knows classes, class scores of both dates. `by_threshold` decides by a
threshold on the distance, chosen on validation pairs or, for a pair list without splits, by cross-validation.
`write_decision` writes the row of a decision.

**From-to.** The predicted transition is the most probable one given the decision: of a changed pair the classes i != j
with the largest score_t1[i] + score_t2[j], of an unchanged pair the class i with the largest score_t1[i] + score_t2[i].
Scores are log-probabilities up to a constant a date (logits), or the decision values of an SVM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.ops.bootstrap import bootstrap_confusions, bootstrap_interval, rechosen_threshold_interval
from mtsccd_jax.ops.metrics import binary_metrics
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.report import published
from mtsccd_jax.report.measured import Interval, Measured
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.feature_cache import Outputs
from mtsccd_jax.tasks.write_row import Arrays, ChosenThreshold, Result, thumbnails, write_row

FOLDS = 5
CROSS_VALIDATION = f"cross_validation_{FOLDS}"
# Changed pairs, and as many unchanged ones, that the report shows.
EXAMPLES = 8
CLASS_NAMES = ("unchanged", "changed")

# (score_t1_nk, score_t2_nk): class scores of both dates.
Scores = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Decision:
    """The decision of a method on every pair of a split."""

    predicted_n: np.ndarray  # changed pairs, (n,) bool
    distance_n: np.ndarray  # (n,) float32; larger is more different
    scores: Scores | None = None  # None where the method knows no classes
    class_names: tuple[str, ...] | None = None  # of the scores; None for the network's
    threshold: ChosenThreshold | None = None  # None for a method without one
    arrays: Mapping[str, Arrays] = field(default_factory=dict)  # further artefacts of the row


def by_threshold(
    validation: tuple[np.ndarray, np.ndarray] | None,
    distance_n: np.ndarray,
    changed_n: np.ndarray,
    objective: str,
    *,
    name: str,
    resamples: int,
    seed: int,
) -> Decision:
    """Decide that a pair is changed where distance >= threshold, by the best threshold on validation.

    Without `validation` (distance_n, changed_n) the threshold is chosen by cross-validation. `changed_n` is used by
    cross-validation and the intervals alone, `name` by messages.

    Raises:
        InputError: there is no changed or no unchanged pair to choose the threshold on, or, without validation pairs,
            fewer than FOLDS of either.
        RunError: a distance is not finite.
    """
    check_finite(name, distance_n, *(validation or ())[:1])
    if validation is None:
        if min(changed_n.sum(), (~changed_n).sum()) < FOLDS:
            raise InputError(
                f"{name}: {int(changed_n.sum())} changed and {int((~changed_n).sum())} unchanged pairs; "
                f"choosing a threshold by {FOLDS}-fold cross-validation needs at least {FOLDS} of each"
            )
        predicted, threshold = cross_validate(distance_n, changed_n, objective, seed)
        return Decision(predicted, distance_n, threshold=ChosenThreshold(objective, CROSS_VALIDATION, threshold))
    chosen = best_threshold(*validation, objective)
    if chosen.degenerate:
        kind = CLASS_NAMES[int(validation[1][0])]
        raise InputError(
            f"{name}, validation: all {len(validation[1])} pairs are {kind}; "
            "a threshold is chosen on changed and unchanged pairs"
        )
    intervals = rechosen_threshold_interval(*validation, distance_n, changed_n, objective, resamples, seed)
    return Decision(
        distance_n >= chosen.threshold,
        distance_n,
        threshold=ChosenThreshold(objective, "validation", chosen.threshold, intervals),
        arrays={"validation": {"distance": validation[0], "changed": validation[1]}},
    )


def check_finite(name: str, *distances: np.ndarray) -> None:
    """Raise RunError unless all distances are finite."""
    if not all(np.isfinite(distance_n).all() for distance_n in distances):
        raise RunError(
            f"{name}: the network's distances are not finite; lower optim.learning_rate and train in a new --workdir"
        )


def cross_validate(
    distance_n: np.ndarray, changed_n: np.ndarray, objective: str, seed: int
) -> tuple[np.ndarray, float]:
    """Decide each pair by the best threshold of the other folds; return the decisions and the median threshold."""
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
    """Return the fold of each pair, 0 to FOLDS - 1: seeded, with as many changed pairs in each, give or take one."""
    fold = np.empty(len(changed), np.int64)
    generator = np.random.default_rng(seed)
    for kind in (True, False):
        members = generator.permutation(np.flatnonzero(changed == kind))
        fold[members] = np.arange(len(members)) % FOLDS
    return fold


def transitions(
    predicted_n: np.ndarray, score_t1_nk: np.ndarray, score_t2_nk: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable transition of each pair given its decision: its classes at both dates, (n,) int32."""
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
    """Return the margin of change, (n,) float32: the score of the best change less that of the best equal classes.

    It is max over i != j of score_t1[i] + score_t2[j], less max over i of score_t1[i] + score_t2[i]: not negative where
    the best classes of both dates differ, not positive where they are the same.
    """
    rows = np.arange(len(score_t1_nk))
    class_t1, class_t2 = transitions(np.ones(len(rows), bool), score_t1_nk, score_t2_nk)
    best_change = score_t1_nk[rows, class_t1] + score_t2_nk[rows, class_t2]
    margin: np.ndarray = best_change - (score_t1_nk + score_t2_nk).max(1)
    return margin.astype(np.float32)


def _two_best(score_nk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of the largest and of the second largest score, the first among equals."""
    rows, first = np.arange(len(score_nk)), score_nk.argmax(1)
    others = score_nk.copy()
    others[rows, first] = -np.inf
    return first, others.argmax(1)


def write_decision(trained: Trained, outputs: Outputs[Any], method: str, decision: Decision) -> Row:
    """Write the row of a decision on labelled pairs, in the order of the source of `outputs`, to the work directory.

    Where the decision has class scores the artefact `predictions` holds the predicted transition (`prediction_t1`,
    `prediction_t2`). Where the pairs have scene labels too, `metrics["transition"]` is the share of the truly changed
    pairs whose predicted transition is the true one.
    """
    started, source, recipe = outputs.started, outputs.source, trained.recipe
    changed, predicted = source.column("changed").astype(bool), decision.predicted_n
    predictions = {"changed": changed, "predicted": predicted, "distance": decision.distance_n}
    for name in ("label_t1", "label_t2", "city", "filename_t1", "filename_t2"):
        if name in source.fields:
            predictions[name] = source.column(name)
    classes, right = decision.class_names or trained.class_names, None
    # With one class there is no transition.
    if decision.scores is not None and len(classes) > 1:
        t1, t2 = transitions(predicted, *decision.scores)
        predictions |= {"prediction_t1": t1, "prediction_t2": t2}
        if "label_t1" in source.fields and tuple(source.class_names) == classes:
            right = (t1 == source.column("label_t1")) & (t2 == source.column("label_t2"))
    result = Result(
        protocol=method,
        measured=measure(changed, predicted, right, resamples=recipe.evaluation.resamples, seed=recipe.seed),
        class_names=CLASS_NAMES,
        arrays={"predictions": predictions, "examples": example_pairs(trained, source, decision), **decision.arrays},
        started=started,
        published=published_value(source.dataset, method, recipe.model.name, source.split, recipe.model.width),
        threshold=decision.threshold,
    )
    return write_row(trained, outputs, result)


def measure(
    changed_n: np.ndarray, predicted_n: np.ndarray, right_n: np.ndarray | None, *, resamples: int, seed: int
) -> Measured:
    """Return the numbers of a change row.

    `right_n` tells whether the predicted classes of both dates are the true ones; None where they are not known.
    """
    counts = np.bincount(2 * changed_n + predicted_n, minlength=4)
    values = binary_metrics(counts)
    intervals = bootstrap_interval(counts, resamples=resamples, seed=seed)
    if right_n is not None and changed_n.any():
        values["transition"], intervals["transition"] = transition_share(changed_n, right_n, resamples, seed)
    always = changed_n.mean() > 0.5  # the better of the two constant answers; kappa is 0 for both
    baseline = {"name": f"all {CLASS_NAMES[int(always)]}", "oa": float((changed_n == always).mean()), "kappa": 0.0}
    return Measured(len(changed_n), counts.reshape(2, 2), values, intervals, baseline)


def published_value(dataset: str, method: str, model: str, split: str, width: float) -> published.Published | None:
    """Return the entry of Table 7 for a network on a split of an MtSCCD data set; None where there is none."""
    return published.change(method, model, split, width) if dataset.startswith("mtsccd_") else None


def transition_share(changed: np.ndarray, right: np.ndarray, resamples: int, seed: int) -> tuple[float, Interval]:
    """Return the share of the changed pairs whose transition is right, and its 95 % interval over resampled pairs.

    The number of changed pairs is resampled with the pairs; a resample without any counts as 0, as everywhere in `ops`.
    """
    counts = np.array([(changed & right).sum(), (changed & ~right).sum(), (~changed).sum()])
    draws = bootstrap_confusions(counts, resamples, seed)
    low, high = np.quantile(draws[:, 0] / np.maximum(draws[:, 0] + draws[:, 1], 1), (0.025, 0.975))
    return float(counts[0] / (counts[0] + counts[1])), (float(low), float(high))


def example_pairs(trained: Trained, source: Source, decision: Decision) -> dict[str, np.ndarray]:
    """Return thumbnails of a few changed and unchanged pairs with the decisions on them (like the paper's Table 8).

    The pairs are drawn by their truth alone, with a seed of their own: every method, network and seed shows the same
    pairs of a split, so that methods can be compared. `row` is the place of each pair in the split.
    """
    changed, predicted = source.column("changed").astype(bool), decision.predicted_n
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
        "distance": decision.distance_n[chosen],
        "label_t1": (source.column("label_t1") if "label_t1" in source.fields else unknown)[chosen],
        "label_t2": (source.column("label_t2") if "label_t2" in source.fields else unknown)[chosen],
        "class_names": np.array(source.class_names or trained.class_names),
    }
