"""Retrieval metrics of ranked lists: how early a search shows what is relevant. Exact, in float64.

A list holds gallery rows, nearest first (`ops.distance.nearest_neighbors` returns them), all distinct. What is relevant
follows from labels: with one label an image, those of the same class; with several, those that share a label. The
*overlap*, the number of shared labels, is the graded relevance of NDCG (0 or 1 with one label an image).

Where the queries are part of the gallery, `itself_q` names each query's own row: it leaves the list, later ranks move
up, and it counts neither as relevant nor in the best possible list. A query with no relevant image has no figures; such
queries are counted, and the means are over the others.

With NG relevant images of a query in the gallery, ranks r from 1, and P(r) the share of relevant ones up to r:

- `precision_at_k`: P(k), over k also where the gallery is smaller.
- `ap`: the sum of P(r) over the ranks of relevant images, over NG: scikit-learn's average precision of a ranking
  without ties. Its mean over queries is `map`.
- `ap_at_k`: the sum over the ranks up to k, over min(NG, k), the most that it could be. `ap_at_k_of_found` divides by
  the number of relevant images found up to k instead (0 where there is none): some papers call this one mAP@k, and it
  is never lower.
- `ndcg` and `ndcg_at_k`: the sum of gain / log2(r + 1) over the list, over that of the best list that the gallery
  allows. The gain is the overlap (scikit-learn's `ndcg_score`), or 2^overlap - 1.
- `nmrr`, its mean being `anmrr`: MPEG-7's normalised modified retrieval rank (Manjunath et al., "Color and texture
  descriptors", IEEE Trans. CSVT 11(6), 2001). GTM is the largest NG of all queries and K = min(4 NG, 2 GTM); a relevant
  image beyond rank K counts as one at 1.25 K; with AVR the mean of these ranks,
  NMRR = (AVR - 0.5 (1 + NG)) / (1.25 K - 0.5 (1 + NG)): 0 where the relevant come first, 1 where none is within K.
  Low is good. K is taken as it is, also where it exceeds the gallery.

A list may end early. `ap`, `ndcg` and `nmrr` of a query are NaN where what is missing could change them; the means are
then None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jax.typing import ArrayLike

GAINS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "overlap": lambda overlap: overlap.astype(np.float64),
    "exponential": lambda overlap: np.exp2(overlap.astype(np.float64)) - 1,
}

_TILE_ELEMENTS = 1 << 22  # queries x gallery rows that are compared at once; bounds memory, not results
_MOST_LABELS = 255  # overlaps are kept in a byte


@dataclass(frozen=True, eq=False)
class QueryFigures:
    """The figures of every query, in order; merges by `+`, which appends the queries of the other.

    Attributes:
        cutoffs: the c values of k.
        relevant_q: NG, int64; where it is 0 all figures below are NaN.
        precision_qc: precision_at_k.
        ap_qc: ap_at_k.
        ap_of_found_qc: ap_at_k_of_found.
        ndcg_qc: ndcg_at_k.
        ap_q: over the whole ranking, NaN where the list ends before the last relevant image.
        ndcg_q: likewise.
        nmrr_q: NaN where the list ends before rank K and before the last relevant image.
    """

    cutoffs: tuple[int, ...]
    relevant_q: np.ndarray
    precision_qc: np.ndarray
    ap_qc: np.ndarray
    ap_of_found_qc: np.ndarray
    ndcg_qc: np.ndarray
    ap_q: np.ndarray
    ndcg_q: np.ndarray
    nmrr_q: np.ndarray

    def __len__(self) -> int:
        return len(self.relevant_q)

    def __add__(self, other: "QueryFigures") -> "QueryFigures":
        return joined([self, other])


def joined(parts: Sequence[QueryFigures]) -> QueryFigures:
    """The figures of all the parts' queries, in order.

    Raises:
        ValueError: parts at different cut-offs.
    """
    for part in parts:
        if part.cutoffs != parts[0].cutoffs:
            raise ValueError(f"figures at {parts[0].cutoffs} and at {part.cutoffs} cannot be merged")
    names = [field.name for field in fields(QueryFigures) if field.name != "cutoffs"]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return QueryFigures(cutoffs=parts[0].cutoffs, **columns)


def relevant_counts(query_label: ArrayLike, gallery_label: ArrayLike, itself_q: ArrayLike | None = None) -> np.ndarray:
    """NG, the relevant gallery rows of each query, (q,) int64; their largest is the GTM of `query_figures`.

    Raises:
        ValueError: as `query_figures` for these arguments.
    """
    query, gallery = _labels("query_label", query_label), _labels("gallery_label", gallery_label)
    _check_label_kinds(query, gallery)
    return _relevant(query, gallery, _itself(itself_q, len(query), len(gallery)))


def query_figures(
    index_qm: ArrayLike,
    query_label: ArrayLike,
    gallery_label: ArrayLike,
    *,
    cutoffs: Sequence[int] = (10,),
    itself_q: ArrayLike | None = None,
    gain: str = "overlap",
    largest_relevant: int | None = None,
) -> QueryFigures:
    """The `QueryFigures` of ranked lists; works through the queries in tiles, so that only the lists are large.

    Args:
        index_qm: gallery rows of each query, nearest first, distinct; some or all of the gallery.
        query_label: (q,) classes, integers; or (q, k) bool or 0 and 1, at most 255 labels.
        gallery_label: likewise of the gallery.
        cutoffs: values of k, each at least 1, and at most the length of a list unless this holds the whole gallery
            (where queries are in the gallery, one row more is needed).
        itself_q: the gallery row of each query, -1 for one that is not in the gallery; None for all such.
        gain: of NDCG, `overlap` or `exponential`.
        largest_relevant: MPEG-7's GTM. None takes the largest of these queries; needed where they are only some of
            those that the mean will be over.

    Raises:
        ValueError: empty input, shapes or kinds of labels that do not fit, rows outside the gallery or twice in a list,
            cut-offs beyond the lists, an unknown gain, a `largest_relevant` below that of a query.
    """
    query, gallery = _labels("query_label", query_label), _labels("gallery_label", gallery_label)
    _check_label_kinds(query, gallery)
    itself = _itself(itself_q, len(query), len(gallery))
    index = np.asarray(index_qm)
    if index.ndim != 2 or index.shape[0] != len(query) or index.shape[1] == 0:
        raise ValueError(
            f"index_qm must be a matrix with a row for each of the {len(query)} queries, got shape {index.shape}"
        )
    if not np.issubdtype(index.dtype, np.integer):
        raise ValueError(f"index_qm must hold integers, got {index.dtype}")
    if gain not in GAINS:
        raise ValueError(f"unknown gain {gain!r}, known are {', '.join(GAINS)}")
    chosen = _check_cutoffs(cutoffs, index.shape[1], len(gallery), bool((itself >= 0).any()))
    if largest_relevant is None:
        largest_relevant = int(_relevant(query, gallery, itself).max())
    return joined(
        [
            _tile(index[tile], query[tile], gallery, itself[tile], chosen, gain, largest_relevant, tile.start)
            for tile in _tiles(len(query), len(gallery))
        ]
    )


def retrieval_metrics(figures: QueryFigures) -> dict[str, float | int | None]:
    """Means over the queries that have a relevant image, by name; None where a list ended too early, or no query has.

    `queries`, `without_relevant`, `map`, `ndcg`, `anmrr`, and for each cut-off k `map_at_k`, `map_at_k_of_found`,
    `precision_at_k` and `ndcg_at_k` (`map_at_10`, ...).
    """
    without = int(np.count_nonzero(figures.relevant_q == 0))
    means = {name: _mean(value_n) for name, value_n in _by_metric(figures).items()}
    return {"queries": len(figures), "without_relevant": without, **means}


def retrieval_intervals(
    figures: QueryFigures, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float] | None]:
    """`{metric: (low, high)}`: percentile intervals of the means over re-drawn queries, 95 % unless told.

    The n queries that have a relevant image are re-drawn among themselves: each resample is the next
    `integers(0, n, n)` of the generator. None where the mean is None.

    Args:
        figures: of every query.
        resamples: at least 1.
        seed: of NumPy's default generator.
        level: coverage in (0, 1).

    Raises:
        ValueError: no resample, a level outside (0, 1).
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level is a coverage between 0 and 1, got {level}")
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
    low_v, high_v = np.quantile(mean_rv, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return intervals | {name: (float(low_v[v]), float(high_v[v])) for v, name in enumerate(known)}


def random_order(relevant_q: ArrayLike, listed_q: ArrayLike, cutoffs: Sequence[int] = (10,)) -> dict[str, float | None]:
    """What `map`, `map_at_k` and `precision_at_k` are on average over all orders of the gallery; exact.

    Of a list of N images, NG of them relevant, each rank is relevant with a chance of NG / N, and given that each
    earlier one with (NG - 1) / (N - 1). So with H(k) = 1 + 1/2 + ... + 1/k the sum of P(r) over the relevant ranks up
    to k is NG / N (H(k) + (k - H(k)) (NG - 1) / (N - 1)) on average, and P(k) is NG / N.

    Args:
        relevant_q: NG of each query.
        listed_q: N of each query, the gallery without the query itself; at least NG.
        cutoffs: values of k, each at least 1.
    """
    relevant, listed = np.asarray(relevant_q, np.int64), np.asarray(listed_q, np.int64)
    known = relevant > 0
    relevant, listed = relevant[known], listed[known]
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(listed.max(initial=0)) + 1))])
    share, others = relevant / listed, (relevant - 1) / np.maximum(listed - 1, 1)

    def gained(reach: np.ndarray) -> np.ndarray:
        return share * (harmonic[reach] + others * (reach - harmonic[reach]))

    result = {"map": _mean(gained(listed) / relevant)}
    for k in cutoffs:
        reach = np.minimum(k, listed)
        result[f"map_at_{k}"] = _mean(gained(reach) / np.minimum(relevant, k))
        result[f"precision_at_{k}"] = _mean(share * reach / k)
    return result


