"""Retrieval metrics of ranked lists: how early a search shows what is relevant. Exact, in float64.

A list holds distinct gallery rows, nearest first, as `ops.distance.nearest_neighbors` returns them. Labels decide what
is relevant: with one label an image, the images of the same class; with several, those that share a label. The
*overlap*, the number of shared labels, is the graded relevance of NDCG (0 or 1 with one label an image).

Where the queries are part of the gallery, `itself_q` names each query's own row. This row leaves the list, later ranks
move up, and it counts neither as relevant nor in the best possible list. A query without a relevant image has no
figures; such queries are counted, and the means are over the others.

With NG relevant images of a query in the gallery, ranks r from 1, and P(r) the share of relevant images up to rank r:

- `precision_at_k`: P(k), over k even where the gallery is smaller.
- `ap`: the sum of P(r) over the ranks of relevant images, over NG: scikit-learn's average precision of a ranking
  without ties. Its mean over queries is `map`.
- `ap_at_k`: the sum over the ranks up to k, over min(NG, k), the most that it can be. `ap_at_k_of_found` divides by the
  number of relevant images up to rank k instead (0 where there is none). Some papers call this one mAP@k; it is never
  lower.
- `ndcg` and `ndcg_at_k`: the sum of gain / log2(r + 1) over the list, over that of the best list that the gallery
  allows. The gain is the overlap (scikit-learn's `ndcg_score`), or 2^overlap - 1.
- `nmrr`, whose mean is `anmrr`: MPEG-7's normalised modified retrieval rank (Manjunath et al., "Color and texture
  descriptors", IEEE Trans. CSVT 11(6), 2001). GTM is the largest NG of all queries, and K = min(4 NG, 2 GTM), even if
  that is beyond the gallery. A relevant image beyond rank K counts as one at 1.25 K. With AVR the mean of these ranks,
  NMRR = (AVR - 0.5 (1 + NG)) / (1.25 K - 0.5 (1 + NG)): 0 where the relevant images come first, 1 where none is within
  K. Low is good.

A list may end early. `ap`, `ndcg` and `nmrr` of a query are NaN where the missing part could change them; the means are
then None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64, Integer, Shaped

from mtsccd_jax.ops.bootstrap import percentile_interval
from mtsccd_jax.ops.calls import LABEL_VALUES, check_at_least_one, check_known, check_level, flags
from mtsccd_jax.ops.metrics import divide

GAINS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "overlap": lambda overlap: overlap.astype(np.float64),
    "exponential": lambda overlap: np.exp2(overlap.astype(np.float64)) - 1,
}

_TILE_ELEMENTS = 1 << 22  # queries x gallery rows that are compared at once; bounds memory, not results
_MOST_LABELS = 255  # overlaps are kept in a byte


@dataclass(frozen=True, eq=False)
class QueryFigures:
    """The figures of every query, in order: at each of the c values of k, and over the whole list."""

    cutoffs: tuple[int, ...]
    relevant_q: Int64[np.ndarray, " q"]  # NG; where it is 0 all figures below are NaN
    precision_qc: Float64[np.ndarray, "q c"]
    ap_qc: Float64[np.ndarray, "q c"]
    ap_of_found_qc: Float64[np.ndarray, "q c"]
    ndcg_qc: Float64[np.ndarray, "q c"]
    ap_q: Float64[np.ndarray, " q"]  # NaN where the list ends before the last relevant image
    ndcg_q: Float64[np.ndarray, " q"]  # likewise
    nmrr_q: Float64[np.ndarray, " q"]  # NaN where the list ends before rank K and before the last relevant image

    def __len__(self) -> int:
        return len(self.relevant_q)


def joined(parts: Sequence[QueryFigures]) -> QueryFigures:
    """Return the figures of all the parts' queries, in order.

    Raises:
        ValueError: parts at different cut-offs.
    """
    for part in parts:
        if part.cutoffs != parts[0].cutoffs:
            raise ValueError(f"figures at {parts[0].cutoffs} and at {part.cutoffs} cannot be merged")
    names = [field.name for field in fields(QueryFigures) if field.name != "cutoffs"]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return QueryFigures(cutoffs=parts[0].cutoffs, **columns)


def relevant_counts(
    query_label: Shaped[ArrayLike, "q ..."],
    gallery_label: Shaped[ArrayLike, "g ..."],
    itself_q: Integer[ArrayLike, " q"] | None = None,
) -> Int64[np.ndarray, " q"]:
    """Count the relevant gallery rows of each query: NG, whose largest is the GTM of `query_figures`.

    Raises:
        ValueError: as `query_figures` for these arguments.
    """
    query, gallery = _labels(query_label, gallery_label)
    return _relevant(query, gallery, _itself(itself_q, len(query), len(gallery)))


def query_figures(
    index_qm: Integer[ArrayLike, "q m"],
    query_label: Shaped[ArrayLike, "q ..."],
    gallery_label: Shaped[ArrayLike, "g ..."],
    *,
    cutoffs: Sequence[int] = (10,),
    itself_q: Integer[ArrayLike, " q"] | None = None,
    gain: str = "overlap",
    largest_relevant: int | None = None,
) -> QueryFigures:
    """Compute the figures of ranked lists, tile by tile, so that only the lists are large.

    Args:
        index_qm: distinct gallery rows of each query, nearest first; some or all of the gallery.
        query_label: a class for each query, integers; or a row of labels, bool or 0 and 1, at most 255 of them.
        gallery_label: likewise of the gallery.
        cutoffs: values of k, each at least 1, and at most the length of a list unless that holds the whole gallery
            (where queries are in the gallery, one row more is needed).
        itself_q: the gallery row of each query, -1 for one that is not in the gallery; None if no query is.
        gain: of NDCG, `overlap` or `exponential`.
        largest_relevant: MPEG-7's GTM. None takes the largest of these queries; give it where the mean will be over
            more queries than these.

    Raises:
        ValueError: empty input, shapes or kinds of labels that do not fit, rows outside the gallery or twice in a list,
            cut-offs beyond the lists, an unknown gain, a `largest_relevant` below that of a query.
    """
    query, gallery = _labels(query_label, gallery_label)
    itself = _itself(itself_q, len(query), len(gallery))
    index = np.asarray(index_qm)
    if index.ndim != 2 or index.shape[0] != len(query) or index.shape[1] == 0:
        raise ValueError(
            f"index_qm must be a matrix with a row for each of the {len(query)} queries, got shape {index.shape}"
        )
    if not np.issubdtype(index.dtype, np.integer):
        raise ValueError(f"index_qm must hold integers, got {index.dtype}")
    check_known("gain", gain, GAINS)
    chosen = _check_cutoffs(cutoffs, index.shape[1], len(gallery), bool((itself >= 0).any()))
    if largest_relevant is None:
        largest_relevant = int(_relevant(query, gallery, itself).max())
    parts = []
    for tile in _tiles(len(query), len(gallery)):
        _check_lists(index[tile], len(gallery), tile.start)
        overlap_tg = _overlap(query[tile], gallery, itself[tile])
        _check_relevant(overlap_tg, largest_relevant, tile.start)
        parts.append(_tile_figures(index[tile], overlap_tg, itself[tile], chosen, gain, largest_relevant))
    return joined(parts)


def retrieval_metrics(figures: QueryFigures) -> dict[str, float | int | None]:
    """Return the means over the queries that have a relevant image, by name.

    A mean is None where a list ended too early, or where no query has a relevant image. The names are `queries`,
    `without_relevant`, `map`, `ndcg`, `anmrr`, and for each cut-off k `map_at_k`, `map_at_k_of_found`,
    `precision_at_k` and `ndcg_at_k` (`map_at_10`, ...).
    """
    without = int(np.count_nonzero(figures.relevant_q == 0))
    means = {name: _mean(value_n) for name, value_n in _by_metric(figures).items()}
    return {"queries": len(figures), "without_relevant": without, **means}


def retrieval_intervals(
    figures: QueryFigures, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float] | None]:
    """Return `{metric: (low, high)}`: percentile intervals of the means over resampled queries; None as the means are.

    The n queries that have a relevant image are resampled among themselves: each resample is the next
    `integers(0, n, n)` of NumPy's default generator.

    Raises:
        ValueError: no resample, a level outside (0, 1).
    """
    check_at_least_one(resamples=resamples)
    check_level(level)
    by_metric = _by_metric(figures)
    known = [name for name, value_n in by_metric.items() if _mean(value_n) is not None]
    intervals: dict[str, tuple[float, float] | None] = dict.fromkeys(by_metric)
    if not known:
        return intervals
    value_nv = np.stack([by_metric[name] for name in known], 1)
    n, random = len(value_nv), np.random.default_rng(seed)
    mean_rv = np.empty((resamples, len(known)))
    abreast = max(1, _TILE_ELEMENTS // n)
    for first in range(0, resamples, abreast):
        rows = range(first, min(first + abreast, resamples))
        count_rn = np.stack([np.bincount(random.integers(0, n, n), minlength=n) for _ in rows])
        mean_rv[rows.start : rows.stop] = count_rn @ value_nv / n
    return intervals | {name: percentile_interval(mean_rv[:, v], level) for v, name in enumerate(known)}


def random_order(
    relevant_q: Integer[ArrayLike, " q"], listed_q: Integer[ArrayLike, " q"], cutoffs: Sequence[int] = (10,)
) -> dict[str, float | None]:
    """Return `map`, `map_at_k` and `precision_at_k`, averaged over all orders of the gallery; exact.

    Of a list of N images, NG of them relevant, each rank is relevant with a chance of NG / N, and given that each
    earlier one with (NG - 1) / (N - 1). So with H(k) = 1 + 1/2 + ... + 1/k the sum of P(r) over the relevant ranks up
    to k is NG / N (H(k) + (k - H(k)) (NG - 1) / (N - 1)) on average, and P(k) is NG / N. `relevant_q` is NG of each
    query, `listed_q` its N, the gallery without the query itself.
    """
    relevant, listed = np.asarray(relevant_q, np.int64), np.asarray(listed_q, np.int64)
    known = relevant > 0
    relevant, listed = relevant[known], listed[known]
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(listed.max(initial=0)) + 1))])
    share, others = relevant / listed, (relevant - 1) / np.maximum(listed - 1, 1)

    def gained(reach: np.ndarray) -> np.ndarray:
        return np.asarray(share * (harmonic[reach] + others * (reach - harmonic[reach])))

    result = {"map": _mean(gained(listed) / relevant)}
    for k in cutoffs:
        reach = np.minimum(k, listed)
        result[f"map_at_{k}"] = _mean(gained(reach) / np.minimum(relevant, k))
        result[f"precision_at_{k}"] = _mean(share * reach / k)
    return result


def _by_metric(figures: QueryFigures) -> dict[str, np.ndarray]:
    """Return the figures (n,) of the queries that have a relevant image, by metric."""
    known = figures.relevant_q > 0
    columns = {"map": figures.ap_q, "ndcg": figures.ndcg_q, "anmrr": figures.nmrr_q}
    for column, k in enumerate(figures.cutoffs):
        columns[f"map_at_{k}"] = figures.ap_qc[:, column]
        columns[f"map_at_{k}_of_found"] = figures.ap_of_found_qc[:, column]
        columns[f"precision_at_{k}"] = figures.precision_qc[:, column]
        columns[f"ndcg_at_{k}"] = figures.ndcg_qc[:, column]
    return {name: value_q[known] for name, value_q in columns.items()}


class _Hits(NamedTuple):
    """The h relevant images in some lists, by query and then by rank; the query itself is left out."""

    owner_h: np.ndarray  # the query of each, counted from the first of the tile
    rank_h: np.ndarray  # from 1
    overlap_h: np.ndarray  # labels shared with the query
    found_t: np.ndarray  # hits of each query
    length_t: np.ndarray  # images of each list

    def totals(self, value_h: np.ndarray | None, within: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Sum the values of each query's hits, (t,); None counts them."""
        weight_h = None if value_h is None else value_h[within]
        return np.bincount(self.owner_h[within], weight_h, minlength=len(self.found_t))

    def precisions(self) -> np.ndarray:
        """Return P(r) at the rank of each hit, (h,)."""
        earlier_h = np.repeat(np.cumsum(self.found_t) - self.found_t, self.found_t)  # hits of earlier queries
        return np.asarray((np.arange(1, len(self.owner_h) + 1) - earlier_h) / self.rank_h)


