"""Exact threshold search for distances that stream by, or live on many machines: counts that add up, refined.

A first pass counts changed and unchanged pairs in 65,536 cells of distance. Counts of parts of the data add up in any
order. At the cells' ends every objective is known; within a cell it is at most what all its changed and none of its
unchanged pairs would give. So only the few cells that may still hold the best cut are split and counted again, in
another pass over the data, until that cut is found: with float32 two passes as a rule. The result is what
`threshold.best_threshold` says of all the distances at once, ties included.

    histogram = ThresholdHistogram()
    while True:
        for distance_n, changed_n in batches():
            histogram.add(distance_n, changed_n)
        if histogram.is_settled("kappa"):
            break
        histogram = histogram.refined("kappa")
    result = histogram.result("kappa")

Cells are numbered from the largest distance down, by the distance's bits: a cell is all floats that share their leading
ones. Memory goes with the cells, at most 64 MiB of counts, and not with the pairs.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike, DTypeLike

from mtsccd_jax.ops.threshold import (
    ThresholdResult,
    best_cut,
    bucket,
    check_countable,
    check_objective,
    check_pairs,
    check_shapes,
    descending_key,
    device_bucket,
    objective_value,
    stays_on_device,
    threshold_result,
)

_FIRST_BITS = 16  # of a distance, which tell its cell in the first pass
_MOST_CELLS = 1 << 22  # counted in one pass
_MOST_SPLIT = _MOST_CELLS >> 4
_AT_ONCE = 1 << 20  # distances on the host, so that what is made of them stays in a cache

# Values closer than this may be one value, rounded differently; `threshold` takes those within 1e-12 for equal.
_ROUNDING = 1e-14
_EQUAL_VALUES = 1e-12


@dataclass(frozen=True, eq=False)
class _Cells:
    """Which distances are counted apart: groups of cells, each a run of keys cut into equal parts, and known cells.

    Keys ascend where distances descend. A group of width w holds the keys from its first to first + 2^w - 1, cut into
    at most 2^bits cells of 2^shift keys.

    Attributes:
        key_type: uint32 for float32 distances, uint64 for float64.
        bits: a group has 2^bits places for cells.
        first_g: the first key of each group, ascending.
        width_g: of each group.
        known_first_c: the first key of each cell that is not split any further.
        known_width_c: of each such cell.
        known_count_ck: unchanged and changed pairs in them.
    """

    key_type: np.dtype[Any]
    bits: int
    first_g: np.ndarray
    width_g: np.ndarray
    known_first_c: np.ndarray
    known_width_c: np.ndarray
    known_count_ck: np.ndarray

    @property
    def shift_g(self) -> np.ndarray:
        return np.maximum(self.width_g - self.bits, 0)

    @property
    def last_g(self) -> np.ndarray:
        """The last key of each group, less the first."""
        all_ones = np.iinfo(self.key_type).max
        return all_ones >> (8 * self.key_type.itemsize - self.width_g).astype(self.key_type)

    def same(self, other: "_Cells") -> bool:
        return (
            self.key_type == other.key_type
            and self.bits == other.bits
            and all(
                np.array_equal(mine, its)
                for mine, its in (
                    (self.first_g, other.first_g),
                    (self.width_g, other.width_g),
                    (self.known_first_c, other.known_first_c),
                    (self.known_width_c, other.known_width_c),
                    (self.known_count_ck, other.known_count_ck),
                )
            )
        )


class _View(NamedTuple):
    """All cells that hold pairs, by descending distance, and what is known of the best cut."""

    first_c: np.ndarray
    width_c: np.ndarray
    count_ck: np.ndarray
    bound_c: np.ndarray  # no cut within the cell has a higher value
    open_c: np.ndarray  # must be split before the best cut is certain
    best: Any  # the best of the cuts at the cells' ends


class ThresholdHistogram:
    """Counts of pairs by distance, from which the exact best threshold follows.

    Args:
        dtype: float32 or float64, what the distances are compared as.
    """

    def __init__(self, dtype: DTypeLike = np.float32):
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
        key_type = np.dtype(f"u{np.dtype(dtype).itemsize}")
        nothing = np.zeros(0, np.int64)
        whole = np.zeros(1, key_type), np.array([8 * key_type.itemsize])
        self._begin(
            _Cells(key_type, _FIRST_BITS, *whole, nothing.astype(key_type), nothing, np.zeros((0, 2), np.int64))
        )

    def _begin(self, cells: _Cells) -> None:
        self._cells = cells
        self._count_ck = np.zeros((len(cells.first_g) << cells.bits, 2), np.int64)

    def add(self, distance_n: ArrayLike, changed_n: ArrayLike) -> None:
        """Counts these pairs in; on the accelerators that hold the distances, or on the host.

        Raises:
            ValueError: empty input, unequal lengths, NaN or infinite distances, labels other than 0 and 1, float64
                distances where float32 are counted, or more of them on accelerators than int32 counts.
        """
        if stays_on_device(distance_n) and self._cells.key_type == np.uint32:
            self._add_on_device(distance_n, changed_n)
            return
        distance, changed = check_pairs(distance_n, changed_n)
        if distance.dtype.itemsize > self._cells.key_type.itemsize:
            raise ValueError(
                f"distance_n holds {np.asarray(distance_n).dtype}, this histogram counts float32: "
                "make it with dtype=float64"
            )
        distance = distance.astype(f"f{self._cells.key_type.itemsize}", copy=False)
        flat = self._count_ck.reshape(-1)
        for start in range(0, len(distance), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            cell, inside = self._cell_of(_key_of(distance[some]))
            place = 2 * cell + changed[some][inside]
            if len(flat) <= len(place):
                flat += np.bincount(place, minlength=len(flat))
            else:
                np.add.at(flat, place, 1)

    def _cell_of(self, key_n: np.ndarray) -> tuple[np.ndarray, np.ndarray | slice]:
        """The cells of the keys that are counted, and which those are."""
        cells = self._cells
        if cells.width_g[0] == 8 * cells.key_type.itemsize:
            return (key_n >> cells.shift_g[0].astype(cells.key_type)).astype(np.int64), slice(None)
        # Few distances lie in a cell that is split: most are told by their leading bits alone.
        drop = 8 * cells.key_type.itemsize - _FIRST_BITS
        touched = np.zeros((1 << _FIRST_BITS) + 1, np.int64)
        np.add.at(touched, (cells.first_g >> drop).astype(np.int64), 1)
        np.add.at(touched, ((cells.first_g + cells.last_g) >> drop).astype(np.int64) + 1, -1)
        near = np.flatnonzero((np.cumsum(touched) > 0)[(key_n >> drop).astype(np.int64)])
        key = key_n[near]
        group = np.searchsorted(cells.first_g, key, side="right") - 1
        held = group >= 0
        near, key, group = near[held], key[held], group[held]
        offset = key - cells.first_g[group]
        held = offset <= cells.last_g[group]
        near, group, offset = near[held], group[held], offset[held]
        part = (offset >> cells.shift_g[group].astype(cells.key_type)).astype(np.int64)
        return (group << cells.bits) + part, near

    def _add_on_device(self, distance_n: jax.Array, changed_n: ArrayLike) -> None:
        changed_n = jnp.asarray(changed_n)
        check_shapes(distance_n.shape, changed_n.shape)
        check_countable(len(distance_n), "add them in parts")
        cells = self._cells
        groups = (1 << (len(cells.first_g) - 1).bit_length()) - len(cells.first_g)
        # Few numbers of groups share a program; those that fill up begin where no finite distance lies.
        last_g = np.pad(cells.last_g, (0, groups))
        first_g = np.pad(cells.first_g, (0, groups), constant_values=np.iinfo(cells.key_type).max)
        shift_g = np.pad(cells.shift_g.astype(cells.key_type), (0, groups))
        kind_n = jnp.where(changed_n == 1, 2, jnp.where(changed_n == 0, 1, 3)).astype(jnp.int32)
        value_n, sharding = distance_n.astype(jnp.float32), distance_n.sharding
        if isinstance(sharding, NamedSharding) and len(sharding.spec) and sharding.spec[0] is not None:
            count_on_them = _counted(cells.bits, sharding.mesh, sharding.spec[0])
            kind_n = jax.device_put(kind_n, sharding)
        else:
            count_on_them = _counted(cells.bits, None, None)
            padding = (0, device_bucket(len(distance_n)) - len(distance_n))
            value_n, kind_n = jnp.pad(value_n, padding), jnp.pad(kind_n, padding)
        count, accepted = count_on_them(value_n, kind_n, first_g, last_g, shift_g)
        if not accepted:
            check_pairs(distance_n, changed_n)  # the host finds the first offender and names it
        self._count_ck += np.asarray(count, np.int64)[: len(self._count_ck)]

    def merge(self, other: "ThresholdHistogram") -> "ThresholdHistogram":
        """The histogram of both's pairs together: commutative and associative.

        Raises:
            ValueError: the two count in different cells.
        """
        if not self._cells.same(other._cells):
            raise ValueError("the histograms count in different cells: merge before refining, and refine alike")
        result = self._like(self._cells)
        result._count_ck = self._count_ck + other._count_ck
        return result

    def _like(self, cells: _Cells) -> "ThresholdHistogram":
        result = ThresholdHistogram(f"f{cells.key_type.itemsize}")
        result._begin(cells)
        return result

    def empty(self) -> "ThresholdHistogram":
        """One with the same cells and no pairs: for another part of the data, to be merged."""
        return self._like(self._cells)

    def is_settled(self, objective: str = "kappa") -> bool:
        """Whether the best threshold is certain; else count all pairs again in `refined`.

        Raises:
            ValueError: an unknown objective, no pair.
        """
        return not self._view(objective).open_c.any()

    def refined(self, objective: str = "kappa") -> "ThresholdHistogram":
        """An empty histogram in which the cells that may hold the best threshold are split: add all pairs to it again.

        Where they are very many, those of the highest bounds are split, and the others later if they still matter.

        Raises:
            ValueError: an unknown objective, no pair, or the threshold is certain already.
        """
        view = self._view(objective)
        open_c = np.flatnonzero(view.open_c)
        if not len(open_c):
            raise ValueError("the best threshold is certain: there is nothing to refine")
        if len(open_c) > _MOST_SPLIT:
            highest = np.argpartition(-view.bound_c[open_c], _MOST_SPLIT)[:_MOST_SPLIT]
            open_c = np.sort(open_c[highest])
        bits = min(_FIRST_BITS, (_MOST_CELLS // len(open_c)).bit_length() - 1, int(view.width_c[open_c].max()))
        rest = np.ones(len(view.first_c), bool)
        rest[open_c] = False
        known = view.first_c[rest], view.width_c[rest], view.count_ck[rest]
        cells = _Cells(self._cells.key_type, bits, view.first_c[open_c], view.width_c[open_c], *known)
        return self._like(cells)

    def result(self, objective: str = "kappa") -> ThresholdResult:
        """What `threshold.best_threshold` gives for all pairs together.

        Raises:
            ValueError: an unknown objective, no pair, or a threshold that is not certain yet.
        """
        view = self._view(objective)
        if view.open_c.any():
            raise ValueError("the best threshold is not certain yet: count the pairs again in `refined`")
        unchanged, changed = (int(total) for total in view.count_ck.sum(0))
        position = int(view.best.position)
        chosen = float(_distance_of(view.first_c[position])) if position >= 0 else float("inf")
        return threshold_result(chosen, int(view.best.tp), int(view.best.fp), changed, unchanged, objective)

    def _view(self, objective: str) -> _View:
        check_objective(objective)
        cells = self._cells
        held = np.flatnonzero(self._count_ck.any(1))
        group, part = held >> cells.bits, (held & ((1 << cells.bits) - 1)).astype(cells.key_type)
        shift = cells.shift_g[group]
        first = np.concatenate([cells.known_first_c, cells.first_g[group] + (part << shift.astype(cells.key_type))])
        if not len(first):
            raise ValueError("no pair was counted: a threshold needs at least one")
        order = np.argsort(first)
        first_c, width_c = first[order], np.concatenate([cells.known_width_c, shift])[order]
        count_ck = np.concatenate([cells.known_count_ck, self._count_ck[held]])[order]
        fp, tp = np.cumsum(count_ck, 0).T
        padding = (0, bucket(max(len(tp), 1 << _FIRST_BITS)) - len(tp))  # so that one program is enough as a rule
        with jax.enable_x64(True):
            counts = [np.pad(part, padding, "edge") for part in (tp, fp, fp - count_ck[:, 0])]
            best, value_c, bound_c = jax.device_get(_judged(*counts, np.arange(len(counts[0])) < len(tp), objective))
        value_c, bound_c = value_c[: len(tp)], bound_c[: len(tp)]
        place_c, position = np.arange(len(tp)), int(best.position)
        highest = max(float(best.value), float(value_c.max()))
        # A cut inside a cell of one class is worse than one of the cell's ends. Before the best cut known, a cell
        # matters if it can hold an equal; from there on, if it can hold a better one, or is the best or better already.
        mixed_c = count_ck.all(1)
        limit_c = np.where(place_c < position, highest - _EQUAL_VALUES, best.value) - _ROUNDING
        open_c = (mixed_c & (bound_c >= limit_c)) | (place_c == position)
        open_c |= (place_c > position) & (value_c > best.value)
        return _View(first_c, width_c, count_ck, bound_c, open_c & (width_c > 0), best)


@partial(jax.jit, static_argnames="objective")
def _judged(
    tp_c: jax.Array, fp_c: jax.Array, fp_before_c: jax.Array, allowed_c: jax.Array, objective: str
) -> tuple[Any, jax.Array, jax.Array]:
    """`(best cut at a cell's end, value at every end, bound on the values inside every cell)`, in float64."""
    tp, fp, before = (count.astype(jnp.float64) for count in (tp_c, fp_c, fp_before_c))
    value, bound = (objective_value(tp, called, tp[-1], fp[-1], objective) for called in (fp, before))
    return best_cut(tp_c, fp_c, allowed_c, objective), value, bound


def _key_of(distance_n: np.ndarray) -> np.ndarray:
    """Unsigned integers, of the distances' size, that ascend where finite distances descend."""
    key_type = np.dtype(f"u{distance_n.dtype.itemsize}")
    bits = (distance_n + distance_n.dtype.type(0)).view(key_type)  # -0.0 + 0 is 0.0
    sign = key_type.type(1 << (8 * key_type.itemsize - 1))
    return np.where(bits >= sign, bits, ~(bits | sign))


