"""Metrics of multi-label classification, equal to scikit-learn's with `zero_division=0`.

A label is predicted present if and only if its score reaches the threshold: score >= threshold. Three groups of
metrics:

- `AP_METRICS`, of the order of all scores: average precision. `ap_macro` is the mean over all classes, `ap_micro` pools
  all decisions, `ap_macro_present` is the mean over the classes that occur.
- `DECISION_METRICS`, of what is predicted present: precision, recall, F1 and F2, each averaged in three ways, Hamming
  loss and subset accuracy. `samples` is the mean over examples (the average of the BigEarthNet v1 paper), `micro` pools
  all decisions, and `macro` is the mean over classes: `f1_macro` is the mean of F1, not the F1 of means.
  F2 = 5 tp / (5 tp + 4 fn + fp).
- `RANKING_METRICS`, of the order of the classes within each example: coverage error and ranking loss. An example
  without labels has coverage 0. Its ranking loss is 0, and so is that of an example with all labels.

A ratio whose denominator is zero is 0.0: the precision of an example for which nothing is predicted, all figures of a
class that is neither true nor predicted, the average precision of a class that never occurs. As in scikit-learn, these
zeros enter the means; `ap_macro_present` alone leaves them out.

Functions of labels and scores or predictions raise ValueError for empty input, unequal shapes, labels and predictions
other than 0 and 1, and scores that are not finite.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Float64, Int64, Real, Shaped

from mtsccd_jax.ops.calls import LABEL_VALUES, finite_floats, flags, own_settings, padded, row_bucket
from mtsccd_jax.ops.metrics import binary_metrics, divide
from mtsccd_jax.ops.threshold import Cut, best_cut, check_objective, ends_of_ties, sort_descending

FIGURES = ("precision", "recall", "f1", "f2")
AVERAGES = ("samples", "micro", "macro")
AP_METRICS = ("ap_macro", "ap_micro", "ap_macro_present")
DECISION_METRICS = (
    *(f"{figure}_{average}" for average in AVERAGES for figure in FIGURES),
    "hamming_loss",
    "subset_accuracy",
)
RANKING_METRICS = ("coverage_error", "ranking_loss")
METRICS = AP_METRICS + DECISION_METRICS + RANKING_METRICS

_CUT_ELEMENTS = 1 << 21  # classes x examples in one step of the threshold search; bounds memory, not results


class DecisionCounts(NamedTuple):
    """The true positives, false positives and false negatives of each class."""

    tp_k: Int64[np.ndarray, " k"]
    fp_k: Int64[np.ndarray, " k"]
    fn_k: Int64[np.ndarray, " k"]


class ClassThresholds(NamedTuple):
    """The best threshold of each class."""

    threshold_k: Float64[np.ndarray, " k"]  # infinity where it is best never to predict the class
    value_k: Float64[np.ndarray, " k"]  # the objective at this threshold
    confusion_k4: Int64[np.ndarray, "k 4"]  # tn, fp, fn, tp on the examples that the threshold was chosen on
    degenerate_k: Bool[np.ndarray, " k"]  # none or all of these have the label, so that the choice means nothing


def multilabel_metrics(
    label_nk: Shaped[ArrayLike, "n k"],
    score_nk: Real[ArrayLike, "n k"],
    threshold: float | Real[ArrayLike, " k"] = 0.5,
) -> dict[str, float]:
    """Return all of `METRICS` by name.

    Args:
        label_nk: bool, or 0 and 1.
        score_nk: finite scores: probabilities or logits.
        threshold: of the decisions, one or one a class, on the scale of the scores.
    """
    label, score = check_scores(label_nk, score_nk)
    ap_k, ap_micro = average_precision(label, score)
    present_k = label.any(0)
    return {
        "ap_macro": float(ap_k.mean()),
        "ap_micro": ap_micro,
        "ap_macro_present": float(ap_k[present_k].mean()) if present_k.any() else 0.0,
        **decision_metrics(label, decide(score, threshold)),
        **ranking_metrics(label, score),
    }


def decide(score_nk: Real[ArrayLike, "n k"], threshold: float | Real[ArrayLike, " k"]) -> Bool[np.ndarray, "n k"]:
    """Return whether each label is predicted present: score >= threshold, which is one or one a class."""
    return np.asarray(score_nk) >= np.asarray(threshold)


def decision_counts(label_nk: Shaped[ArrayLike, "n k"], predicted_nk: Shaped[ArrayLike, "n k"]) -> DecisionCounts:
    """Count the decisions of each class."""
    label, predicted = _check_decisions(label_nk, predicted_nk)
    return DecisionCounts((label & predicted).sum(0), (predicted & ~label).sum(0), (label & ~predicted).sum(0))


def decision_metrics(label_nk: Shaped[ArrayLike, "n k"], predicted_nk: Shaped[ArrayLike, "n k"]) -> dict[str, float]:
    """Return all of `DECISION_METRICS` by name."""
    label, predicted = _check_decisions(label_nk, predicted_nk)
    tp_k1, fp_k1, fn_k1 = (count_k[:, None] for count_k in decision_counts(label, predicted))
    mean_v1 = example_figures(label, predicted).mean(1, keepdims=True)
    averages = decision_averages(tp_k1, fp_k1, fn_k1, mean_v1, len(label))
    return {name: float(value_r[0]) for name, value_r in averages.items()}


def example_figures(
    label_nk: Bool[np.ndarray, "n k"], predicted_nk: Bool[np.ndarray, "n k"]
) -> Float64[np.ndarray, "5 n"]:
    """Return the `FIGURES` of each example and, last, 1.0 where all its labels are right and 0.0 elsewhere."""
    tp_n, predicted_n, true_n = (part.sum(1) for part in (label_nk & predicted_nk, predicted_nk, label_nk))
    exact_n = (tp_n == predicted_n) & (tp_n == true_n)
    return np.stack([*figures(tp_n, predicted_n - tp_n, true_n - tp_n).values(), exact_n])


def decision_averages(
    tp_kr: Real[np.ndarray, "k r"],
    fp_kr: Real[np.ndarray, "k r"],
    fn_kr: Real[np.ndarray, "k r"],
    mean_vr: Float64[np.ndarray, "5 r"],
    n: int,
) -> dict[str, Float64[np.ndarray, " r"]]:
    """Return `DECISION_METRICS` of r resamples by name, from `DecisionCounts`, means of `example_figures`, and n."""
    by_class = figures(tp_kr, fp_kr, fn_kr)
    pooled = figures(tp_kr.sum(0), fp_kr.sum(0), fn_kr.sum(0))
    *samples, exact_r = mean_vr
    return {
        **{f"{name}_samples": value_r for name, value_r in zip(FIGURES, samples, strict=True)},
        **{f"{name}_micro": value_r for name, value_r in pooled.items()},
        **{f"{name}_macro": value_kr.mean(0) for name, value_kr in by_class.items()},
        "hamming_loss": (fp_kr + fn_kr).sum(0) / (n * len(tp_kr)),
        "subset_accuracy": exact_r,
    }


def figures(
    tp: Real[ArrayLike, "*n"], fp: Real[ArrayLike, "*n"], fn: Real[ArrayLike, "*n"]
) -> dict[str, Float64[np.ndarray, "*n"]]:
    """Return precision, recall, F1 and F2 of counts by name, elementwise; 0.0 where undefined."""
    tp, fp, fn = np.asarray(tp), np.asarray(fp), np.asarray(fn)
    return {
        "precision": divide(tp, tp + fp),
        "recall": divide(tp, tp + fn),
        "f1": divide(2 * tp, 2 * tp + fn + fp),
        "f2": divide(5 * tp, 5 * tp + 4 * fn + fp),
    }


def ranking_metrics(label_nk: Shaped[ArrayLike, "n k"], score_nk: Real[ArrayLike, "n k"]) -> dict[str, float]:
    """Return all of `RANKING_METRICS` by name: `coverage_error` in [0, k], `ranking_loss` in [0, 1]; low is good."""
    coverage_n, loss_n = example_rankings(*check_scores(label_nk, score_nk))
    return {"coverage_error": float(coverage_n.mean()), "ranking_loss": float(loss_n.mean())}


@own_settings()
def example_rankings(
    label_nk: Bool[np.ndarray, "n k"], score_nk: Float[np.ndarray, "n k"]
) -> tuple[Real[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return the coverage and the ranking loss of each example.

    The coverage is the number of classes that score at least as high as the lowest true label. The ranking loss is the
    share, among all pairs of a true and an untrue label, of those in which the true one does not score higher.
    """
    n = len(label_nk)
    with jax.enable_x64(score_nk.dtype == np.float64):
        counts = _count_orders(*(padded(part, row_bucket(n)) for part in (label_nk, score_nk)))
    coverage_n, misordered_n = (np.asarray(count)[:n] for count in counts)
    true_n = label_nk.sum(1)
    return coverage_n, divide(misordered_n, true_n * (label_nk.shape[1] - true_n))