def _find_hits(index_tm: np.ndarray, overlap_tg: np.ndarray, itself_t: np.ndarray) -> _Hits:
    t, m = index_tm.shape
    overlap_tm = np.take_along_axis(overlap_tg, index_tm, 1)
    owner_h, place_h = np.nonzero(overlap_tm)
    is_itself_tm = index_tm == itself_t[:, None]
    listed_t = is_itself_tm.any(1)
    place_of_itself_t = np.where(listed_t, is_itself_tm.argmax(1), m)
    rank_h = place_h + 1 - (place_h > place_of_itself_t[owner_h])
    return _Hits(owner_h, rank_h, overlap_tm[owner_h, place_h], np.bincount(owner_h, minlength=t), m - listed_t)


def _tile_figures(
    index_tm: np.ndarray,
    overlap_tg: np.ndarray,
    itself_t: np.ndarray,
    cutoffs: tuple[int, ...],
    gain: str,
    largest_relevant: int,
) -> QueryFigures:
    """Return the figures of some queries; all follow from the ranks of their hits."""
    hits = _find_hits(index_tm, overlap_tg, itself_t)
    relevant_t = np.count_nonzero(overlap_tg, 1).astype(np.int64)
    discount_r = 1 / np.log2(np.arange(2, overlap_tg.shape[1] + 2))  # of ranks from 1
    best = _best_gains(overlap_tg, gain, discount_r)
    precision_h, gain_h = hits.precisions(), GAINS[gain](hits.overlap_h) * discount_r[hits.rank_h - 1]
    columns: list[tuple[np.ndarray, ...]] = []
    for k in cutoffs:
        within = np.flatnonzero(hits.rank_h <= k)
        found_t, precision_t = hits.totals(None, within), hits.totals(precision_h, within)
        columns.append(
            (
                np.where(relevant_t > 0, found_t / k, np.nan),
                divide(precision_t, np.minimum(relevant_t, k), np.nan),
                np.where(relevant_t > 0, precision_t / np.maximum(found_t, 1), np.nan),
                divide(hits.totals(gain_h, within), best(k), np.nan),
            )
        )
    precision_qc, ap_qc, ap_of_found_qc, ndcg_qc = (np.stack(part, 1) for part in zip(*columns, strict=True))
    all_found_t = hits.found_t == relevant_t
    return QueryFigures(
        cutoffs=cutoffs,
        relevant_q=relevant_t,
        precision_qc=precision_qc,
        ap_qc=ap_qc,
        ap_of_found_qc=ap_of_found_qc,
        ndcg_qc=ndcg_qc,
        ap_q=np.where(all_found_t, divide(hits.totals(precision_h), relevant_t, np.nan), np.nan),
        ndcg_q=np.where(all_found_t, divide(hits.totals(gain_h), best(len(discount_r)), np.nan), np.nan),
        nmrr_q=_modified_ranks(hits, relevant_t, largest_relevant),
    )


