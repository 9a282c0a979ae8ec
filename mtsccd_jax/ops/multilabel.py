"""Metrics of multi-label classification, exact and mergeable; equal to scikit-learn's with `zero_division=0`.

Three kinds of counts, each merged over batches, devices and processes by `+`, in any order with the same result:

- `DecisionCounts`, of what was called present: precision, recall, F1 and F2 as `..._samples`, `..._micro` and
  `..._macro`, Hamming loss, subset accuracy. Integers alone, also for the mean over examples: the figures of an example
  depend only on how many of its labels were hit, called and true, so examples are counted by these three numbers.
- `RankingCounts`, of how each example's scores order the classes: coverage error and ranking loss. Integers alone: the
  loss of an example has one of k denominators, so misordered pairs are summed by the number of true labels.
- `ScoreCounts`, of every score that occurred: average precision. It needs the order of all scores of a class, so what
  is kept is each distinct score with the examples that have the label and that do not. In the worst case that is every
  score; scores of few distinct values take no more room for more examples.

The first two can be made inside `jit`, in int32: examples x k^2 / 4 of one call must stay below 2^31. Outside, more
examples are counted in several calls, and `+` is int64.

Conventions. Called present iff score >= threshold. `samples` is the mean over examples (the average of the BigEarthNet
v1 paper), `micro` pools all decisions, `macro` is the mean over all classes of the class's own figure (so `f1_macro` is
the mean of F1, not the F1 of means). A ratio whose denominator is zero is 0.0: the precision of an example for which
nothing is called, the F1 of an example without labels for which nothing is called, every figure of a class that is
neither true nor called, the average precision of a class that never occurs. All of these enter the means, as in
scikit-learn; `ap_macro_present` alone leaves out the classes that never occur. F2 = 5 tp / (5 tp + 4 fn + fp).
An example without labels has coverage 0, and without labels or with all of them ranking loss 0.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from mtsccd_jax.ops.metrics import binary_metrics
from mtsccd_jax.ops.threshold import best_cut, check_objective, ends_of_ties, sort_descending

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

_MOST_CLASSES = 200  # the examples are counted in a table of (k + 1)^3 cells, 32 MB here
_MOST_PAIRS = 2**31 - 1  # that one call counts in int32
_CUT_ELEMENTS = 1 << 21  # classes x examples that the threshold search works on at once; bounds memory, not results


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DecisionCounts:
    """What was called present and what was true; merges by `+`, and passes through `jit`, `psum` and friends.

    Attributes:
        tp_k: examples of each class with the label and called so, (k,) integers.
        fp_k: called so without the label.
        fn_k: not called so, with the label.
        examples_hct: (k + 1, k + 1, k + 1) examples by their labels hit, called and true.
    """

    tp_k: Any
    fp_k: Any
    fn_k: Any
    examples_hct: Any

    def __add__(self, other: "DecisionCounts") -> "DecisionCounts":
        return jax.tree.map(_plus, self, other)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RankingCounts:
    """How each example's scores order the classes; merges by `+`, and passes through `jit`, `psum` and friends.

    Attributes:
        covered: summed over examples, the classes that score at least as high as the lowest true label.
        examples_t: (k + 1,) examples by their number of true labels.
        misordered_t: (k + 1,) pairs of a true and an untrue label of which the true one does not score higher, summed
            over the examples of that number of true labels.
    """

    covered: Any
    examples_t: Any
    misordered_t: Any

    def __add__(self, other: "RankingCounts") -> "RankingCounts":
        return jax.tree.map(_plus, self, other)


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Every distinct score of every class with how often it occurred; lives on the host, merges by `+`.

    Attributes:
        score: k vectors of distinct scores, descending.
        positive: k int64 vectors, the examples of that score with the label.
        negative: likewise without the label.
    """

    score: tuple[np.ndarray, ...]
    positive: tuple[np.ndarray, ...]
    negative: tuple[np.ndarray, ...]

    def __add__(self, other: "ScoreCounts") -> "ScoreCounts":
        if len(self.score) != len(other.score):
            raise ValueError(f"counts of {len(self.score)} and of {len(other.score)} classes cannot be merged")
        pairs = zip(self.score, self.positive, self.negative, other.score, other.positive, other.negative, strict=True)
        merged = [_merge([a, d], [b, e], [c, f]) for a, b, c, d, e, f in pairs]
        score, positive, negative = zip(*merged, strict=True)
        return ScoreCounts(score, positive, negative)


