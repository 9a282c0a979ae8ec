"""Confusion matrices that merge by `+`, and the metrics that are computed from them.

Counting runs on the device in int32. Every metric is computed on the host from exact integers, with one division in
float64 at the end. A ratio whose denominator is zero is 0.0 by convention (kappa of a constant prediction of a constant
truth, precision of a class that is never predicted), so that every table cell holds a number.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float64, Int32, Integer, Real, Shaped

from mtsccd_jax.ops.calls import bucket, own_settings

BINARY_METRICS = ("oa", "kappa", "precision", "recall", "f1", "balanced")


@own_settings()
def confusion_matrix(
    label_n: Shaped[ArrayLike, " n"],
    prediction_n: Shaped[ArrayLike, " n"],
    num_classes: int,
    mask_n: Shaped[ArrayLike, " n"] | None = None,
) -> Int32[Array, "k k"]:
    """Count examples by their true class (rows) and predicted class (columns); batches merge by `+`.

    Examples where `mask_n` is False are not counted, whatever their label. Works inside `jit`. No value can be refused
    there: an unmasked label outside [0, k) is not counted, so compare the sum with the number of examples.

    Raises:
        ValueError: unequal lengths, no class, non-integer labels, or (outside `jit`) a label outside [0, k).
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    traced = any(isinstance(value, jax.core.Tracer) for value in (label_n, prediction_n, mask_n))
    library = jnp if traced else np  # values of the host are checked, and padded so that many lengths share a program
    labels = {"label_n": library.asarray(label_n), "prediction_n": library.asarray(prediction_n)}
    mask = library.ones(labels["label_n"].shape, bool) if mask_n is None else library.asarray(mask_n, bool)
    for name, value in {**labels, "mask_n": mask}.items():
        if value.ndim != 1 or value.shape != mask.shape or value.shape != labels["label_n"].shape:
            raise ValueError(
                f"label_n, prediction_n and mask_n must be vectors of one length, {name} has shape {value.shape}"
            )
    for name, value in labels.items():
        if not (jnp.issubdtype(value.dtype, jnp.integer) or value.dtype == bool):
            raise ValueError(f"{name} must hold integers, got {value.dtype}")
        outside = [] if traced else np.flatnonzero(mask & ((value < 0) | (value >= num_classes))).tolist()
        if outside:
            row = outside[0]
            raise ValueError(f"{name}[{row}] is {value[row]}, outside the {num_classes} classes 0 to k - 1")
    vectors = [*labels.values(), mask]
    if not traced:
        padding = (0, bucket(len(mask)) - len(mask))
        vectors = [np.pad(value, padding).astype(bool if value is mask else np.int32) for value in vectors]
    counts: Array = _count(*vectors, num_classes)
    return counts


@partial(jax.jit, static_argnames="num_classes")
def _count(label_n: Array, prediction_n: Array, mask_n: Array, num_classes: int) -> Array:
    """Scatter-add int32 ones into the flattened (k, k): float32 is hundreds of times slower on some GPUs."""
    label_n, prediction_n = label_n.astype(jnp.int32), prediction_n.astype(jnp.int32)
    inside = (label_n >= 0) & (label_n < num_classes) & (prediction_n >= 0) & (prediction_n < num_classes)
    cell = jnp.where(inside & mask_n, label_n * num_classes + prediction_n, num_classes * num_classes)
    counts = jnp.zeros(num_classes * num_classes, jnp.int32).at[cell].add(1, mode="drop")
    return counts.reshape(num_classes, num_classes)


def overall_accuracy(confusion: Integer[ArrayLike, "k k"]) -> float:
    """Return the share of examples on the diagonal, in [0, 1]."""
    counts = _square(confusion)
    return _ratio(int(np.trace(counts)), int(counts.sum()))


def cohen_kappa(confusion: Integer[ArrayLike, "k k"]) -> float:
    """Return Cohen's kappa in [-1, 1]: agreement beyond what the margins alone would give; 0.0 where that is 1."""
    counts = _square(confusion)
    n = int(counts.sum())
    # Python integers: n^2 exceeds int64 only for n > 3e9, but a product of margins must never be rounded.
    chance = sum(int(r) * int(c) for r, c in zip(counts.sum(1), counts.sum(0), strict=True))
    return _ratio(n * int(np.trace(counts)) - chance, n * n - chance)