def _best_gains(overlap_tg: np.ndarray, gain: str, discount_r: np.ndarray) -> Callable[[int], np.ndarray]:
    """Return a function of k: the discounted gain of the first k rows of the best list, (t,)."""
    # By layers: in the best list the rows of overlap v or more come first, and each gains step_v more than for v - 1.
    most = int(overlap_tg.max())
    layer_vt = np.stack([np.count_nonzero(overlap_tg >= v, 1) for v in range(1, most + 1)] or [[0] * len(overlap_tg)])
    step_v = np.diff(GAINS[gain](np.arange(len(layer_vt) + 1)))
    up_to_r = np.concatenate([[0.0], np.cumsum(discount_r)])  # of the first 0, 1, ... ranks
    return lambda k: step_v @ up_to_r[np.minimum(layer_vt, k)]


def _modified_ranks(hits: _Hits, relevant_t: np.ndarray, largest_relevant: int) -> np.ndarray:
    """Return NMRR of each query, (t,)."""
    limit_t = np.minimum(4 * relevant_t, 2 * largest_relevant)
    counted_h = np.where(hits.rank_h <= limit_t[hits.owner_h], hits.rank_h, 1.25 * limit_t[hits.owner_h])
    missing_t = relevant_t - hits.found_t
    average_t = divide(hits.totals(counted_h) + 1.25 * limit_t * missing_t, relevant_t, np.nan)
    first_possible_t = 0.5 * (1 + relevant_t)
    nmrr_t = (average_t - first_possible_t) / (1.25 * limit_t - first_possible_t)
    return np.where((missing_t == 0) | (hits.length_t >= limit_t), nmrr_t, np.nan)