def average_precision(
    label_nk: Shaped[ArrayLike, "n k"], score_nk: Real[ArrayLike, "n k"]
) -> tuple[Float64[np.ndarray, " k"], float]:
    """Return `(ap_k, ap_micro)`: the average precision of each class, and that of all decisions pooled.

    The average precision is the area under precision as a step function of recall; examples of equal score are one
    step. Sorts on the host, several classes at a time.
    """
    label, score = check_scores(label_nk, score_nk)

    def area(column: int | None) -> float:
        some_score, some_label = (part.ravel() if column is None else part[:, column] for part in (score, label))
        value_n, kind_n = sort_descending(np.ascontiguousarray(some_score), some_label)
        end = np.flatnonzero(ends_of_ties(value_n))
        tp_m = np.cumsum(kind_n, dtype=np.int64)[end]
        gained_m = np.diff(tp_m, prepend=0)
        where = np.flatnonzero(gained_m)
        return float(gained_m[where] @ (tp_m[where] / (end[where] + 1)) / tp_m[-1]) if len(where) else 0.0

    micro, *by_class = _map_threads(area, [None, *range(label.shape[1])])  # the longest first
    return np.array(by_class), micro


@own_settings()
def class_thresholds(
    label_nk: Shaped[ArrayLike, "n k"], score_nk: Real[ArrayLike, "n k"], objective: str = "f1"
) -> ClassThresholds:
    """Return the threshold of the highest objective for each class, by the rules and the search of `ops.threshold`.

    Choose it on validation examples, not on those that are reported on.

    Raises:
        ValueError: an unknown objective, too.
    """
    check_objective(objective)
    label, score = check_scores(label_nk, score_nk)
    n, k = label.shape
    length = row_bucket(n)
    value_kn, tp_kn, allowed_kn = (
        np.empty((k, n), score.dtype),
        np.empty((k, length), np.int32),
        np.zeros((k, length), bool),
    )

    def sort(column: int) -> None:
        value_kn[column], kind_n = sort_descending(np.ascontiguousarray(score[:, column]), label[:, column])
        allowed_kn[column, :n] = ends_of_ties(value_kn[column])
        np.cumsum(kind_n, dtype=np.int32, out=tp_kn[column, :n])
        tp_kn[column, n:] = tp_kn[column, n - 1]

    _map_threads(sort, range(k))
    with jax.enable_x64(True):
        cut = jax.device_get(_best_cuts(tp_kn, allowed_kn, np.int32(n), objective, max(1, _CUT_ELEMENTS // length)))
    chosen = np.take_along_axis(value_kn, np.maximum(cut.position, 0)[:, None], 1)[:, 0].astype(np.float64)
    positives = tp_kn[:, -1].astype(np.int64)
    tp, fp = cut.tp.astype(np.int64), cut.fp.astype(np.int64)
    confusion_k4 = np.stack([n - positives - fp, fp, positives - tp, tp], 1)
    return ClassThresholds(
        threshold_k=np.where(cut.position >= 0, chosen, np.inf),
        value_k=np.array([binary_metrics(confusion)[objective] for confusion in confusion_k4]),
        confusion_k4=confusion_k4,
        degenerate_k=(positives == 0) | (positives == n),
    )


def check_scores(
    label_nk: Shaped[ArrayLike, "n k"], score_nk: Real[ArrayLike, "n k"]
) -> tuple[Bool[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Return the labels as bool and the scores as float32 or float64, both on the host."""
    label, score = flags("label_nk", label_nk, LABEL_VALUES), np.asarray(score_nk)
    _check_shapes("score_nk", label, score)
    return label, finite_floats("score_nk", score, "scores")


def _check_decisions(label_nk: ArrayLike, predicted_nk: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    label, predicted = (
        flags(name, value, LABEL_VALUES) for name, value in (("label_nk", label_nk), ("predicted_nk", predicted_nk))
    )
    _check_shapes("predicted_nk", label, predicted)
    return label, predicted


def _check_shapes(name: str, label_nk: np.ndarray, other_nk: np.ndarray) -> None:
    if label_nk.ndim != 2 or label_nk.shape[1] == 0 or other_nk.shape != label_nk.shape:
        raise ValueError(
            f"label_nk and {name} must be matrices of one shape, examples x classes, got {label_nk.shape} and "
            f"{other_nk.shape}"
        )
    if not len(label_nk):
        raise ValueError("label_nk holds no example")


@jax.jit
def _count_orders(label_nk: Array, score_nk: Array) -> tuple[Array, Array]:
    """Return the coverage and the number of misordered pairs of each example, int32, without holding (n, k, k)."""
    lowest_n = jnp.min(jnp.where(label_nk, score_nk, jnp.inf), 1)
    coverage_n = jnp.sum(score_nk >= lowest_n[:, None], 1, dtype=jnp.int32)

    def add_class(column: Array, misordered_n: Array) -> Array:
        true_n1, score_n1 = (lax.dynamic_slice_in_dim(part, column, 1, 1) for part in (label_nk, score_nk))
        return misordered_n + jnp.sum(true_n1 & ~label_nk & (score_nk >= score_n1), 1, dtype=jnp.int32)

    return coverage_n, lax.fori_loop(0, label_nk.shape[1], add_class, jnp.zeros_like(coverage_n))


@partial(jax.jit, static_argnames=("objective", "at_once"))
def _best_cuts(tp_kn: Array, allowed_kn: Array, n: Array, objective: str, at_once: int) -> Cut:
    """Return the best cut of each class, from the positives up to each place of its own order; n are no padding."""
    place_n = jnp.minimum(jnp.arange(1, tp_kn.shape[1] + 1, dtype=jnp.int32), n)

    def of_class(order: tuple[Array, Array]) -> Cut:
        tp_n, allowed_n = order
        cut: Cut = best_cut(tp_n, place_n - tp_n, allowed_n, objective)
        return cut

    cuts: Cut = lax.map(of_class, (tp_kn, allowed_kn), batch_size=at_once)
    return cuts


def _map_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Map the function over the items, several at a time: NumPy releases the interpreter while it sorts."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(function, items))
