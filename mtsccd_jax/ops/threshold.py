"""Exact threshold search: the cut on a distance that best tells changed pairs from unchanged ones.

**A pair is called changed iff its distance >= threshold.** Every distinct distance is a candidate, and so is "none"
(threshold infinity: nothing is called changed). Pairs of equal distance are always called alike, and 0.0 equals -0.0.
Counts are exact integers. Values that differ by less than 1e-12 count as equal, and among equals the largest threshold
wins, so that the answer does not depend on how a machine rounds.

An objective that is undefined (kappa where chance agreement is 1, F1 without a changed pair) is 0.0; balanced accuracy
is the mean over the classes that occur.

The order is found where sorting is fastest: by NumPy on the host, or on the accelerator that holds the distances, both
over unsigned integers that sort like the floats they encode. What follows is `best_cut`, one jitted pass over sorted
counts, which the bootstrap maps over many weightings of one order.
"""

import difflib
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from mtsccd_jax.ops.metrics import binary_metrics

OBJECTIVES = ("kappa", "oa", "f1", "balanced")
_EQUAL_VALUES = 1e-12
_SMALLEST_BUCKET = 256


@dataclass(frozen=True)
class ThresholdResult:
    """A chosen threshold and what it does to the pairs that it was chosen on.

    Attributes:
        threshold: a pair is changed iff distance >= threshold; infinity calls none changed.
        value: the objective at this threshold.
        confusion: (tn, fp, fn, tp), the positive class being "changed".
        degenerate: only one class occurs, so that the choice says nothing about change.
    """

    threshold: float
    value: float
    confusion: tuple[int, int, int, int]
    degenerate: bool


class Cut(NamedTuple):
    """The best cut of an order: everything up to and including `position` is called changed (-1: nothing is)."""

    position: jax.Array
    tp: jax.Array
    fp: jax.Array
    value: jax.Array