def _relevant(query: np.ndarray, gallery: np.ndarray, itself_q: np.ndarray) -> np.ndarray:
    """Return NG of each query, (q,) int64."""
    tiles = _tiles(len(query), len(gallery))
    counts = [np.count_nonzero(_overlap(query[tile], gallery, itself_q[tile]), 1) for tile in tiles]
    return np.concatenate(counts).astype(np.int64)


def _tiles(queries: int, gallery: int) -> list[slice]:
    rows = max(1, _TILE_ELEMENTS // gallery)
    return [slice(start, start + rows) for start in range(0, queries, rows)]


def _overlap(query: np.ndarray, gallery: np.ndarray, itself_t: np.ndarray) -> np.ndarray:
    """Return how many labels each query shares with each gallery row, (t, g) uint8; 0 with itself."""
    shared = query[:, None] == gallery if query.ndim == 1 else query @ gallery.T
    overlap: np.ndarray = shared.astype(np.uint8)
    known = np.flatnonzero(itself_t >= 0)
    overlap[known, itself_t[known]] = 0
    return overlap


def _mean(value_q: np.ndarray) -> float | None:
    return None if not len(value_q) or np.isnan(value_q).any() else float(value_q.mean())


def _labels(query_label: ArrayLike, gallery_label: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides' labels as vectors of integers, or as float32 matrices whose products count shared labels."""
    query, gallery = (_one_side("query_label", query_label), _one_side("gallery_label", gallery_label))
    if query.shape[1:] != gallery.shape[1:]:
        raise ValueError(f"queries and gallery must be labelled alike, got shapes {query.shape} and {gallery.shape}")
    return query, gallery


def _one_side(name: str, value: ArrayLike) -> np.ndarray:
    given = np.asarray(value)
    if given.ndim not in (1, 2) or 0 in given.shape:
        raise ValueError(
            f"{name} must hold a class for each image, or a row of labels, and not be empty; got shape {given.shape}"
        )
    if not (np.issubdtype(given.dtype, np.integer) or given.dtype == bool):
        raise ValueError(f"{name} must hold integers or bool, got {given.dtype}")
    if given.ndim == 1:
        return given
    if given.shape[1] > _MOST_LABELS:
        raise ValueError(f"{name} has {given.shape[1]} labels, at most {_MOST_LABELS} can be compared")
    return flags(name, given, LABEL_VALUES).astype(np.float32)


def _itself(itself_q: ArrayLike | None, queries: int, gallery: int) -> np.ndarray:
    """Return each query's own gallery row, -1 for none."""
    if itself_q is None:
        return np.full(queries, -1)
    given = np.asarray(itself_q)
    if given.shape != (queries,) or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(
            f"itself_q must hold an integer for each of the {queries} queries, got {given.dtype} of shape {given.shape}"
        )
    outside = np.flatnonzero((given < -1) | (given >= gallery))
    if outside.size:
        row = int(outside[0])
        raise ValueError(f"itself_q[{row}] is {given[row]}, outside the gallery of {gallery} and not -1")
    return given.astype(np.int64)


def _check_cutoffs(cutoffs: Sequence[int], length: int, gallery: int, among: bool) -> tuple[int, ...]:
    chosen = tuple(int(k) for k in cutoffs)
    if not chosen or min(chosen) < 1 or chosen != tuple(cutoffs):
        raise ValueError(f"cutoffs must be whole numbers of at least 1, got {tuple(cutoffs)}")
    reach = length - among
    if length < gallery and max(chosen) > reach:
        raise ValueError(f"a cut-off of {max(chosen)} needs longer lists: these hold {length}{' with itself' * among}")
    return chosen


def _check_relevant(overlap_tg: np.ndarray, largest_relevant: int, first: int) -> None:
    relevant_t = np.count_nonzero(overlap_tg, 1)
    if relevant_t.max() > largest_relevant:
        raise ValueError(
            f"largest_relevant is {largest_relevant}, but query {first + int(relevant_t.argmax())} has "
            f"{int(relevant_t.max())} relevant images"
        )


def _check_lists(index_tm: np.ndarray, gallery: int, first: int) -> None:
    """Raise ValueError for the first row that is outside the gallery or twice in a list."""
    outside = (index_tm < 0) | (index_tm >= gallery)
    if outside.any():
        query, place = (int(part) for part in np.argwhere(outside)[0])
        raise ValueError(
            f"index_qm[{first + query}, {place}] is {index_tm[query, place]}, outside the gallery of {gallery}"
        )
    seen = np.zeros((len(index_tm), gallery), bool)
    np.put_along_axis(seen, index_tm, True, 1)
    twice = np.flatnonzero(np.count_nonzero(seen, 1) < index_tm.shape[1])
    if twice.size:
        raise ValueError(f"the list of query {first + int(twice[0])} holds a gallery row twice")
