"""Exact threshold search: the cut on a distance that best separates changed pairs from unchanged ones.

**A pair is predicted changed if and only if its distance >= threshold.** Every distinct distance is a candidate, and so
is "none" (threshold infinity: no pair is predicted changed). Pairs of equal distance always get the same prediction,
and 0.0 equals -0.0. Counts are exact integers. Values that differ by less than 1e-12 count as equal, and among equals
the largest threshold wins, so that the answer does not depend on how a machine rounds.

An objective that is undefined (kappa where chance agreement is 1, F1 without a changed pair) is 0.0. Balanced accuracy
is the mean over the classes that occur.

Pairs are sorted where that is fastest: by NumPy on the host, or on the accelerator that holds the distances. Both sort
unsigned integers that have the order of the floats they encode. The search itself is `best_cut`, one jitted pass over
sorted counts, which the bootstrap maps over many weightings of one order.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, NoReturn, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64, Integer, Real, Shaped, UInt, UInt32

from mtsccd_jax.ops.calls import bucket, check_known, device_bucket, finite_floats, flags, own_settings, spans_processes
from mtsccd_jax.ops.metrics import binary_metrics

_Counts = Int64[np.ndarray, " t"]

OBJECTIVES = ("kappa", "oa", "f1", "balanced")
EQUAL_VALUES = 1e-12  # values closer than this count as equal


@dataclass(frozen=True)
class ThresholdResult:
    """A chosen threshold and its predictions on the pairs that it was chosen on.

    Attributes:
        threshold: a pair is predicted changed iff distance >= threshold; at infinity none is.
        value: the objective at this threshold.
        confusion: (tn, fp, fn, tp), the positive class being "changed".
        degenerate: only one class occurs, so that the threshold separates no classes.
    """

    threshold: float
    value: float
    confusion: tuple[int, int, int, int]
    degenerate: bool


class Cut(NamedTuple):
    """The best cut of an order: every pair up to and including `position` is predicted changed (-1: none is)."""

    position: Integer[Array, "..."]
    tp: Integer[Array, "..."]
    fp: Integer[Array, "..."]
    value: Float[Array, "..."]


def threshold_curve(
    distance_n: Real[ArrayLike, " n"], changed_n: Shaped[ArrayLike, " n"]
) -> tuple[Float[np.ndarray, " t"], _Counts, _Counts, _Counts, _Counts]:
    """Return `(threshold, tn, fp, fn, tp)` of every candidate, by descending threshold; the first is "none", infinity.

    The thresholds keep the distances' floating type.

    Raises:
        ValueError: empty input, unequal lengths, NaN or infinite distances, labels other than 0 and 1.
    """
    threshold, tp, fp = _cumulative_counts(*check_pairs(distance_n, changed_n))
    threshold = np.concatenate([np.array([np.inf], threshold.dtype), threshold])
    tp, fp = (np.concatenate([[0], counts]).astype(np.int64) for counts in (tp, fp))
    return threshold, fp[-1] - fp, fp, tp[-1] - tp, tp


@own_settings()
def best_threshold(
    distance_n: Real[ArrayLike, " n"], changed_n: Shaped[ArrayLike, " n"], objective: str = "kappa"
) -> ThresholdResult:
    """Return the candidate threshold of the highest objective, `kappa`, `oa`, `f1` or `balanced`; exact, O(n log n).

    Where only one class occurs, the result follows the conventions of this module and is marked `degenerate`.

    Raises:
        ValueError: as `threshold_curve`, an unknown objective, and more pairs on an accelerator than int32 counts.
    """
    check_objective(objective)
    if stays_on_device(distance_n):
        return _best_on_device(distance_n, changed_n, objective)
    threshold, tp, fp = _cumulative_counts(*check_pairs(distance_n, changed_n))
    positives, negatives = int(tp[-1]), int(fp[-1])
    # Few distinct lengths, so that few programs are compiled; the padding repeats the last counts and is not allowed.
    padding = bucket(len(tp)) - len(tp)
    allowed = np.arange(len(tp) + padding) < len(tp)
    with jax.enable_x64(True):
        cut = best_cut(np.pad(tp, (0, padding), "edge"), np.pad(fp, (0, padding), "edge"), allowed, objective)
    index = int(cut.position)
    chosen = float(threshold[index]) if index >= 0 else float("inf")
    return threshold_result(chosen, int(cut.tp), int(cut.fp), positives, negatives, objective)


@partial(jax.jit, static_argnames="objective")
def best_cut(
    tp_n: Integer[Array, " n"], fp_n: Integer[Array, " n"], allowed_n: Bool[Array, " n"], objective: str
) -> Cut:
    """Return the best of the cuts after each position of a descending order, or "none"; the earliest among equals.

    Pure, so that it can be `vmap`ped over weightings of one order. Call it under `jax.enable_x64(True)`: the products
    of two counts need float64.

    Args:
        tp_n: changed pairs up to and including each position; the last is the number of changed pairs.
        fp_n: unchanged pairs likewise.
        allowed_n: False inside a run of equal distances, where no threshold can cut, and in padding.
        objective: one of `OBJECTIVES`.
    """
    tp, fp = tp_n.astype(jnp.float64), fp_n.astype(jnp.float64)
    value_n = jnp.where(allowed_n, objective_value(tp, fp, tp[-1], fp[-1], objective), -jnp.inf)
    none = objective_value(jnp.zeros_like(tp[0]), jnp.zeros_like(fp[0]), tp[-1], fp[-1], objective)
    best = jnp.maximum(value_n.max(), none)
    take_none = none >= best - EQUAL_VALUES
    # A plain minimum is vectorised; the pairs that an argmax carries are not.
    place_n = jnp.arange(len(tp_n), dtype=jnp.int32 if len(tp_n) < 2**31 else jnp.int64)
    first = jnp.min(jnp.where(value_n >= best - EQUAL_VALUES, place_n, len(tp_n) - 1))
    return Cut(
        position=jnp.where(take_none, -1, first),
        tp=jnp.where(take_none, 0, tp_n[first]),
        fp=jnp.where(take_none, 0, fp_n[first]),
        value=jnp.where(take_none, none, value_n[first]),
    )


def objective_value(
    tp: Float64[Array, "..."],
    fp: Float64[Array, "..."],
    positives: Float64[Array, ""],
    negatives: Float64[Array, ""],
    objective: str,
) -> Float64[Array, "..."]:
    """Return the objective from counts; every product is exact up to 9e7 pairs and correctly rounded beyond.

    The objective never falls with tp and never rises with fp.
    """
    total = positives + negatives
    if objective == "oa":
        return (tp + negatives - fp) / total
    if objective == "f1":
        return _divide(2 * tp, tp + fp + positives)
    if objective == "balanced":
        present = (positives > 0).astype(tp.dtype) + (negatives > 0).astype(tp.dtype)
        return (_divide(tp, positives) + _divide(negatives - fp, negatives)) / present
    # kappa = 2 (tp tn - fp fn) / ((tp + fp)(fp + tn) + (tp + fn)(fn + tn)), with tn and fn written out.
    predicted = tp + fp
    return _divide(2 * (tp * negatives - fp * positives), predicted * negatives + positives * (total - predicted))


def _divide(numerator: Array, denominator: Array) -> Array:
    return jnp.where(denominator > 0, numerator / jnp.where(denominator > 0, denominator, 1), 0.0)


def _cumulative_counts(distance_n: np.ndarray, changed_n: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `(threshold, tp, fp)` at every distinct distance, descending."""
    value_n, changed_n = sort_descending(distance_n, changed_n)
    end = np.flatnonzero(ends_of_ties(value_n))
    count: type[np.integer] = np.int32 if len(value_n) < 2**31 else np.int64
    tp: np.ndarray = np.cumsum(changed_n, dtype=count)[end]
    return value_n[end], tp, (end + 1).astype(count) - tp


