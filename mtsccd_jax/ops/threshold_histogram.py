"""Exact threshold search for distances that stream by, or lie on many machines: by counts that add up.

A first pass counts changed and unchanged pairs in 65,536 cells of distance. Counts of parts of the data add up in any
order. At the end of each cell every objective is known; inside a cell it is bounded by the value that all changed and
no unchanged pairs of the cell would give. So only the few cells that may hold the best cut are split and counted again,
in another pass over the data, until that cut is found: as a rule in the second pass. The result is that of
`threshold.best_threshold` on all the distances at once, ties included.

    histogram = ThresholdHistogram()
    while True:
        for distance_n, changed_n in batches():
            histogram.add(distance_n, changed_n)
        if histogram.is_settled("kappa"):
            break
        histogram = histogram.refined("kappa")
    result = histogram.result("kappa")

Cells are numbered from the largest distance down, by the float32 bits of the distance: a cell holds all distances that
share their leading bits. Memory grows with the cells, to at most 64 MiB of counts, and not with the pairs.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike
from jaxtyping import Bool, Float32, Int32, Real, Shaped, UInt32

from mtsccd_jax.ops.calls import bucket, device_bucket, own_settings
from mtsccd_jax.ops.threshold import (
    EQUAL_VALUES,
    ThresholdResult,
    are_accepted,
    beside,
    best_cut,
    bits_of_descending_key,
    check_countable,
    check_objective,
    check_pairs,
    check_shapes,
    descending_key,
    kinds,
    objective_value,
    refuse,
    stays_on_device,
    threshold_result,
)

_KEY_BITS, _LAST_KEY = 32, (1 << 32) - 1
_FIRST_BITS = 16  # the leading bits of a distance, which tell its cell in the first pass
_MOST_CELLS = 1 << 22  # counted in one pass
_MOST_SPLIT = _MOST_CELLS >> 4
_AT_ONCE = 1 << 20  # distances on the host, so that the arrays made of them stay in a cache
_ROUNDING = 1e-14  # values closer than this may be one value, rounded differently


class _Cells(NamedTuple):
    """The cells that distances are counted in: groups of equal cells, each a run of keys, and cells already counted.

    A key is a uint32 number; keys ascend where distances descend. A group of width w holds the keys from its first to
    first + 2^w - 1, divided into at most 2^bits cells of 2^shift keys. Known cells are not split any further.
    """

    bits: int
    first_g: np.ndarray  # ascending
    width_g: np.ndarray
    known_first_c: np.ndarray
    known_width_c: np.ndarray
    known_count_ck: np.ndarray  # unchanged and changed pairs

    @property
    def shift_g(self) -> np.ndarray:
        return np.asarray(np.maximum(self.width_g, np.uint32(self.bits)) - np.uint32(self.bits))

    @property
    def last_g(self) -> np.ndarray:
        """The last key of each group, less the first."""
        return np.uint32(_LAST_KEY) >> (_KEY_BITS - self.width_g)


class _View(NamedTuple):
    """All cells that hold pairs, by descending distance, and the best cut that is known."""

    first_c: np.ndarray
    width_c: np.ndarray
    count_ck: np.ndarray
    bound_c: np.ndarray  # no cut within the cell has a higher value
    open_c: np.ndarray  # must be split before the best cut is certain
    best: Any  # the best of the cuts at the cells' ends


class ThresholdHistogram:
    """Counts of pairs by float32 distance, from which the exact best threshold follows."""

    def __init__(self, cells: _Cells | None = None):
        self._cells = _first_cells() if cells is None else cells
        self._count_ck = np.zeros((len(self._cells.first_g) << self._cells.bits, 2), np.int64)

    def add(self, distance_n: Real[ArrayLike, " n"], changed_n: Shaped[ArrayLike, " n"]) -> None:
        """Count these pairs too, on the accelerators that hold the distances or on the host.

        Raises:
            ValueError: empty input, unequal lengths, NaN or infinite distances, labels other than 0 and 1, distances
                that float32 cannot hold, or more of them on accelerators than int32 counts.
        """
        if stays_on_device(distance_n):
            self._add_on_device(distance_n, changed_n)
            return
        distance, changed = check_pairs(distance_n, changed_n)
        if distance.dtype != np.float32:
            raise ValueError(f"distance_n holds {np.asarray(distance_n).dtype}: a histogram counts float32 distances")
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
        """Return the cells of those keys that are counted, and which keys these are."""
        cells = self._cells
        if cells.width_g[0] == _KEY_BITS:
            return (key_n >> cells.shift_g[0]).astype(np.int64), slice(None)
        # Few distances lie in a cell that is split; the leading bits alone exclude most of the others.
        drop = _KEY_BITS - _FIRST_BITS
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
        part = (offset >> cells.shift_g[group]).astype(np.int64)
        return (group << cells.bits) + part, near

    @own_settings()
    def _add_on_device(self, distance_n: Array, changed_n: ArrayLike) -> None:
        check_shapes(distance_n.shape, np.shape(changed_n))
        changed_n = beside(changed_n, distance_n)
        check_countable(len(distance_n), "add them in parts")
        cells = self._cells
        groups = (1 << (len(cells.first_g) - 1).bit_length()) - len(cells.first_g)
        # Padded, so that many numbers of groups share a program; padding begins where no finite distance lies.
        last_g = np.pad(cells.last_g, (0, groups))
        first_g = np.pad(cells.first_g, (0, groups), constant_values=_LAST_KEY)
        shift_g = np.pad(cells.shift_g, (0, groups))
        kind_n, value_n, sharding = kinds(changed_n), distance_n.astype(jnp.float32), distance_n.sharding
        if isinstance(sharding, NamedSharding) and len(sharding.spec) and sharding.spec[0] is not None:
            count_on_them = _counted(cells.bits, sharding.mesh, sharding.spec[0])
            kind_n = jax.device_put(kind_n, sharding)
        else:
            count_on_them = _counted(cells.bits, None, None)
            padding = (0, device_bucket(len(distance_n)) - len(distance_n))
            value_n, kind_n = jnp.pad(value_n, padding), jnp.pad(kind_n, padding)
        count, accepted = count_on_them(value_n, kind_n, first_g, last_g, shift_g)
        if not accepted:
            refuse(distance_n, changed_n)
        self._count_ck += np.asarray(count, np.int64)[: len(self._count_ck)]

    def merge(self, other: "ThresholdHistogram") -> "ThresholdHistogram":
        """Return the histogram of the pairs of both: commutative and associative.

        Raises:
            ValueError: the two count in different cells.
        """
        if not all(jax.tree.map(np.array_equal, self._cells, other._cells)):
            raise ValueError("the histograms count in different cells: merge before refining, and refine alike")
        result = self.empty()
        result._count_ck = self._count_ck + other._count_ck
        return result

    def empty(self) -> "ThresholdHistogram":
        """Return one with the same cells and no pairs, to count another part of the data and be merged."""
        return ThresholdHistogram(self._cells)

    def is_settled(self, objective: str = "kappa") -> bool:
        """Return whether the best threshold is certain; if not, count all pairs again in `refined`."""
        return not self._view(objective).open_c.any()

    def refined(self, objective: str = "kappa") -> "ThresholdHistogram":
        """Return an empty histogram that splits the cells that may hold the best threshold: add all pairs to it again.

        Where they are very many, it splits those of the highest bounds; the others follow later if they still matter.

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
        return ThresholdHistogram(_Cells(bits, view.first_c[open_c], view.width_c[open_c], *known))

    @own_settings()
    def result(self, objective: str = "kappa") -> ThresholdResult:
        """Return the result of `threshold.best_threshold` for all pairs together.

        Raises:
            ValueError: an unknown objective, no pair, or a threshold that is not certain yet.
        """
        view = self._view(objective)
        if view.open_c.any():
            raise ValueError("the best threshold is not certain yet: count the pairs again in `refined`")
        unchanged, changed = (int(total) for total in view.count_ck.sum(0))
        position = int(view.best.position)
        bits = np.asarray(bits_of_descending_key(view.first_c[position]))
        chosen = float(bits.view(np.float32)) if position >= 0 else float("inf")
        return threshold_result(chosen, int(view.best.tp), int(view.best.fp), changed, unchanged, objective)

    @own_settings()
    def _view(self, objective: str) -> _View:
        check_objective(objective)
        cells = self._cells
        held = np.flatnonzero(self._count_ck.any(1))
        group, part = held >> cells.bits, (held & ((1 << cells.bits) - 1)).astype(np.uint32)
        shift = cells.shift_g[group]
        first = np.concatenate([cells.known_first_c, cells.first_g[group] + (part << shift)])
        if not len(first):
            raise ValueError("no pair was counted: a threshold needs at least one")
        order = np.argsort(first)
        first_c, width_c = first[order], np.concatenate([cells.known_width_c, shift])[order]
        count_ck = np.concatenate([cells.known_count_ck, self._count_ck[held]])[order]
        fp, tp = np.cumsum(count_ck, 0).T
        padding = (0, bucket(max(len(tp), 1 << _FIRST_BITS)) - len(tp))  # so that one program is enough as a rule
        with jax.enable_x64(True):
            counts = [np.pad(part, padding, "edge") for part in (tp, fp, fp - count_ck[:, 0])]
            best, value_c, bound_c = jax.device_get(_bounds(*counts, np.arange(len(counts[0])) < len(tp), objective))
        value_c, bound_c = value_c[: len(tp)], bound_c[: len(tp)]
        place_c, position = np.arange(len(tp)), int(best.position)
        highest = max(float(best.value), float(value_c.max()))
        # A cut inside a cell of one class is worse than a cut at one of its ends. A cell before the best known cut is
        # open if it can hold an equally good one. A later cell is open if it can hold a better one, or has one already.
        mixed_c = count_ck.all(1)
        limit_c = np.where(place_c < position, highest - EQUAL_VALUES, best.value) - _ROUNDING
        open_c = (mixed_c & (bound_c >= limit_c)) | (place_c == position)
        open_c |= (place_c > position) & (value_c > best.value)
        return _View(first_c, width_c, count_ck, bound_c, open_c & (width_c > 0), best)