def _by_metric(figures: QueryFigures) -> dict[str, np.ndarray]:
    """What each mean is taken over: the figures (n,) of the queries that have a relevant image."""
    known = figures.relevant_q > 0
    columns = {"map": figures.ap_q, "ndcg": figures.ndcg_q, "anmrr": figures.nmrr_q}
    for column, k in enumerate(figures.cutoffs):
        columns[f"map_at_{k}"] = figures.ap_qc[:, column]
        columns[f"map_at_{k}_of_found"] = figures.ap_of_found_qc[:, column]
        columns[f"precision_at_{k}"] = figures.precision_qc[:, column]
        columns[f"ndcg_at_{k}"] = figures.ndcg_qc[:, column]
    return {name: value_q[known] for name, value_q in columns.items()}


def _tile(
    index_tm: np.ndarray,
    query: np.ndarray,
    gallery: np.ndarray,
    itself_t: np.ndarray,
    cutoffs: tuple[int, ...],
    gain: str,
    largest_relevant: int,
    first: int,
) -> QueryFigures:
    """The figures of some queries, the first of them being number `first`. All follow from the ranks of the hits."""
    t, g = len(index_tm), len(gallery)
    _check_lists(index_tm, g, first)
    overlap_tg = _overlap(query, gallery, itself_t)
    relevant_t = np.count_nonzero(overlap_tg, 1).astype(np.int64)
    if relevant_t.max() > largest_relevant:
        raise ValueError(
            f"largest_relevant is {largest_relevant}, but query {first + int(relevant_t.argmax())} has "
            f"{int(relevant_t.max())} relevant images"
        )
    found_tm = np.take_along_axis(overlap_tg, index_tm, 1)
    # One entry for each relevant image of a list, by query and then by rank.
    owner, place = np.nonzero(found_tm)
    grade = found_tm[owner, place]
    is_itself_tm = index_tm == itself_t[:, None]
    place_of_itself = np.where(is_itself_tm.any(1), is_itself_tm.argmax(1), index_tm.shape[1])
    rank = place + 1 - (place > place_of_itself[owner])
    hits_t = np.bincount(owner, minlength=t)
    number = np.arange(1, len(owner) + 1) - np.repeat(np.cumsum(hits_t) - hits_t, hits_t)  # of a hit in its list
    precision = number / rank
    length_t = index_tm.shape[1] - is_itself_tm.any(1)
    all_found = hits_t == relevant_t

    def total(value: np.ndarray | None, within: np.ndarray | slice = slice(None)) -> np.ndarray:
        return np.bincount(owner[within], None if value is None else value[within], minlength=t)

    discount_r = 1 / np.log2(np.arange(2, g + 2))  # of ranks from 1
    discounted = GAINS[gain](grade) * discount_r[rank - 1]
    # Gains of the best list, by layers: the rows of overlap v or more come first, and each gains this much for v.
    layer_vt = np.stack(
        [np.count_nonzero(overlap_tg >= v, 1) for v in range(1, int(overlap_tg.max()) + 1)] or [[0] * t]
    )
    step_v = np.diff(GAINS[gain](np.arange(len(layer_vt) + 1)))
    first_r = np.concatenate([[0.0], np.cumsum(discount_r)])  # of the first 0, 1, ... ranks

    def best(k: int) -> np.ndarray:
        return step_v @ first_r[np.minimum(layer_vt, k)]

    columns: list[tuple[np.ndarray, ...]] = []
    for k in cutoffs:
        within = np.flatnonzero(rank <= k)
        found, gained = total(None, within), total(precision, within)
        columns.append(
            (
                found / k,
                _divide(gained, np.minimum(relevant_t, k)),
                np.where(relevant_t > 0, gained / np.maximum(found, 1), np.nan),
                _divide(total(discounted, within), best(k)),
            )
        )
    precision_qc, ap_qc, ap_of_found_qc, ndcg_qc = (np.stack(part, 1) for part in zip(*columns, strict=True))
    limit_t = np.minimum(4 * relevant_t, 2 * largest_relevant)
    counted = np.where(rank <= limit_t[owner], rank, 1.25 * limit_t[owner])
    average = _divide(total(counted) + 1.25 * limit_t * (relevant_t - hits_t), relevant_t)
    first_possible = 0.5 * (1 + relevant_t)
    nmrr = (average - first_possible) / (1.25 * limit_t - first_possible)
    return QueryFigures(
        cutoffs=cutoffs,
        relevant_q=relevant_t,
        precision_qc=np.where(relevant_t[:, None] > 0, precision_qc, np.nan),
        ap_qc=ap_qc,
        ap_of_found_qc=ap_of_found_qc,
        ndcg_qc=ndcg_qc,
        ap_q=np.where(all_found, _divide(total(precision), relevant_t), np.nan),
        ndcg_q=np.where(all_found, _divide(total(discounted), best(g)), np.nan),
        nmrr_q=np.where(all_found | (length_t >= limit_t), nmrr, np.nan),
    )