def _distance_of(key: np.unsignedinteger[Any]) -> np.floating[Any]:
    sign = key.dtype.type(1 << (8 * key.dtype.itemsize - 1))
    bits = key if key >= sign else ~key & ~sign
    return bits.view(f"f{key.dtype.itemsize}")


@lru_cache(maxsize=64)
def _counted(bits: int, mesh: Any, axis: Any) -> Any:
    """The jitted `count_cells`, of distances on one device or spread over an axis of a mesh."""
    if mesh is None:
        return jax.jit(partial(count_cells, bits=bits))
    specs = (P(axis), P(axis), P(), P(), P())
    call = partial(count_cells, bits=bits, axis=axis)
    return jax.jit(jax.shard_map(call, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False))


def count_cells(
    distance_n: jax.Array,
    kind_n: jax.Array,
    first_g: jax.Array,
    last_g: jax.Array,
    shift_g: jax.Array,
    *,
    bits: int,
    axis: Any = None,
) -> tuple[jax.Array, jax.Array]:
    """`(unchanged and changed pairs of every cell (g x 2^bits, 2) int32, input accepted)`; pure.

    Places are sorted and their first occurrences looked up: GPUs sort integers fast, while counting by scattered adds
    waits wherever many pairs share a cell.

    Args:
        distance_n: float32.
        kind_n: int32: 0 padding, 1 unchanged, 2 changed, anything else is refused.
        first_g: uint32, ascending: the first key of each group of cells.
        last_g: uint32: its last key, less the first.
        shift_g: uint32: a cell is 2^shift keys.
        bits: a group has 2^bits places for cells.
        axis: a mesh axis that the distances are spread along, to count over all of it.
    """
    key_n = descending_key(distance_n)
    exponent = (lax.bitcast_convert_type(distance_n, jnp.uint32) >> 23) & jnp.uint32(0xFF)
    accepted = jnp.all((kind_n == 0) | ((exponent != 0xFF) & (kind_n >= 1) & (kind_n <= 2)))
    group = jnp.maximum(jnp.searchsorted(first_g, key_n, side="right") - 1, 0)
    offset = key_n - first_g[group]
    inside = (kind_n > 0) & (key_n >= first_g[group]) & (offset <= last_g[group])
    places = len(first_g) << (bits + 1)
    cell = (group.astype(jnp.uint32) << bits) + (offset >> shift_g[group])
    place = jnp.where(inside, (cell << 1) + (kind_n == 2).astype(jnp.uint32), jnp.uint32(places))
    place = lax.sort(place, is_stable=False)
    edge = jnp.searchsorted(place, jnp.arange(places + 1, dtype=jnp.uint32), side="left")
    count = jnp.diff(edge).astype(jnp.int32).reshape(-1, 2)
    if axis is not None:
        count, accepted = lax.psum(count, axis), lax.pmin(accepted.astype(jnp.int32), axis) > 0
    return count, accepted