@dataclass(frozen=True, eq=False)
class ClassThresholds:
    """A chosen threshold for every class; a class is called present iff its score >= its threshold.

    Attributes:
        threshold_k: (k,) float64; infinity where the class is best never called.
        value_k: (k,) the objective at this threshold.
        confusion_k4: (k, 4) int64 tn, fp, fn, tp on the examples that it was chosen on.
        degenerate_k: (k,) bool, the class occurs in none or in all of them, so that the choice says nothing.
    """

    threshold_k: np.ndarray
    value_k: np.ndarray
    confusion_k4: np.ndarray
    degenerate_k: np.ndarray


def multilabel_metrics(label_nk: ArrayLike, score_nk: ArrayLike, threshold: ArrayLike = 0.5) -> dict[str, float]:
    """All of `METRICS` by name, of scores held in one piece.

    Args:
        label_nk: bool or 0 and 1.
        score_nk: finite scores, probabilities or logits.
        threshold: for the decisions, one or (k,), on the scale of the scores.

    Raises:
        ValueError: empty input, unequal shapes, labels other than 0 and 1, scores that are not finite.
    """
    label, score = check_scores(label_nk, score_nk)
    ap_k, ap_micro = average_precision(label, score)
    return {
        **_ap_metrics(ap_k, ap_micro, label.any(0)),
        **decision_metrics(decision_counts(label, decide(score, threshold))),
        **ranking_metrics(ranking_counts(label, score)),
    }


def decide(score_nk: ArrayLike, threshold: ArrayLike) -> Any:
    """Whether each class is called present, (n, k) bool: score >= threshold, one or (k,); works inside `jit`."""
    if isinstance(score_nk, jax.Array):
        return score_nk >= jnp.asarray(threshold)
    return np.asarray(score_nk) >= np.asarray(threshold)


def decision_counts(label_nk: ArrayLike, called_nk: ArrayLike, mask_n: ArrayLike | None = None) -> DecisionCounts:
    """The `DecisionCounts` of a batch, int32; works inside `jit`. Rows where `mask_n` is False are not counted.

    Raises:
        ValueError: shapes that differ, no or more than 200 classes, or (outside `jit`) values other than 0 and 1.
    """
    label, called = _flags("label_nk", label_nk), _flags("called_nk", called_nk)
    mask = _check_batch("called_nk", label, called, mask_n)
    if label.shape[1] > _MOST_CLASSES:
        raise ValueError(f"at most {_MOST_CLASSES} classes can be counted, got {label.shape[1]}")
    return _count_decisions(label, called, mask)