def _relevant(query: np.ndarray, gallery: np.ndarray, itself_q: np.ndarray) -> np.ndarray:
    """NG of each query, (q,) int64."""
    tiles = _tiles(len(query), len(gallery))
    counts = [np.count_nonzero(_overlap(query[tile], gallery, itself_q[tile]), 1) for tile in tiles]
    return np.concatenate(counts).astype(np.int64)


def _tiles(queries: int, gallery: int) -> list[slice]:
    rows = max(1, _TILE_ELEMENTS // gallery)
    return [slice(start, start + rows) for start in range(0, queries, rows)]


def _overlap(query: np.ndarray, gallery: np.ndarray, itself_t: np.ndarray) -> np.ndarray:
    """How many labels each query shares with each gallery row, (t, g) uint8; 0 with itself."""
    shared = query[:, None] == gallery if query.ndim == 1 else query @ gallery.T
    overlap = shared.astype(np.uint8)
    known = np.flatnonzero(itself_t >= 0)
    overlap[known, itself_t[known]] = 0
    return overlap


def _mean(value_q: np.ndarray) -> float | None:
    return None if not len(value_q) or np.isnan(value_q).any() else float(value_q.mean())


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The ratio, NaN where the denominator is zero."""
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _labels(name: str, value: ArrayLike) -> np.ndarray:
    """The labels as a vector of integers, or a float32 matrix of 0 and 1, whose products count shared labels."""
    given = np.asarray(value)
    if given.ndim not in (1, 2) or 0 in given.shape:
        raise ValueError(
            f"{name} must hold a class for each image, or a row of labels, and not be empty; got shape {given.shape}"
        )
    if not (np.issubdtype(given.dtype, np.integer) or given.dtype == bool):
        raise ValueError(f"{name} must hold integers or bool, got {given.dtype}")
    if given.ndim == 1:
        return given
    odd = (given != 0) & (given != 1)
    if odd.any():
        row, column = (int(place) for place in np.argwhere(odd)[0])
        raise ValueError(f"{name}[{row}, {column}] is {given[row, column]}: labels are 0 (absent) and 1 (present)")
    if given.shape[1] > _MOST_LABELS:
        raise ValueError(f"{name} has {given.shape[1]} labels, at most {_MOST_LABELS} can be compared")
    return given.astype(np.float32)


def _check_label_kinds(query: np.ndarray, gallery: np.ndarray) -> None:
    if query.shape[1:] != gallery.shape[1:]:
        raise ValueError(f"queries and gallery must be labelled alike, got shapes {query.shape} and {gallery.shape}")


def _itself(itself_q: ArrayLike | None, queries: int, gallery: int) -> np.ndarray:
    """Each query's own gallery row, -1 for none."""
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


def _check_lists(index_tm: np.ndarray, gallery: int, first: int) -> None:
    """Raises ValueError for the first row that is outside the gallery or twice in a list."""
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