def precision_recall_f1(
    confusion: Integer[ArrayLike, "k k"],
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Return precision, recall and F1 of every class, in [0, 1]; 0.0 where undefined."""
    counts = _square(confusion).astype(np.float64)
    hit, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    return divide(hit, predicted), divide(hit, true), divide(2 * hit, true + predicted)


def binary_metrics(confusion: Integer[ArrayLike, " 4"] | Sequence[int]) -> dict[str, float]:
    """Return `BINARY_METRICS` of (tn, fp, fn, tp) by name, the positive class being "changed"."""
    return _by_name(np.asarray(confusion).reshape(2, 2), np.array([False, True]))


def scene_metrics(confusion: Integer[ArrayLike, "k k"]) -> dict[str, float]:
    """Return `BINARY_METRICS` of a (k, k) confusion by name.

    Precision, recall and F1 are means over the classes that occur in the truth or in the prediction (as scikit-learn's
    `average="macro"`); `balanced` is the mean recall over those that occur in the truth.
    """
    counts = _square(confusion)
    return _by_name(counts, counts.sum(0) + counts.sum(1) > 0)


def _by_name(counts: np.ndarray, averaged_k: np.ndarray) -> dict[str, float]:
    """Return `BINARY_METRICS` by name; precision, recall and F1 are means over some of the classes."""
    precision_k, recall_k, f1_k = precision_recall_f1(counts)
    means = {"precision": precision_k, "recall": recall_k, "f1": f1_k}
    return {
        "oa": overall_accuracy(counts),
        "kappa": cohen_kappa(counts),
        **{name: _mean(value_k[averaged_k]) for name, value_k in means.items()},
        "balanced": _mean(recall_k[counts.sum(1) > 0]),
    }


def _mean(value_k: np.ndarray) -> float:
    return float(value_k.mean()) if len(value_k) else 0.0


def metrics_of_many(confusion_rkk: Real[np.ndarray, "r k k"], *, binary: bool) -> dict[str, Float64[np.ndarray, " r"]]:
    """Return `binary_metrics` or `scene_metrics` of many confusions at once, to the last bit, for resamples."""
    counts = np.asarray(confusion_rkk).astype(np.float64)
    n, hit_rk = counts.sum((1, 2)), np.diagonal(counts, axis1=1, axis2=2)
    true_rk, predicted_rk = counts.sum(2), counts.sum(1)
    of_class = divide(hit_rk, predicted_rk), divide(hit_rk, true_rk), divide(2 * hit_rk, true_rk + predicted_rk)
    present_rk, seen_rk = true_rk > 0, true_rk + predicted_rk > 0
    precision, recall, f1 = (v[:, 1] if binary else _means(v, seen_rk) for v in of_class)
    chance = (true_rk * predicted_rk).sum(1)
    return {
        "oa": divide(hit_rk.sum(1), n),
        "kappa": divide(n * hit_rk.sum(1) - chance, n * n - chance),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "balanced": _means(of_class[1], present_rk),
    }


def _means(value_rk: np.ndarray, averaged_rk: np.ndarray) -> np.ndarray:
    """Return the mean of each row over some of the classes; zeros in place of the others would change its rounding."""
    mean_r = np.zeros(len(value_rk))
    patterns, pattern_r = np.unique(averaged_rk, axis=0, return_inverse=True)
    for pattern, averaged_k in enumerate(patterns):
        if averaged_k.any():
            rows = pattern_r.ravel() == pattern
            mean_r[rows] = np.compress(averaged_k, value_rk[rows], axis=1).mean(1)
    return mean_r


def divide(
    numerator: Real[np.ndarray, "*n"], denominator: Real[np.ndarray, "*n"], undefined: float = 0.0
) -> Float64[np.ndarray, "*n"]:
    """Return the ratio, elementwise in float64; `undefined` where the denominator is not above zero."""
    ratio: np.ndarray = np.full(np.shape(numerator), undefined)
    np.divide(numerator, denominator, out=ratio, where=np.asarray(denominator) > 0)
    return ratio


def _square(confusion: ArrayLike) -> np.ndarray:
    """Return the confusion as a checked (k, k) int64 array."""
    counts = np.asarray(confusion)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.shape[0] == 0:
        raise ValueError(f"a confusion matrix is square with rows = truth, got shape {counts.shape}")
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise ValueError("a confusion matrix holds non-negative integer counts")
    return counts.astype(np.int64)


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 0.0
