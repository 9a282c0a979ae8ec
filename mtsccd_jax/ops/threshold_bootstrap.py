"""Bootstrap resamples of pairs sorted by distance, drawn as the counts that the choice of a threshold depends on.

No objective improves if more unchanged pairs are predicted changed. So only a cut right after a changed pair can be
best, and of the unchanged pairs between two such cuts only the number matters. A resample is therefore a count for each
*cell*: at most `_CELL` pairs of one kind with no cut between them.

The counts of n draws are multinomial. Here every cell first draws a Poisson count whose mean is a little below its
expected count, by inverting the distribution function at 32 random bits. The pairs that the resample then lacks to n
are drawn one by one. Poisson counts are multinomial given their sum, so the result has the distribution of n draws with
replacement, up to probabilities rounded to 2^-32. A resample that already has more than n pairs, or lacks more than
there is room for (one in sixteen thousand), is drawn again. Its sum alone decides that, so the distribution stays.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int32, Int64, Integer, UInt32

from mtsccd_jax.ops.calls import bucket, own_settings
from mtsccd_jax.ops.threshold import Cut, best_cut, ends_of_ties

_CELL = 8  # pairs; with more there are fewer random numbers and more comparisons for each
_SPREAD = 4.0  # standard deviations by which the Poisson counts aim below n; there is room for as many beyond
_BLOCK = 64  # cells summed by one product with a triangle of ones
_CHUNK_BITS = 1 << 18  # random numbers held at once; bounds memory, not results


class Cells(NamedTuple):
    """Pairs in descending order of distance, divided into cells: an empty one, then changed pairs, then unchanged ones.

    Padded to few distinct lengths (p pairs, j cuts), so that few programs are compiled.
    """

    pairs: int
    quantile_kc: UInt32[np.ndarray, "k c"]  # a cell's Poisson count is the number of its quantiles below 32 random bits
    cell_p: Int32[np.ndarray, " p"]  # of each pair; 0 in padding
    size_c: Int64[np.ndarray, " c"]  # pairs
    changed_j: Int32[np.ndarray, " j"]  # the last cell of changed pairs before each cut, and last of all
    unchanged_j: Int32[np.ndarray, " j"]  # likewise
    allowed_j: Bool[np.ndarray, " j"]  # False for the last entry, which is no cut, and in padding, which repeats it
    value_i: Float[np.ndarray, " i"]  # the distance of each cut, without padding
    late: int  # how many pairs can be drawn one by one


def make_cells(value_n: Float[np.ndarray, " n"], changed_n: Integer[np.ndarray, " n"]) -> Cells:
    """Divide pairs into cells, given their distances in descending order and the class of each, 0 or 1."""
    n = len(value_n)
    end_n = ends_of_ties(value_n)
    tie_n = np.cumsum(end_n) - end_n
    cut_t = np.bincount(tie_n, changed_n) > 0  # a cut after every run of equal distances that has a changed pair
    segment_n: np.ndarray = (np.cumsum(cut_t) - cut_t)[tie_n]
    segments = int(cut_t.sum()) + 1  # the last lies below all cuts
    cell_n, ends = np.empty(n, np.int32), []
    first_cell = 1
    for kind in (True, False):
        places = np.flatnonzero(changed_n == kind)
        size_j = np.bincount(segment_n[places], minlength=segments)
        cells_j = -(-size_j // _CELL)
        end_j = np.cumsum(cells_j)
        rank = np.arange(len(places)) - (np.cumsum(size_j) - size_j)[segment_n[places]]
        cell_n[places] = first_cell + (end_j - cells_j)[segment_n[places]] + rank // _CELL
        ends.append(first_cell - 1 + end_j)
        first_cell += int(end_j[-1])
    size_c = np.bincount(cell_n, minlength=_padded(first_cell))
    late = min(n, math.ceil(2 * _SPREAD * math.sqrt(n)))
    late += late % 2  # the random numbers of a resample are whole words of 64 bits
    cuts = _padded(segments)
    edge = np.minimum(np.arange(cuts), segments - 1)
    return Cells(
        pairs=n,
        quantile_kc=_quantiles(size_c, max(0.0, 1 - _SPREAD / math.sqrt(n))),
        cell_p=np.pad(cell_n, (0, bucket(n) - n)),
        size_c=size_c,
        changed_j=ends[0][edge].astype(np.int32),
        unchanged_j=ends[1][edge].astype(np.int32),
        allowed_j=np.arange(cuts) < segments - 1,
        value_i=value_n[np.flatnonzero(end_n)[cut_t]],
        late=late,
    )


@own_settings()
def best_resampled_cuts(
    cells: Cells, resamples: int, seed: int, objective: str
) -> tuple[Int32[np.ndarray, " r"], Int32[np.ndarray, " r"], Int32[np.ndarray, " r"], Int32[np.ndarray, " r"]]:
    """Return `(position, tp, fp, positives)`: the best cut of each resample, -1 for none, and its counts.

    A resample depends on the seed and its place alone, not on how many there are.
    """
    width, late = cells.quantile_kc.shape[1] + cells.late, _padded(cells.late)
    shape = min(resamples, max(1, _CHUNK_BITS // (cells.quantile_kc.shape[1] + late))), width
    with jax.enable_x64(True):
        places = cells.changed_j, cells.unchanged_j, cells.allowed_j
        on_device = jax.device_put((cells.quantile_kc, cells.cell_p, cells.pairs, cells.late, *places))

        def draw(random: np.random.BitGenerator) -> tuple[Array, ...]:
            bits_rb = np.pad(draw_bits(random, shape), ((0, 0), (0, late - cells.late)))
            cuts: tuple[Array, ...] = _best_cuts(bits_rb, *on_device, objective=objective)
            return cuts

        # Random numbers are made while the device works on earlier ones.
        random = np.random.PCG64(seed)
        chunks = [draw(random) for _ in range(0, resamples, shape[0])]
        *found, usable = (np.concatenate(part)[:resamples] for part in zip(*chunks, strict=True))
        for place in np.flatnonzero(~usable).tolist():
            random, first = np.random.PCG64([seed, place]), None
            while first is None:
                *again, usable = (np.asarray(part) for part in draw(random))
                first = int(np.argmax(usable)) if usable.any() else None
            for values, drawn in zip(found, again, strict=True):
                values[place] = drawn[first]
    position, tp, fp, positives = found
    return position, tp, fp, positives


def draw_bits(random: np.random.BitGenerator, shape: tuple[int, int]) -> UInt32[np.ndarray, "r b"]:
    """Draw random numbers of `shape`, the second length even. Raw words take half as long as `integers`."""
    return random.random_raw(shape[0] * shape[1] // 2).astype("<u8", copy=False).view("<u4").reshape(shape)


def draw_counts(
    bits_rb: UInt32[Array, "r b"],
    quantile_kc: UInt32[Array, "k c"],
    cell_p: Int32[Array, " p"],
    pairs: Integer[Array, ""],
    late: Integer[ArrayLike, ""],
) -> tuple[Int32[Array, "r c"], Bool[Array, " r"]]:
    """Return `(count_rc, usable_r)`: how often each cell is drawn in each resample, and whether these are n in all.

    A resample has one random number a cell, then one for each pair that can be drawn late, then padding. The rest is
    that of `Cells`.
    """
    early_rc, late_rl = jnp.split(bits_rb, [quantile_kc.shape[1]], axis=1)
    count_rc = jnp.zeros(early_rc.shape, jnp.int32)
    for quantile_c in quantile_kc:
        count_rc += early_rc > quantile_c
    lacking_r = pairs.astype(jnp.int32) - count_rc.sum(1, dtype=jnp.int32)
    # The upper half of a random number times n is a place from 0 to n - 1.
    place_rl = (late_rl.astype(jnp.uint64) * pairs.astype(jnp.uint64) >> jnp.uint64(32)).astype(jnp.int32)
    drawn_rl = (jnp.arange(late_rl.shape[1]) < lacking_r[:, None]).astype(jnp.int32)

    def add(count_c: Array, cell_l: Array, drawn_l: Array) -> Array:
        return count_c.at[cell_l].add(drawn_l, mode="promise_in_bounds")

    count_rc = jax.vmap(add)(count_rc, cell_p[place_rl], drawn_rl)
    return count_rc, (lacking_r >= 0) & (lacking_r <= late)


@partial(jax.jit, static_argnames="objective")
def _best_cuts(
    bits_rb: Array,
    quantile_kc: Array,
    cell_p: Array,
    pairs: Array,
    late: Array,
    changed_j: Array,
    unchanged_j: Array,
    allowed_j: Array,
    *,
    objective: str,
) -> tuple[Array, ...]:
    """Return `(position, tp, fp, positives, usable)`, each (r,)."""
    count_rc, usable_r = draw_counts(bits_rb, quantile_kc, cell_p, pairs, late)
    up_to_rc = _running_sums(count_rc)
    tp_rj = up_to_rc[:, changed_j]
    positives_r = tp_rj[:, -1]
    fp_rj = up_to_rc[:, unchanged_j] - positives_r[:, None]
    cut: Cut = jax.vmap(best_cut, (0, 0, None, None))(tp_rj, fp_rj, allowed_j, objective)
    return cut.position, cut.tp, cut.fp, positives_r, usable_r


def _running_sums(count_rc: Array) -> Array:
    """Return how many pairs each resample has up to and including each cell, (r, c) int32.

    On a CPU a product with a triangle of ones is several times as fast as `cumsum`. It is exact: a block of cells
    counts less than 2^24, up to which float32 holds every integer.
    """
    blocks = count_rc.reshape(len(count_rc), -1, _BLOCK).astype(jnp.float32)
    triangle = jnp.triu(jnp.ones((_BLOCK, _BLOCK), jnp.float32))
    inside = jnp.matmul(blocks, triangle, precision="highest").astype(jnp.int32)
    before = jnp.cumsum(inside[..., -1], axis=1) - inside[..., -1]
    return (before[..., None] + inside).reshape(count_rc.shape)


def _quantiles(size_c: np.ndarray, share: float) -> np.ndarray:
    """Return (k, c) uint32: a Poisson count of mean `share * size` is the number of these below 32 random bits.

    k is that of the largest mean, whatever the share, so that many lengths share a program.
    """
    table = np.full((_CELL + 1, len(_quantiles_of(_CELL))), 2**32 - 1, np.uint32)
    for size in range(_CELL + 1):
        quantiles = _quantiles_of(share * size)
        table[size, : len(quantiles)] = quantiles
    return np.asarray(table[size_c].T)


def _quantiles_of(mean: float) -> list[int]:
    """Return the quantiles of a Poisson count, ascending, below 2^32 - 1, above which no 32 bits are.

    32 bits x are above q with a chance of 1 - (q + 1) / 2^32, which must be that of a count of more than k.
    """
    from scipy.special import pdtr

    quantiles: list[int] = []
    while (reached := math.ceil(pdtr(len(quantiles), mean) * 2**32)) < 2**32:
        quantiles.append(reached - 1)
    return quantiles


def _padded(length: int) -> int:
    """Return the padded length of an array: one of few lengths, in whole blocks."""
    step = max(_BLOCK, bucket(length) // 16)
    return -(-length // step) * step
