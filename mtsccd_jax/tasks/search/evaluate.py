"""Image retrieval: a gallery is searched for the images most like a query, and the ranks of relevant images measured.

The distance of images is that of their features. What is relevant to a query follows from labels: the same class or,
where images have several labels, at least one in common; how many is the graded relevance of NDCG (`ops.retrieval`
defines every metric). A query that is in the gallery itself is left out of its own list.

The whole gallery is ranked for every query, some queries at a time: searching 110,000 images for each of them takes a
GB or two beyond the features, where all distances would take 48.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import usable_cores
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.distance import pairwise_distance
from mtsccd_jax.ops.retrieval import (
    QueryFigures,
    joined,
    query_figures,
    random_order,
    relevant_counts,
    retrieval_intervals,
    retrieval_metrics,
)
from mtsccd_jax.processes import Share
from mtsccd_jax.report.measured import Measured
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.labels.source import names_of, refuse_leak
from mtsccd_jax.tasks.search.index import Index, label_names, open_index, relevance, search_source
from mtsccd_jax.tasks.write_row import Result, pictures, write_row

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Queries that the report shows, and the hits of each.
EXAMPLES = 8
HITS = 6

_DISTANCES_AT_ONCE = 1 << 26  # queries x gallery, float32; bounds memory, not results
_SORTED_AT_ONCE = 1 << 22  # of them by each thread
_KEPT_RANKS = 1 << 20  # ranks of whole lists that are saved with a row


class _Part(NamedTuple):
    """The part of the ranked lists of some queries that is kept: without the query itself, and -1 after the last."""

    figures: QueryFigures
    head_tm: np.ndarray  # the first gallery rows, int32
    distance_tm: np.ndarray  # their distances, float32
    whole_sg: np.ndarray  # the whole lists of a few queries, int32


def evaluate(cache: FeatureCache, split: str) -> Row:
    """Write the row of a search with every image of a split to the work directory of the network.

    The gallery, the metric and the cut-offs are those of `recipe.retrieval`. Every metric has its 95 % interval over
    resampled queries. Artefacts:

    - `queries`: of each query `filename`, `label` ((q,) int32, or (q, k) uint8), `relevant` (NG), `ap`, `ndcg` and
      `nmrr` (NaN where NG is 0), `itself` (its gallery row, -1 for none) and `ranked` (q, m) int32, its first hits in
      order, up to the longest cut-off at least, without itself, and -1 after the last; of the gallery `gallery_label`
      and `gallery_sha256`; and of a few queries, rows `whole_row` (s,), the whole lists `whole_ranked` (s, g) likewise.
    - `hits`: of EXAMPLES queries, chosen from the truth alone, `row` (e,), `thumb_query` (e, 96, 96, 3), `name_query`
      and `label_query` (e,); of the HITS first hits of each `thumb_hit` (e, h, 96, 96, 3), `name_hit`, `label_hit`,
      `relevant_hit` (bool) and `distance_hit` (e, h). Labels are names, joined by "; ". Where there are fewer hits:
      black, "", "", False and NaN.

    Raises:
        InputError: a split does not exist or has no labelled images, or queries and gallery have other labels.
        LeakError: the network has learned from some of the queries in another data set.
    """
    recipe, settings = cache.trained.recipe, cache.trained.recipe.retrieval
    cutoffs = tuple(sorted(set(settings.cutoffs)))
    source = search_source(cache, split)
    refuse_leak(cache, source)
    outputs, index = cache.features(source), open_index(cache, settings.gallery)
    label, names = relevance(source)
    if names != index.names:
        raise InputError(
            f"{source.name}: the queries' labels ({len(names)}: {', '.join(names[:3])}, ...) are not the gallery's "
            f"({len(index.names)}: {', '.join(index.names[:3])}, ...)"
        )
    itself = own_rows(source, index)
    relevant = relevant_counts(label, index.label, itself)
    kept = np.sort(np.random.default_rng(0).permutation(len(label))[: max(1, _KEPT_RANKS // len(index))])

    queries = outputs.values["image"]
    own, own_features = queries.share.own, queries.own_features
    if not len(own):  # of more processes than queries; what is ranked here is dropped
        own, own_features = np.array([0]), np.zeros_like(index.features[:1])
    own_kept = np.flatnonzero(np.isin(own, kept))

    def measure_tile(tile: slice, order_tg: np.ndarray, distance_tg: np.ndarray) -> _Part:
        figures = query_figures(
            order_tg,
            label[own[tile]],
            index.label,
            cutoffs=cutoffs,
            itself_q=itself[own[tile]],
            gain=settings.gain,
            largest_relevant=int(relevant.max()),
        )
        some = own_kept[(own_kept >= tile.start) & (own_kept < tile.stop)] - tile.start
        return _kept_part(figures, order_tg, distance_tg, itself[own[tile]], some, max(*cutoffs, HITS))

    parts = rank_gallery(own_features, index.features, settings.metric, measure_tile)
    figures, ranked, distance, whole = _of_all_processes(parts, queries.share, kept)
    if missing := np.count_nonzero(relevant == 0):
        logger.info(f"{split}: {missing:,} of {len(figures):,} queries have no relevant image")
    result = Result(
        protocol="retrieval",
        measured=measure(figures, itself, len(index), resamples=recipe.evaluation.resamples, seed=recipe.seed),
        class_names=names,
        arrays={
            "queries": {
                "filename": names_of(source),
                "label": label,
                "relevant": relevant,
                "ap": figures.ap_q,
                "ndcg": figures.ndcg_q,
                "nmrr": figures.nmrr_q,
                "itself": itself.astype(np.int32),
                "ranked": ranked,
                "gallery_label": index.label,
                "gallery_sha256": np.array(index.about["data"]),
                "whole_row": kept,
                "whole_ranked": whole,
            },
            "hits": example_searches(source, index, relevant, ranked[:, :HITS], distance[:, :HITS]),
        },
        started=outputs.started,
    )
    return write_row(cache.trained, outputs, result)


def _of_all_processes(parts: Sequence[_Part], share: Share, kept: np.ndarray) -> _Part:
    """Return the parts of all queries as one; each process has ranked its share of them."""
    head, distance, whole = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    figures, queries, of_kept = joined([part.figures for part in parts]), len(share.own), share.among(kept)
    columns: dict[str, Any] = {
        name: share.whole(values[:queries]) for name, values in vars(figures).items() if isinstance(values, np.ndarray)
    }
    return _Part(
        replace(figures, **columns),
        share.whole(head[:queries]),
        share.whole(distance[:queries]),
        of_kept.whole(whole[: len(of_kept.own)]),
    )


def _kept_part(
    figures: QueryFigures, order_tg: np.ndarray, distance_tg: np.ndarray, itself_t: np.ndarray, some: np.ndarray, m: int
) -> _Part:
    """Return the first m hits of each list, and the whole lists of some."""
    g = order_tg.shape[1]
    place_t = np.where(itself_t < 0, g, (order_tg == itself_t[:, None]).argmax(1))
    return _Part(
        figures,
        without(order_tg, place_t, m, -1),
        without(distance_tg, place_t, m, np.nan),
        without(order_tg[some], place_t[some], g, -1),
    )


def measure(figures: QueryFigures, itself_q: np.ndarray, gallery: int, *, resamples: int, seed: int) -> Measured:
    """Return the numbers of a row of a search; `itself_q` is the gallery row of each query, -1 for none."""
    chance = random_order(figures.relevant_q, gallery - (itself_q >= 0), figures.cutoffs)
    return Measured(
        n=len(figures),
        confusion=np.zeros((0, 0), np.int64),
        values=retrieval_metrics(figures),
        intervals=retrieval_intervals(figures, resamples=resamples, seed=seed),
        baseline={"name": "random order", **chance},
    )


def own_rows(source: Source, index: Index) -> np.ndarray:
    """Return the gallery row of each query, (q,) int64; -1 for one that is not in the gallery.

    An image is the same if it is of the same data set and has the same name.
    """
    if source.dataset != index.about["dataset"]:
        return np.full(len(source), -1)
    names = names_of(source)
    order = np.argsort(index.filename, kind="stable")
    ordered = index.filename[order]
    first, end = (np.searchsorted(ordered, names, side) for side in ("left", "right"))
    if (twice := np.flatnonzero(end - first > 1)).size:
        raise InputError(
            f"{source.name}: {end[twice[0]] - first[twice[0]]} images of the gallery are called {names[twice[0]]}, so "
            "nobody can say which of them is the query"
        )
    return np.where(end > first, order[np.minimum(first, len(order) - 1)], -1)


def rank_gallery(
    query_qd: np.ndarray, gallery_gd: np.ndarray, metric: str, use: Callable[[slice, np.ndarray, np.ndarray], T]
) -> list[T]:
    """Rank the whole gallery for tiles of queries; return what `use(tile, order_tg, distance_tg)` makes of each tile.

    Distances ascend, and of equal ones the lower row comes first. `use` is called by several threads, with the gallery
    rows as int32 and their distances as float32.
    """
    gallery = jnp.asarray(gallery_gd)
    rows, sorted_rows = (max(1, at_once // len(gallery_gd)) for at_once in (_DISTANCES_AT_ONCE, _SORTED_AT_ONCE))
    found: list[T] = []
    with ThreadPoolExecutor(usable_cores()) as threads:
        for start in range(0, len(query_qd), rows):
            distance_rg = np.asarray(pairwise_distance(query_qd[start : start + rows], gallery, metric))

            def one_tile(first: int, start: int = start, distance_rg: np.ndarray = distance_rg) -> T:
                distance_tg = distance_rg[first : first + sorted_rows]
                return use(slice(start + first, start + first + len(distance_tg)), *ranked_rows(distance_tg))

            found += threads.map(one_tile, range(0, len(distance_rg), sorted_rows))
    return found


def ranked_rows(distance_tg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort each row; return `(order_tg int32, distance_tg float32)`, the lower column first among equal distances.

    One sort of integers with the distance in the upper bits and the column in the lower: the bits of floats that are
    not negative sort like the floats.
    """
    bits_tg = (distance_tg + np.float32(0)).view(np.uint32).astype(np.uint64)  # the sum makes -0.0 a 0.0
    key_tg = (bits_tg << np.uint64(32)) | np.arange(distance_tg.shape[1], dtype=np.uint64)
    key_tg.sort(1)
    return key_tg.astype(np.uint32).view(np.int32), (key_tg >> np.uint64(32)).astype(np.uint32).view(np.float32)