@partial(jax.jit, static_argnames="objective")
def _bounds(tp_c: Array, fp_c: Array, fp_before_c: Array, allowed_c: Array, objective: str) -> tuple[Any, Array, Array]:
    """Return `(best cut at a cell's end, value at every end, bound on the values inside every cell)`, in float64."""
    tp, fp, before = (count.astype(jnp.float64) for count in (tp_c, fp_c, fp_before_c))
    value, bound = (objective_value(tp, some_fp, tp[-1], fp[-1], objective) for some_fp in (fp, before))
    return best_cut(tp_c, fp_c, allowed_c, objective), value, bound


def _first_cells() -> _Cells:
    whole = np.zeros(1, np.uint32), np.array([_KEY_BITS], np.uint32)
    nothing = np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros((0, 2), np.int64)
    return _Cells(_FIRST_BITS, *whole, *nothing)


def _key_of(distance_n: np.ndarray) -> np.ndarray:
    """Return the numbers of `threshold.descending_key`, on the host."""
    sign = np.uint32(1 << 31)
    bits = (distance_n + np.float32(0)).view(np.uint32)  # -0.0 + 0 is 0.0
    return np.where(bits >= sign, bits, ~(bits | sign))


@lru_cache(maxsize=64)
def _counted(bits: int, mesh: Any, axis: Any) -> Any:
    """Return the jitted `count_cells` for distances on one device, or spread over an axis of a mesh."""
    if mesh is None:
        return jax.jit(partial(count_cells, bits=bits))
    specs = (P(axis), P(axis), P(), P(), P())
    call = partial(count_cells, bits=bits, axis=axis)
    return jax.jit(jax.shard_map(call, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False))


def count_cells(
    distance_n: Float32[Array, " n"],
    kind_n: Int32[Array, " n"],
    first_g: UInt32[Array, " g"],
    last_g: UInt32[Array, " g"],
    shift_g: UInt32[Array, " g"],
    *,
    bits: int,
    axis: Any = None,
) -> tuple[Int32[Array, "c 2"], Bool[Array, ""]]:
    """Return `(unchanged and changed pairs of each of the c = g x 2^bits cells, input accepted)`; pure.

    Places are sorted and their first occurrences looked up: GPUs sort integers fast, while scattered adds wait for each
    other wherever many pairs share a cell.

    Groups are given by `first_g`, their first keys, ascending, and `last_g`, their last keys less the first. A cell is
    2^shift keys, and a group has room for 2^bits cells. `axis` names a mesh axis that the distances are spread along,
    to count over all of it.
    """
    key_n = descending_key(distance_n)
    accepted = are_accepted(distance_n, kind_n)
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