def threshold_curve(
    distance_n: ArrayLike, changed_n: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`(threshold, tn, fp, fn, tp)` of every candidate, by descending threshold; the first is infinity, "none".

    The thresholds keep the distances' floating type, the counts are int64.

    Raises:
        ValueError: empty input, unequal lengths, NaN or infinite distances, labels other than 0 and 1.
    """
    threshold, tp, fp = _cumulative_counts(*check_pairs(distance_n, changed_n))
    threshold = np.concatenate([np.array([np.inf], threshold.dtype), threshold])
    tp, fp = (np.concatenate([[0], counts]).astype(np.int64) for counts in (tp, fp))
    return threshold, fp[-1] - fp, fp, tp[-1] - tp, tp


def best_threshold(distance_n: ArrayLike, changed_n: ArrayLike, objective: str = "kappa") -> ThresholdResult:
    """The candidate threshold of the highest objective, `kappa`, `oa`, `f1` or `balanced`; exact, in O(n log n).

    With one class only the result is what the conventions of this module give, marked `degenerate`.

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
def best_cut(tp_n: jax.Array, fp_n: jax.Array, allowed_n: jax.Array, objective: str) -> Cut:
    """The best of the cuts after each position of a descending order, or "none"; the earliest among equals.

    Pure, so that it can be `vmap`ped over weightings of one order. Call it under `jax.enable_x64(True)`: the products
    of two counts need float64.

    Args:
        tp_n: changed pairs up to and including each position, integers; the last is the number of changed pairs.
        fp_n: unchanged pairs likewise.
        allowed_n: False inside a run of equal distances, where no threshold can cut, and in padding.
        objective: one of `OBJECTIVES`.
    """
    tp, fp = tp_n.astype(jnp.float64), fp_n.astype(jnp.float64)
    value_n = jnp.where(allowed_n, objective_value(tp, fp, tp[-1], fp[-1], objective), -jnp.inf)
    none = objective_value(jnp.zeros_like(tp[0]), jnp.zeros_like(fp[0]), tp[-1], fp[-1], objective)
    best = jnp.maximum(value_n.max(), none)
    take_none = none >= best - _EQUAL_VALUES
    # A plain minimum is vectorised, the pairs that an argmax carries are not.
    place_n = jnp.arange(len(tp_n), dtype=jnp.int32 if len(tp_n) < 2**31 else jnp.int64)
    first = jnp.min(jnp.where(value_n >= best - _EQUAL_VALUES, place_n, len(tp_n) - 1))
    return Cut(
        position=jnp.where(take_none, -1, first),
        tp=jnp.where(take_none, 0, tp_n[first]),
        fp=jnp.where(take_none, 0, fp_n[first]),
        value=jnp.where(take_none, none, value_n[first]),
    )


def objective_value(
    tp: jax.Array, fp: jax.Array, positives: jax.Array, negatives: jax.Array, objective: str
) -> jax.Array:
    """The objective from float64 counts; every product is exact up to 9e7 pairs and correctly rounded beyond.

    It never falls with tp and never rises with fp.
    """
    total = positives + negatives
    if objective == "oa":
        return (tp + negatives - fp) / total
    if objective == "f1":
        return _divide(2 * tp, tp + fp + positives)
    if objective == "balanced":
        present = (positives > 0).astype(tp.dtype) + (negatives > 0)
        return (_divide(tp, positives) + _divide(negatives - fp, negatives)) / present
    # kappa = 2 (tp tn - fp fn) / ((tp + fp)(fp + tn) + (tp + fn)(fn + tn)), with tn and fn written out.
    called = tp + fp
    return _divide(2 * (tp * negatives - fp * positives), called * negatives + positives * (total - called))


def _divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    return jnp.where(denominator > 0, numerator / jnp.where(denominator > 0, denominator, 1), 0.0)


def _cumulative_counts(distance_n: np.ndarray, changed_n: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`(threshold, tp, fp)` at every distinct distance, descending."""
    value_n, changed_n = sort_descending(distance_n, changed_n)
    end = np.flatnonzero(ends_of_ties(value_n))
    count: type[np.integer] = np.int32 if len(value_n) < 2**31 else np.int64
    tp: np.ndarray = np.cumsum(changed_n, dtype=count)[end]
    return value_n[end], tp, (end + 1).astype(count) - tp


def sort_descending(distance_n: np.ndarray, changed_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distances in descending order and the class of each, 0 or 1 (any order within ties).

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


def ends_of_ties(value_n: np.ndarray) -> np.ndarray:
    """True at the last of every run of equal values of a sorted vector: where a threshold can cut."""
    return np.append(value_n[1:] != value_n[:-1], True)


def check_objective(objective: str) -> None:
    """Raises ValueError, with the nearest name, unless the objective is one of `OBJECTIVES`."""
    if objective not in OBJECTIVES:
        close = difflib.get_close_matches(str(objective), OBJECTIVES, n=1, cutoff=0.4)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"unknown objective {objective!r}, known are {', '.join(OBJECTIVES)}.{hint}")


def check_pairs(distance_n: ArrayLike, changed_n: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The distances as a finite float32 or float64 vector and the labels as bool, both on the host.

    Raises:
        ValueError: empty input, unequal lengths, NaN or infinite distances, labels other than 0 and 1.
    """
    distance, changed = np.asarray(distance_n), np.asarray(changed_n)
    check_shapes(distance.shape, changed.shape)
    if not (np.issubdtype(distance.dtype, np.number) or jnp.issubdtype(distance.dtype, np.floating)) or np.iscomplexobj(
        distance
    ):
        raise ValueError(f"distance_n must hold real numbers, got {distance.dtype}")
    if distance.dtype not in (np.float32, np.float64):
        distance = distance.astype(np.float32 if distance.dtype.itemsize <= 2 else np.float64)
    finite = np.isfinite(distance)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"distance_n[{row}] is {distance[row]}: distances must be finite")
    if changed.dtype != bool:
        odd = (changed != 0) & (changed != 1)
        if odd.any():
            row = int(np.argmax(odd))
            raise ValueError(f"changed_n[{row}] is {changed[row]}: labels are 0 (unchanged) and 1 (changed)")
    return distance, changed.astype(bool)


def check_shapes(distance: tuple[int, ...], changed: tuple[int, ...]) -> None:
    """Raises ValueError unless both are vectors of one length, and not empty."""
    if len(distance) != 1 or len(changed) != 1 or distance != changed:
        raise ValueError(f"distance_n and changed_n must be vectors of one length, got shapes {distance} and {changed}")
    if distance[0] == 0:
        raise ValueError("distance_n is empty: a threshold needs at least one pair")


def bucket(n: int) -> int:
    """The power of two, at least 256, that `n` fits in."""
    return max(_SMALLEST_BUCKET, 1 << (n - 1).bit_length())


def threshold_result(
    threshold: float, tp: int, fp: int, positives: int, negatives: int, objective: str
) -> ThresholdResult:
    """The result of calling tp of the changed and fp of the unchanged pairs changed."""
    confusion = (negatives - fp, fp, positives - tp, tp)
    return ThresholdResult(threshold, binary_metrics(confusion)[objective], confusion, positives == 0 or negatives == 0)


def stays_on_device(distance_n: ArrayLike) -> TypeGuard[jax.Array]:
    """Whether these distances lie on an accelerator and are floats that float32, which keys are made of, holds."""
    if not isinstance(distance_n, jax.Array):
        return False
    fits = jnp.issubdtype(distance_n.dtype, jnp.floating) and distance_n.dtype.itemsize <= 4
    return fits and _on_accelerator(distance_n)


def _on_accelerator(array: jax.Array) -> bool:
    return any(device.platform != "cpu" for device in array.devices())


def check_countable(pairs: int, instead: str) -> None:
    """Raises ValueError, with what to do instead, where a device's int32 cannot count that many pairs at once."""
    if device_bucket(pairs) >= 2**31:
        raise ValueError(f"distance_n holds {pairs:,} pairs, more than an accelerator counts at once: {instead}")


def _best_on_device(distance_n: jax.Array, changed_n: ArrayLike, objective: str) -> ThresholdResult:
    """`best_threshold` for distances that live on an accelerator: only a handful of numbers travels to the host."""
    changed_n = jnp.asarray(changed_n)
    check_shapes(distance_n.shape, changed_n.shape)
    check_countable(len(distance_n), "add them to a ThresholdHistogram in parts")
    padding = (0, device_bucket(len(distance_n)) - len(distance_n))
    kind_n = jnp.where(changed_n == 1, 2, jnp.where(changed_n == 0, 1, 3)).astype(jnp.int32)
    distance_n = jnp.pad(distance_n.astype(jnp.float32), padding)
    with jax.enable_x64(True):
        cut, bits, accepted = jax.device_get(search_on_device(distance_n, jnp.pad(kind_n, padding), objective))
    if not accepted:
        check_pairs(distance_n[: len(kind_n)], changed_n)  # the host finds the first offender and names it
    positives, negatives = int((kind_n == 2).sum()), int((kind_n == 1).sum())
    threshold = float(np.uint32(bits).view(np.float32)) if cut.position >= 0 else float("inf")
    return threshold_result(threshold, int(cut.tp), int(cut.fp), positives, negatives, objective)


def device_bucket(n: int) -> int:
    """A length that few lengths share, and at most an eighth longer: what is sorted in vain costs time."""
    step = max(_SMALLEST_BUCKET, bucket(n) // 16)
    return -(-n // step) * step


@partial(jax.jit, static_argnames="objective")
def search_on_device(distance_n: jax.Array, kind_n: jax.Array, objective: str) -> tuple[Cut, jax.Array, jax.Array]:
    """`(cut, float32 bits of the threshold, input accepted)` by a sort of uint32 keys on the device.

    Integer keys hit the radix sort of GPUs, float keys do not. Where no distance is negative, as no distance should be,
    the sign's place holds the class and the keys are sorted alone, which moves half as much. Call it under
    `jax.enable_x64(True)`.

    Args:
        distance_n: float32.
        kind_n: int32: 0 padding, 1 unchanged, 2 changed, anything else is refused.
        objective: one of `OBJECTIVES`.
    """
    padded = kind_n == 0
    key_n = descending_key(distance_n)
    exponent = (lax.bitcast_convert_type(distance_n, jnp.uint32) >> 23) & jnp.uint32(0xFF)
    accepted = jnp.all(padded | ((exponent != 0xFF) & (kind_n >= 1) & (kind_n <= 2)))
    changed_n = (kind_n == 2).astype(jnp.uint32)
    last = jnp.uint32(0xFFFFFFFF)

    def alone(key: jax.Array, changed: jax.Array) -> tuple[jax.Array, jax.Array]:
        both = lax.sort(jnp.where(padded, last, key << 1 | changed), is_stable=False)
        return both >> 1, both & 1

    def with_class(key: jax.Array, changed: jax.Array) -> tuple[jax.Array, jax.Array]:
        key, changed = lax.sort((jnp.where(padded, last, key), changed), num_keys=1, is_stable=False)
        return key, changed

    sign = jnp.uint32(1 << 31)
    key, changed = lax.cond(jnp.all(padded | (key_n < sign)), alone, with_class, key_n, changed_n)
    # The padding is sorted to the end, where a distance of zero may look like it: its number tells it apart.
    place_n = jnp.arange(len(key), dtype=jnp.int32)
    count = jnp.sum(~padded, dtype=jnp.int32)
    real = place_n < count
    tp = jnp.cumsum(jnp.where(real, changed, 0), dtype=jnp.int32)
    fp = jnp.minimum(place_n + 1, count) - tp
    end = jnp.append(key[1:] != key[:-1], True) | (place_n == count - 1)
    cut = best_cut(tp, fp, end & real, objective)
    return cut, bits_of_descending_key(key[jnp.maximum(cut.position, 0)]), accepted


def descending_key(distance_n: jax.Array) -> jax.Array:
    """uint32 numbers that ascend where float32 distances descend; below 2^31 where those are not negative."""
    sign = jnp.uint32(1 << 31)
    bits = lax.bitcast_convert_type(distance_n, jnp.uint32)
    bits = jnp.where(bits == sign, jnp.uint32(0), bits)  # -0.0
    return jnp.where(bits >= sign, bits, ~(bits | sign))


def bits_of_descending_key(key: jax.Array) -> jax.Array:
    """The float32 bits that `descending_key` made the number of."""
    sign = jnp.uint32(1 << 31)
    return jnp.where(key >= sign, key, ~key & ~sign)