def without(value_tg: np.ndarray, place_t: np.ndarray, length: int, fill: float) -> np.ndarray:
    """Return the first `length` values of each row, or all, without the one at `place_t`; `fill` after the last.

    `place_t` is a rank from 0; g leaves none out.
    """
    g = value_tg.shape[1]
    column = np.arange(min(length, g))
    rank_tm = column + (column >= place_t[:, None])
    return np.where(rank_tm < g, np.take_along_axis(value_tg, np.minimum(rank_tm, g - 1), 1), value_tg.dtype.type(fill))


def example_searches(
    source: Source, index: Index, relevant_q: np.ndarray, ranked_qh: np.ndarray, distance_qh: np.ndarray
) -> dict[str, np.ndarray]:
    """Return pictures of a few queries and their first hits, as `evaluate` describes them.

    The queries are drawn from those with a relevant image, of as many classes as there are, with a seed of their own:
    every network and seed shows the same ones.
    """
    label, names = relevance(source)
    row = np.random.default_rng(0).permutation(np.flatnonzero(relevant_q))
    if label.ndim == 1:
        _, first = np.unique(label[row], return_index=True)
        row = np.concatenate([row[np.sort(first)], np.delete(row, first)])
    row = row[:EXAMPLES]
    hit_eh = ranked_qh[row]
    name, text = index.filename, ["; ".join(index.labels_of(hit)) for hit in hit_eh.ravel()]
    return {
        "row": row,
        "thumb_query": pictures(source, row),
        "name_query": names_of(source)[row],
        "label_query": np.array(["; ".join(label_names(one, names)) for one in label[row]], np.str_),
        "thumb_hit": index.thumbs(hit_eh.ravel()).reshape(*hit_eh.shape, *index.thumbs(row[:0]).shape[1:]),
        "name_hit": np.where(hit_eh < 0, "", name[np.maximum(hit_eh, 0)]),
        "label_hit": np.where(hit_eh < 0, "", np.array(text, np.str_).reshape(hit_eh.shape)),
        "relevant_hit": relevant_hits(label[row], index.label, hit_eh),
        "distance_hit": distance_qh[row],
    }


def relevant_hits(label_e: np.ndarray, gallery_label: np.ndarray, hit_eh: np.ndarray) -> np.ndarray:
    """Return which hits share the class (e,) or a label (e, k) of their query, (e, h) bool; False for the row -1."""
    own, others = label_e[:, None], gallery_label[np.maximum(hit_eh, 0)]
    alike = own == others if label_e.ndim == 1 else (own & others).any(-1)
    relevant: np.ndarray = alike & (hit_eh >= 0)
    return relevant