def sort_descending(
    distance_n: Float[np.ndarray, " n"], changed_n: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], UInt[np.ndarray, " n"]]:
    """Return the distances in descending order and the class of each, 0 or 1 (in any order within ties).

    The bits of a non-negative float sort like an unsigned integer, and its sign bit makes room for the class: one sort
    of plain integers carries both. Negative values are sorted apart; their bits sort by magnitude.
    """
    bits = (distance_n + distance_n.dtype.type(0)).view(f"u{distance_n.dtype.itemsize}")  # -0.0 + 0 is 0.0
    key = bits << 1 | changed_n
    negative = distance_n < 0
    falling = np.sort(key[negative]) if negative.any() else key[:0]
    key = np.concatenate([np.sort(key[~negative] if len(falling) else key)[::-1], falling])
    value = (key >> 1).view(distance_n.dtype)
    value[len(value) - len(falling) :] *= -1
    return value, key & 1


def ends_of_ties(value_n: Real[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Mark the last of every run of equal values of a sorted vector: a threshold can cut only there."""
    return np.append(value_n[1:] != value_n[:-1], True)


def check_objective(objective: str) -> None:
    """Raise ValueError, with the nearest name, unless the objective is one of `OBJECTIVES`."""
    check_known("objective", objective, OBJECTIVES)


def check_pairs(
    distance_n: Real[ArrayLike, " n"], changed_n: Shaped[ArrayLike, " n"]
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the distances as a finite float32 or float64 vector and the labels as bool, both on the host."""
    distance, changed = np.asarray(distance_n), np.asarray(changed_n)
    check_shapes(distance.shape, changed.shape)
    changed = flags("changed_n", changed, "labels are 0 (unchanged) and 1 (changed)")
    return finite_floats("distance_n", distance, "distances"), changed


def refuse(distance_n: Float[Array, " n"], changed_n: Shaped[Array, " n"]) -> NoReturn:
    """Raise ValueError for pairs that a device has not accepted; the host names the first wrong value if it can."""
    if not spans_processes(distance_n):
        check_pairs(distance_n, changed_n)
    raise ValueError("distance_n or changed_n hold wrong values: distances must be finite, labels 0 and 1")


def check_shapes(distance: tuple[int, ...], changed: tuple[int, ...]) -> None:
    """Raise ValueError unless these are the shapes of two vectors of one length, not empty."""
    if len(distance) != 1 or len(changed) != 1 or distance != changed:
        raise ValueError(f"distance_n and changed_n must be vectors of one length, got shapes {distance} and {changed}")
    if distance[0] == 0:
        raise ValueError("distance_n is empty: a threshold needs at least one pair")


def threshold_result(
    threshold: float, tp: int, fp: int, positives: int, negatives: int, objective: str
) -> ThresholdResult:
    """Return the result of predicting tp of the changed and fp of the unchanged pairs changed."""
    confusion = (negatives - fp, fp, positives - tp, tp)
    return ThresholdResult(threshold, binary_metrics(confusion)[objective], confusion, positives == 0 or negatives == 0)


def stays_on_device(distance_n: Shaped[ArrayLike, "..."]) -> TypeGuard[Float[Array, "..."]]:
    """Return whether the distances lie where NumPy is slow or cannot read, and float32, the keys' type, holds them.

    That is on an accelerator, or on devices of several processes.
    """
    if not isinstance(distance_n, Array):
        return False
    fits = jnp.issubdtype(distance_n.dtype, jnp.floating) and distance_n.dtype.itemsize <= 4
    return fits and (_on_accelerator(distance_n) or spans_processes(distance_n))


def beside(changed_n: Shaped[ArrayLike, " n"], distance_n: Float[Array, " n"]) -> Shaped[Array, " n"]:
    """Return the labels where they can be used together with distances on devices; those of the host are in all."""
    if isinstance(changed_n, Array) or not spans_processes(distance_n):
        return jnp.asarray(changed_n)
    return jax.make_array_from_callback(distance_n.shape, distance_n.sharding, np.asarray(changed_n).__getitem__)


def _on_accelerator(array: Array) -> bool:
    return any(device.platform != "cpu" for device in array.devices())


def check_countable(pairs: int, instead: str) -> None:
    """Raise ValueError, with what to do instead, where a device's int32 cannot count that many pairs at once."""
    if device_bucket(pairs) >= 2**31:
        raise ValueError(f"distance_n holds {pairs:,} pairs, more than an accelerator counts at once: {instead}")


def _best_on_device(distance_n: Array, changed_n: ArrayLike, objective: str) -> ThresholdResult:
    """Search distances on an accelerator: only a few numbers travel to the host."""
    check_shapes(distance_n.shape, np.shape(changed_n))
    changed_n = beside(changed_n, distance_n)
    check_countable(len(distance_n), "add them to a ThresholdHistogram in parts")
    padding = (0, device_bucket(len(distance_n)) - len(distance_n))
    kind_n = kinds(changed_n)
    distance_n = jnp.pad(distance_n.astype(jnp.float32), padding)
    with jax.enable_x64(True):
        cut, bits, accepted = jax.device_get(search_on_device(distance_n, jnp.pad(kind_n, padding), objective))
    if not accepted:
        refuse(distance_n[: len(kind_n)], changed_n)
    positives, negatives = int((kind_n == 2).sum()), int((kind_n == 1).sum())
    threshold = float(np.uint32(bits).view(np.float32)) if cut.position >= 0 else float("inf")
    return threshold_result(threshold, int(cut.tp), int(cut.fp), positives, negatives, objective)


@partial(jax.jit, static_argnames="objective")
def search_on_device(
    distance_n: Float32[Array, " n"], kind_n: Int32[Array, " n"], objective: str
) -> tuple[Cut, UInt32[Array, ""], Bool[Array, ""]]:
    """Return `(cut, float32 bits of the threshold, input accepted)`, by a sort of uint32 keys on the device.

    Integer keys get the radix sort of GPUs, float keys do not. Where no distance is negative, as no distance should be,
    the sign bit holds the class and the keys are sorted alone, which moves half as much. Call it under
    `jax.enable_x64(True)`.
    """
    padded = kind_n == 0
    key_n = descending_key(distance_n)
    accepted = are_accepted(distance_n, kind_n)
    changed_n = (kind_n == 2).astype(jnp.uint32)
    last = jnp.uint32(0xFFFFFFFF)

    def alone(key: Array, changed: Array) -> tuple[Array, Array]:
        both = lax.sort(jnp.where(padded, last, key << 1 | changed), is_stable=False)
        return both >> 1, both & 1

    def with_class(key: Array, changed: Array) -> tuple[Array, Array]:
        key, changed = lax.sort((jnp.where(padded, last, key), changed), num_keys=1, is_stable=False)
        return key, changed

    sign = jnp.uint32(1 << 31)
    key, changed = lax.cond(jnp.all(padded | (key_n < sign)), alone, with_class, key_n, changed_n)
    # The padding is sorted to the end, where a distance of zero may look like it; the count tells them apart.
    place_n = jnp.arange(len(key), dtype=jnp.int32)
    count = jnp.sum(~padded, dtype=jnp.int32)
    real = place_n < count
    tp = jnp.cumsum(jnp.where(real, changed, 0), dtype=jnp.int32)
    fp = jnp.minimum(place_n + 1, count) - tp
    end = jnp.append(key[1:] != key[:-1], True) | (place_n == count - 1)
    cut = best_cut(tp, fp, end & real, objective)
    return cut, bits_of_descending_key(key[jnp.maximum(cut.position, 0)]), accepted


def kinds(changed_n: Shaped[Array, " n"]) -> Int32[Array, " n"]:
    """Return the kind of each pair on a device: 1 unchanged, 2 changed, 3 neither; 0 is left for padding."""
    return jnp.where(changed_n == 1, 2, jnp.where(changed_n == 0, 1, 3)).astype(jnp.int32)


def are_accepted(distance_n: Float32[Array, " n"], kind_n: Int32[Array, " n"]) -> Bool[Array, ""]:
    """Return whether all distances are finite and all labels 0 or 1, except in padding."""
    exponent = (lax.bitcast_convert_type(distance_n, jnp.uint32) >> 23) & jnp.uint32(0xFF)
    return jnp.all((kind_n == 0) | ((exponent != 0xFF) & (kind_n >= 1) & (kind_n <= 2)))


def descending_key(distance_n: Float32[Array, " n"]) -> UInt32[Array, " n"]:
    """Return numbers that ascend where distances descend; below 2^31 for distances that are not negative."""
    sign = jnp.uint32(1 << 31)
    bits = lax.bitcast_convert_type(distance_n, jnp.uint32)
    bits = jnp.where(bits == sign, jnp.uint32(0), bits)  # -0.0
    return jnp.where(bits >= sign, bits, ~(bits | sign))


def bits_of_descending_key(key: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Return the float32 bits of the distance that `descending_key` gave this number."""
    sign = jnp.uint32(1 << 31)
    return jnp.where(key >= sign, key, ~key & ~sign)
