"""Bootstrap samples of pairs sorted by distance, as no more than the counts that choosing a threshold depends on.

Calling more pairs changed, none of which is, improves no objective. So only a cut right after a changed pair can be
best, and which unchanged pairs were drawn between two such cuts does not matter, only how many. A sample is therefore a
count for each *cell*: at most `_CELL` pairs of one kind with no cut between them.

The counts of n draws are multinomial. Here every cell first draws a Poisson count, by inverting its distribution
function at 32 random bits, of a mean that is a little lower than its expected count; what the sample then lacks to n,
it draws pair by pair. Poisson counts are multinomial given their sum, so the result has the distribution of n draws
with replacement, up to probabilities rounded to 2^-32. A sample that has more than n pairs already, or lacks more than
there is room for (one in sixteen thousand), is drawn anew; its sum alone decides that, and so changes nothing.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.special import pdtr

from mtsccd_jax.ops.threshold import Cut, best_cut, bucket, ends_of_ties

_CELL = 8  # pairs; more make fewer random numbers and more comparisons for each
_SPREAD = 4.0  # standard deviations by which the Poisson counts aim below n, and as many beyond are provided for
_BLOCK = 64  # cells summed by one product with a triangle of ones
_CHUNK_BITS = 1 << 18  # random numbers held at once; bounds memory, not results


class Cells(NamedTuple):
    """Pairs in descending order of distance, divided into cells: none, then the changed ones, then the unchanged ones.

    Padded to few distinct lengths, so that few programs are compiled.

    Attributes:
        pairs: n, how many there are.
        quantile_kc: uint32; the Poisson count of a cell is the number of its quantiles below 32 random bits.
        cell_n: int32, the cell of each pair; 0 in padding.
        size_c: int64, pairs in each cell.
        changed_j: int32, the last cell of changed pairs before each cut; the last entry is the last of all.
        unchanged_j: int32, the same of unchanged pairs.
        allowed_j: False for the last entry, which is no cut, and in padding, which repeats it.
        value_j: the distance of each cut.
        late: how many pairs can be drawn one by one.
    """

    pairs: int
    quantile_kc: np.ndarray
    cell_n: np.ndarray
    size_c: np.ndarray
    changed_j: np.ndarray
    unchanged_j: np.ndarray
    allowed_j: np.ndarray
    value_j: np.ndarray
    late: int


def make_cells(value_n: np.ndarray, changed_n: np.ndarray) -> Cells:
    """The cells of pairs in descending order of distance (n,), with which of them changed (n,) bool."""
    n = len(value_n)
    end_n = ends_of_ties(value_n)
    tie_n = np.cumsum(end_n) - end_n
    cut_t = np.bincount(tie_n, changed_n) > 0  # a cut after every run of equal distances with a changed pair in it
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
    late += late % 2  # a sample's random numbers are whole words of 64 bits
    cuts = _padded(segments)
    edge = np.minimum(np.arange(cuts), segments - 1)
    return Cells(
        pairs=n,
        quantile_kc=_quantiles(size_c, max(0.0, 1 - _SPREAD / math.sqrt(n))),
        cell_n=np.pad(cell_n, (0, bucket(n) - n)),
        size_c=size_c,
        changed_j=ends[0][edge].astype(np.int32),
        unchanged_j=ends[1][edge].astype(np.int32),
        allowed_j=np.arange(cuts) < segments - 1,
        value_j=value_n[np.flatnonzero(end_n)[cut_t]],
        late=late,
    )


def best_redrawn_cuts(
    cells: Cells, resamples: int, seed: int, objective: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`(position, tp, fp, positives)`, int32 (resamples,): the best cut of each sample, -1 for none, and its counts.

    A sample depends on the seed and its place alone, not on how many there are.
    """
    width = cells.quantile_kc.shape[1] + cells.late
    shape = min(resamples, max(1, _CHUNK_BITS // width)), width
    with jax.enable_x64(True):
        places = cells.changed_j, cells.unchanged_j, cells.allowed_j
        on_device = jax.device_put((cells.quantile_kc, cells.cell_n, cells.pairs, *places))

        def draw(random: np.random.BitGenerator) -> tuple[jax.Array, ...]:
            return _best_cuts(draw_bits(random, shape), *on_device, objective=objective)

        # Random numbers are made while the device works on those before.
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


def draw_bits(random: np.random.BitGenerator, shape: tuple[int, int]) -> np.ndarray:
    """Random numbers of `shape`, uint32; the second length is even. Raw words take half as long as `integers`."""
    return random.random_raw(shape[0] * shape[1] // 2).astype("<u8", copy=False).view("<u4").reshape(shape)


def draw_counts(
    bits_rb: jax.Array, quantile_kc: jax.Array, cell_n: jax.Array, pairs: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """`(count_rc, usable_r)`: how often each cell is drawn in each sample, int32; and whether they are n in all.

    Args:
        bits_rb: uint32, random numbers of each sample: one a cell, then one for each pair that can be drawn late.
        quantile_kc: of `Cells`, as are `cell_n` and `pairs`.
        cell_n: of `Cells`.
        pairs: n.
    """
    early_rc, late_rl = jnp.split(bits_rb, [quantile_kc.shape[1]], axis=1)
    count_rc = jnp.zeros(early_rc.shape, jnp.int32)
    for quantile_c in quantile_kc:
        count_rc += early_rc > quantile_c
    lacking_r = jnp.int32(pairs) - count_rc.sum(1, dtype=jnp.int32)
    # The upper half of a random number times n is a place from 0 to n - 1.
    place_rl = (late_rl.astype(jnp.uint64) * jnp.uint64(pairs) >> jnp.uint64(32)).astype(jnp.int32)
    drawn_rl = (jnp.arange(late_rl.shape[1]) < lacking_r[:, None]).astype(jnp.int32)

    def add(count_c: jax.Array, cell_l: jax.Array, drawn_l: jax.Array) -> jax.Array:
        return count_c.at[cell_l].add(drawn_l, mode="promise_in_bounds")

    count_rc = jax.vmap(add)(count_rc, cell_n[place_rl], drawn_rl)
    return count_rc, (lacking_r >= 0) & (lacking_r <= late_rl.shape[1])


@partial(jax.jit, static_argnames="objective")
def _best_cuts(
    bits_rb: jax.Array,
    quantile_kc: jax.Array,
    cell_n: jax.Array,
    pairs: jax.Array,
    changed_j: jax.Array,
    unchanged_j: jax.Array,
    allowed_j: jax.Array,
    *,
    objective: str,
) -> tuple[jax.Array, ...]:
    """`(position, tp, fp, positives, usable)`, each (samples,)."""
    count_rc, usable_r = draw_counts(bits_rb, quantile_kc, cell_n, pairs)
    up_to_rc = _running_sums(count_rc)
    tp_rj = up_to_rc[:, changed_j]
    positives_r = tp_rj[:, -1]
    fp_rj = up_to_rc[:, unchanged_j] - positives_r[:, None]
    cut: Cut = jax.vmap(best_cut, (0, 0, None, None))(tp_rj, fp_rj, allowed_j, objective)
    return cut.position, cut.tp, cut.fp, positives_r, usable_r


def _running_sums(count_rc: jax.Array) -> jax.Array:
    """What each sample has up to and including each cell, int32 (samples, cells).

    On a CPU a product with a triangle of ones is several times as fast as `cumsum`. It is exact: no block of cells
    reaches the 2^24 up to which float32 counts.
    """
    blocks = count_rc.reshape(len(count_rc), -1, _BLOCK).astype(jnp.float32)
    triangle = jnp.triu(jnp.ones((_BLOCK, _BLOCK), jnp.float32))
    inside = jnp.matmul(blocks, triangle, precision="highest").astype(jnp.int32)
    before = jnp.cumsum(inside[..., -1], axis=1) - inside[..., -1]
    return (before[..., None] + inside).reshape(count_rc.shape)


def _quantiles(size_c: np.ndarray, share: float) -> np.ndarray:
    """uint32 (k, cells): a Poisson count of mean `share * size` is the number of these that are below 32 random bits.

    32 bits x are above q with a chance of 1 - (q + 1) / 2^32, which has to be that of a count of more than k.
    """
    of_size = []
    for size in range(_CELL + 1):
        quantiles, count = [], 0
        while (reached := math.ceil(pdtr(count, share * size) * 2**32)) < 2**32:
            quantiles.append(reached - 1)
            count += 1
        of_size.append(quantiles)
    longest = max(len(quantiles) for quantiles in of_size)
    table = np.array([quantiles + [2**32 - 1] * (longest - len(quantiles)) for quantiles in of_size], np.uint32)
    return table[size_c].T


def _padded(length: int) -> int:
    """The length of an array that holds so many: one of few, and whole blocks."""
    step = max(_BLOCK, bucket(length) // 16)
    return -(-length // step) * step