def ranking_counts(label_nk: ArrayLike, score_nk: ArrayLike, mask_n: ArrayLike | None = None) -> RankingCounts:
    """The `RankingCounts` of a batch, int32; works inside `jit`. Rows where `mask_n` is False are not counted.

    Outside `jit` float64 scores are compared as such; inside, as the type that they have there.

    Raises:
        ValueError: shapes that differ, no class, or (outside `jit`) labels other than 0 and 1, scores not finite.
    """
    label = _flags("label_nk", label_nk)
    if any(isinstance(part, jax.core.Tracer) for part in (label, score_nk, mask_n)):
        score = jnp.asarray(score_nk)
        return _count_rankings(label, score, _check_batch("score_nk", label, score, mask_n))
    known = np.asarray(score_nk)
    mask = np.asarray(_check_batch("score_nk", label, known, mask_n))
    known = _real_scores("score_nk", known, mask)
    most = max(1, _MOST_PAIRS // max(label.shape[1], label.shape[1] ** 2 // 4))
    parts = [slice(start, start + most) for start in range(0, max(len(label), 1), most)]
    with jax.enable_x64(known.dtype == np.float64):
        return reduce(add, [_count_rankings(label[part], known[part], mask[part]) for part in parts])


def score_counts(label_nk: ArrayLike, score_nk: ArrayLike, mask_n: ArrayLike | None = None) -> ScoreCounts:
    """The `ScoreCounts` of a batch, on the host. Rows where `mask_n` is False are not counted.

    Raises:
        ValueError: shapes that differ, no class, labels other than 0 and 1, scores that are not finite.
    """
    label, score = np.asarray(label_nk), np.asarray(score_nk)
    mask = _check_batch("score_nk", label, score, mask_n)
    label, score = check_scores(label[np.asarray(mask)], score[np.asarray(mask)], allow_empty=True)

    def of_class(column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value_n, kind_n = sort_descending(np.ascontiguousarray(score[:, column]), label[:, column])
        return _runs(value_n, kind_n.astype(np.int64), 1 - kind_n.astype(np.int64))

    runs = _each(of_class, range(label.shape[1]))
    scores, positive, negative = zip(*runs, strict=True)
    return ScoreCounts(scores, positive, negative)


def class_figures(counts: DecisionCounts) -> dict[str, np.ndarray]:
    """`{"precision", "recall", "f1", "f2": (k,) float64}` of every class; 0.0 where undefined."""
    return figures(*_host(counts.tp_k, counts.fp_k, counts.fn_k))


def decision_metrics(counts: DecisionCounts) -> dict[str, float]:
    """All of `DECISION_METRICS` by name.

    Raises:
        ValueError: no example has been counted.
    """
    tp, fp, fn, examples = _host(counts.tp_k, counts.fp_k, counts.fn_k, counts.examples_hct)
    hit, called, true = np.nonzero(examples)
    weight = examples[hit, called, true]
    n = int(weight.sum())
    if n == 0:
        raise ValueError("no example has been counted")
    sample = {name: value @ weight / n for name, value in figures(hit, called - hit, true - hit).items()}
    exact = ((hit == called) & (hit == true)) @ weight / n
    return {name: float(value) for name, value in decision_averages(tp, fp, fn, sample, exact, n).items()}


def decision_averages(
    tp_k: np.ndarray,
    fp_k: np.ndarray,
    fn_k: np.ndarray,
    sample: dict[str, np.ndarray],
    exact: np.ndarray | float,
    n: int,
) -> dict[str, np.ndarray]:
    """`DECISION_METRICS` from counts by class (along the first axis), means over examples, and the number of these."""
    by_class, pooled = figures(tp_k, fp_k, fn_k), figures(tp_k.sum(0), fp_k.sum(0), fn_k.sum(0))
    return {
        **{f"{name}_samples": value for name, value in sample.items()},
        **{f"{name}_micro": value for name, value in pooled.items()},
        **{f"{name}_macro": value.mean(0) for name, value in by_class.items()},
        "hamming_loss": (fp_k + fn_k).sum(0) / (n * len(tp_k)),
        "subset_accuracy": np.asarray(exact),
    }


def figures(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> dict[str, np.ndarray]:
    """`{"precision", "recall", "f1", "f2"}` of counts, elementwise in float64; 0.0 where undefined."""
    return {
        "precision": _divide(tp, tp + fp),
        "recall": _divide(tp, tp + fn),
        "f1": _divide(2 * tp, 2 * tp + fn + fp),
        "f2": _divide(5 * tp, 5 * tp + 4 * fn + fp),
    }


def ranking_metrics(counts: RankingCounts) -> dict[str, float]:
    """All of `RANKING_METRICS` by name: `coverage_error` in [0, k], `ranking_loss` in [0, 1]; low is good.

    Raises:
        ValueError: no example has been counted.
    """
    covered, examples, misordered = _host(counts.covered, counts.examples_t, counts.misordered_t)
    n, true = int(examples.sum()), np.arange(len(examples))
    if n == 0:
        raise ValueError("no example has been counted")
    loss = _divide(misordered, true * (len(true) - 1 - true)).sum() / n
    return {"coverage_error": float(covered / n), "ranking_loss": float(loss)}


def average_precision(label_nk: ArrayLike, score_nk: ArrayLike) -> tuple[np.ndarray, float]:
    """`(ap_k, ap_micro)`: the average precision of each class, (k,) float64, and of all decisions pooled.

    The area under precision as a step function of recall; examples of equal score are called together. Sorted on the
    host, several classes at a time.

    Raises:
        ValueError: empty input, unequal shapes, labels other than 0 and 1, scores that are not finite.
    """
    label, score = check_scores(label_nk, score_nk)

    def of(column: int | None) -> float:
        some_score, some_label = (part.ravel() if column is None else part[:, column] for part in (score, label))
        value_n, kind_n = sort_descending(np.ascontiguousarray(some_score), some_label)
        end = np.flatnonzero(ends_of_ties(value_n))
        return _step_area(np.cumsum(kind_n, dtype=np.int64)[end], end + 1)

    micro, *by_class = _each(of, [None, *range(label.shape[1])])  # the longest first
    return np.array(by_class), micro


def average_precision_of(counts: ScoreCounts) -> tuple[np.ndarray, float]:
    """`(ap_k, ap_micro)` of merged counts; equal to `average_precision` of everything that was counted."""

    def area(positive_n: np.ndarray, negative_n: np.ndarray) -> float:
        return _step_area(np.cumsum(positive_n), np.cumsum(positive_n + negative_n))

    by_class = [area(*pair) for pair in zip(counts.positive, counts.negative, strict=True)]
    return np.array(by_class), area(*_merge(counts.score, counts.positive, counts.negative)[1:])


def ap_metrics(counts: ScoreCounts) -> dict[str, float]:
    """All of `AP_METRICS` by name.

    Raises:
        ValueError: no example has been counted.
    """
    if not len(counts.score[0]):
        raise ValueError("no example has been counted")
    ap_k, ap_micro = average_precision_of(counts)
    return _ap_metrics(ap_k, ap_micro, np.array([positive.any() for positive in counts.positive]))


def class_thresholds(label_nk: ArrayLike, score_nk: ArrayLike, objective: str = "f1") -> ClassThresholds:
    """The threshold of the highest objective for every class, by the rules and the exact search of `ops.threshold`.

    Args:
        label_nk: bool or 0 and 1; of validation examples, not of those that are reported on.
        score_nk: finite scores.
        objective: `f1`, `kappa`, `oa` or `balanced`.

    Raises:
        ValueError: as `average_precision`, and an unknown objective.
    """
    check_objective(objective)
    label, score = check_scores(label_nk, score_nk)
    n, k = label.shape
    value_kn, tp_kn, allowed_kn = np.empty((k, n), score.dtype), np.empty((k, n), np.int32), np.empty((k, n), bool)

    def sort(column: int) -> None:
        value_kn[column], kind_n = sort_descending(np.ascontiguousarray(score[:, column]), label[:, column])
        allowed_kn[column] = ends_of_ties(value_kn[column])
        np.cumsum(kind_n, dtype=np.int32, out=tp_kn[column])

    _each(sort, range(k))
    with jax.enable_x64(True):
        cut = jax.device_get(_best_cuts(tp_kn, allowed_kn, objective, max(1, _CUT_ELEMENTS // n)))
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


@jax.jit
def example_rankings(label_nk: jax.Array, score_nk: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`(covered_n, misordered_n)` int32 of each example, as `RankingCounts` sums them; never holds (n, k, k)."""
    lowest_n = jnp.min(jnp.where(label_nk, score_nk, jnp.inf), 1)
    covered_n = jnp.sum(score_nk >= lowest_n[:, None], 1, dtype=jnp.int32)

    def add_class(column: jax.Array, misordered_n: jax.Array) -> jax.Array:
        true_n1, score_n1 = (lax.dynamic_slice_in_dim(part, column, 1, 1) for part in (label_nk, score_nk))
        return misordered_n + jnp.sum(true_n1 & ~label_nk & (score_nk >= score_n1), 1, dtype=jnp.int32)

    return covered_n, lax.fori_loop(0, label_nk.shape[1], add_class, jnp.zeros_like(covered_n))


def check_scores(label_nk: ArrayLike, score_nk: ArrayLike, allow_empty: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The labels as bool and the scores as finite float32 or float64 of one shape (n, k), both on the host.

    Raises:
        ValueError: empty input, unequal shapes, labels other than 0 and 1, scores that are not finite.
    """
    label, score = _flags("label_nk", np.asarray(label_nk)), np.asarray(score_nk)
    _check_batch("score_nk", label, score, None)
    if not len(label) and not allow_empty:
        raise ValueError("label_nk holds no example")
    return label, _real_scores("score_nk", score)


@jax.jit
def _count_decisions(label_nk: jax.Array, called_nk: jax.Array, mask_n: jax.Array) -> DecisionCounts:
    mask_n1 = mask_n[:, None]
    hit_nk = label_nk & called_nk
    side = label_nk.shape[1] + 1
    hit_n, called_n, true_n = (jnp.sum(part, 1, dtype=jnp.int32) for part in (hit_nk, called_nk, label_nk))
    cell_n = jnp.where(mask_n, (hit_n * side + called_n) * side + true_n, side**3)
    examples = jnp.zeros(side**3, jnp.int32).at[cell_n].add(1, mode="drop")
    parts = (hit_nk, called_nk & ~label_nk, label_nk & ~called_nk)
    tp, fp, fn = (jnp.sum(part & mask_n1, 0, dtype=jnp.int32) for part in parts)
    return DecisionCounts(tp, fp, fn, examples.reshape(side, side, side))


@jax.jit
def _count_rankings(label_nk: jax.Array, score_nk: jax.Array, mask_n: jax.Array) -> RankingCounts:
    covered_n, misordered_n = example_rankings(label_nk, score_nk)
    side = label_nk.shape[1] + 1
    cell_n = jnp.where(mask_n, jnp.sum(label_nk, 1, dtype=jnp.int32), side)
    return RankingCounts(
        jnp.sum(jnp.where(mask_n, covered_n, 0), dtype=jnp.int32),
        jnp.zeros(side, jnp.int32).at[cell_n].add(1, mode="drop"),
        jnp.zeros(side, jnp.int32).at[cell_n].add(misordered_n, mode="drop"),
    )


@partial(jax.jit, static_argnames=("objective", "at_once"))
def _best_cuts(tp_kn: jax.Array, allowed_kn: jax.Array, objective: str, at_once: int) -> Any:
    """The `Cut` of every class, from the positives up to each place of its own order."""
    place_n = jnp.arange(1, tp_kn.shape[1] + 1, dtype=jnp.int32)

    def of_class(order: tuple[jax.Array, jax.Array]) -> Any:
        tp_n, allowed_n = order
        return best_cut(tp_n, place_n - tp_n, allowed_n, objective)

    return lax.map(of_class, (tp_kn, allowed_kn), batch_size=at_once)


def _ap_metrics(ap_k: np.ndarray, ap_micro: float, present_k: Any) -> dict[str, float]:
    present = float(ap_k[present_k].mean()) if present_k.any() else 0.0
    return {"ap_macro": float(ap_k.mean()), "ap_micro": ap_micro, "ap_macro_present": present}


def _step_area(tp_m: np.ndarray, called_m: np.ndarray) -> float:
    """Average precision from the hits and the calls down to the end of each run of equal scores."""
    gained = np.diff(tp_m, prepend=0)
    where = np.flatnonzero(gained)
    return float(gained[where] @ (tp_m[where] / called_m[where]) / tp_m[-1]) if len(where) else 0.0


def _runs(
    value_n: np.ndarray, positive_n: np.ndarray, negative_n: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of a sorted vector, one entry for each run of equal values."""
    if not len(value_n):
        return value_n, positive_n, negative_n
    start = np.flatnonzero(np.append(True, value_n[1:] != value_n[:-1]))
    return value_n[start], np.add.reduceat(positive_n, start), np.add.reduceat(negative_n, start)


def _merge(
    score: Sequence[np.ndarray], positive: Sequence[np.ndarray], negative: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Several `(score, positive, negative)` as one, scores distinct and descending."""
    value, *counts = (np.concatenate(parts) for parts in (score, positive, negative))
    order = np.argsort(-value, kind="stable")
    return _runs(value[order], *(count[order] for count in counts))


def _each(function: Callable[[Any], Any], items: Sequence[Any] | range) -> list[Any]:
    """The function of each item, on the threads of this machine: NumPy sorts without holding the interpreter."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(function, items))


def _plus(a: Any, b: Any) -> Any:
    """The sum of counts, in int64 on the host unless traced: int32 would wrap without a word."""
    if a.shape != b.shape:
        raise ValueError(f"counts of shapes {a.shape} and {b.shape} cannot be merged: the classes must be the same")
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a + b
    return np.asarray(a, np.int64) + np.asarray(b, np.int64)


def _host(*counts: Any) -> list[np.ndarray]:
    return [np.asarray(count, np.int64) for count in counts]


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    numerator = np.asarray(numerator, np.float64)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=np.asarray(denominator) > 0)


def _flags(name: str, value: ArrayLike) -> Any:
    """The argument as bool, on the host unless traced; 0 and 1 where it holds numbers."""
    if isinstance(value, jax.core.Tracer):
        return value.astype(bool)
    known = np.asarray(value)
    if known.dtype != bool:
        odd = (known != 0) & (known != 1)
        if odd.any():
            place = [int(index) for index in np.argwhere(odd)[0]]
            raise ValueError(f"{name}{place} is {known[tuple(place)]}: labels are 0 (absent) and 1 (present)")
    return known.astype(bool)


def _check_batch(name: str, label_nk: Any, other_nk: Any, mask_n: ArrayLike | None) -> Any:
    """The mask as a bool vector; raises ValueError unless all shapes agree."""
    if label_nk.ndim != 2 or label_nk.shape[1] == 0 or other_nk.shape != label_nk.shape:
        raise ValueError(
            f"label_nk and {name} must be matrices of one shape, examples x classes, got {label_nk.shape} and "
            f"{other_nk.shape}"
        )
    n = label_nk.shape[0]
    mask = np.ones(n, bool) if mask_n is None else mask_n if isinstance(mask_n, jax.Array) else np.asarray(mask_n)
    if mask.shape != (n,):
        raise ValueError(f"mask_n must have one entry for each of the {n} examples, got shape {mask.shape}")
    return mask.astype(bool)


def _real_scores(name: str, score: np.ndarray, mask_n: np.ndarray | None = None) -> np.ndarray:
    """The scores as float32 or float64; raises ValueError unless those of unmasked rows are finite."""
    if not (jnp.issubdtype(score.dtype, jnp.floating) or np.issubdtype(score.dtype, np.integer)):
        raise ValueError(f"{name} must hold real numbers, got {score.dtype}")
    if score.dtype not in (np.float32, np.float64):
        score = score.astype(np.float32 if score.dtype.itemsize <= 2 else np.float64)
    odd = ~np.isfinite(score) if mask_n is None else ~np.isfinite(score) & mask_n[:, None]
    if odd.any():
        row, column = (int(index) for index in np.argwhere(odd)[0])
        raise ValueError(f"{name}[{row}, {column}] is {score[row, column]}: scores must be finite")
    return score
