"""Image retrieval: a gallery searched for the images most like a query, and how early those come that are alike.

Images are as far apart as their features. What is relevant to a query follows from labels: the same class or, where
images have several labels, at least one in common; how many is the graded relevance of NDCG (`ops.ranking` defines
every metric). A query that is in the gallery itself leaves its own list.

The whole gallery is ranked for every query, some queries at a time: searching 110,000 images for each of them takes a
GB or two beyond the features, where all distances would take 48.
"""

import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

from mtsccd_jax.data.bands import band_names
from mtsccd_jax.data.file_source import FileSource
from mtsccd_jax.data.patch_source import patch_source
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import usable_cores
from mtsccd_jax.engine.evaluate import embed
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.ops.distance import nearest_neighbors, pairwise_distance
from mtsccd_jax.ops.retrieval import (
    QueryFigures,
    joined,
    query_figures,
    random_order,
    relevant_counts,
    retrieval_intervals,
    retrieval_metrics,
)
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.text import class_name
from mtsccd_jax.tasks.feature_cache import Embedded
from mtsccd_jax.tasks.labels.evaluate import names_of
from mtsccd_jax.tasks.search.index import Index, label_names, open_index, relevance
from mtsccd_jax.tasks.search.photos import Search, Seen, search_sheet
from mtsccd_jax.tasks.write_row import Result, pictures, write_row

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Queries shown in the report, and the hits of each.
EXAMPLES = 8
HITS = 6
# Hits on the picture of a single search, which has them in one line.
SHOWN = 50
# Folder of the work directory with the pictures of single searches.
PICTURES_FOLDER = "retrieved"

_DISTANCES_AT_ONCE = 1 << 26  # queries x gallery, float32; bounds memory, not results
_SORTED_AT_ONCE = 1 << 22  # of them by each thread
_KEPT_RANKS = 1 << 20  # ranks of whole lists that are saved with a row


class _Part(NamedTuple):
    """What is kept of the lists of some queries: without the queries themselves, and -1 after the last."""

    figures: QueryFigures
    head_tm: np.ndarray  # the first gallery rows, int32
    distance_tm: np.ndarray  # theirs, float32
    whole_sg: np.ndarray  # the whole lists of those queries that are kept, int32


def evaluate_retrieval(passes: Embedded, split: str) -> Row:
    """The row of a search with every image of a split, written to the work directory of the network.

    The gallery, the metric and the cut-offs are those of `recipe.retrieval`. Every metric has its 95 % interval over
    re-drawn queries. Artefacts:

    - `queries`: of each query `filename`, `label` ((q,) int32, or (q, k) uint8), `relevant` (NG), `ap`, `ndcg` and
      `nmrr` (NaN where NG is 0), `itself` (its gallery row, -1 for none) and `ranked` (q, m) int32, its first hits in
      order, up to the longest cut-off at least, without itself, and -1 after the last; of the gallery `gallery_label`
      and `gallery_sha256`; and of a few queries, rows `whole_row` (s,), the whole lists `whole_ranked` (s, g) likewise.
    - `hits`: of EXAMPLES queries, chosen from the truth alone, `row` (e,), `thumb_query` (e, 96, 96, 3), `name_query`
      and `label_query` (e,); of the HITS first hits of each `thumb_hit` (e, h, 96, 96, 3), `name_hit`, `label_hit`,
      `relevant_hit` (bool) and `distance_hit` (e, h). Labels are names, joined by "; ". Where there are fewer hits:
      black, "", "", False and NaN.

    Raises:
        InputError: a split does not exist or has no labelled images, queries and gallery are labelled by other names,
            or the network has seen some of the queries in another data set.
    """
    trained, settings = passes.trained, passes.trained.recipe.retrieval
    if not settings.cutoffs or min(settings.cutoffs) < 1:
        raise InputError(f"retrieval.cutoffs={','.join(map(str, settings.cutoffs))}: give lengths of at least 1")
    cutoffs = tuple(sorted(set(settings.cutoffs)))
    passed = passes.queries(split)
    index: Index = passes.once(("index", settings.gallery), lambda: open_index(passes, settings.gallery))
    source = passed.source
    label, names = relevance(source)
    if names != index.names:
        raise InputError(
            f"{source.name}: the queries' labels ({len(names)}: {', '.join(names[:3])}, ...) are not the gallery's "
            f"({len(index.names)}: {', '.join(index.names[:3])}, ...)"
        )
    itself = own_rows(source, index)
    relevant = relevant_counts(label, index.label, itself)
    kept = np.sort(np.random.default_rng(0).permutation(len(label))[: max(1, _KEPT_RANKS // len(index))])
    head = max(*cutoffs, HITS)

    def measure(tile: slice, order_tg: np.ndarray, distance_tg: np.ndarray) -> _Part:
        figures = query_figures(
            order_tg,
            label[tile],
            index.label,
            cutoffs=cutoffs,
            itself_q=itself[tile],
            gain=settings.gain,
            largest_relevant=int(relevant.max()),
        )
        place_t = np.where(itself[tile] < 0, len(index), (order_tg == itself[tile, None]).argmax(1))
        some = kept[(kept >= tile.start) & (kept < tile.stop)] - tile.start
        return _Part(
            figures,
            without(order_tg, place_t, head, -1),
            without(distance_tg, place_t, head, np.nan),
            without(order_tg[some], place_t[some], len(index), -1),
        )

    parts = rank_gallery(passed.images["image"].features, index.features, settings.metric, measure)
    figures = joined([part.figures for part in parts])
    ranked, distance, whole = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    values = retrieval_metrics(figures)
    intervals = retrieval_intervals(figures, resamples=trained.recipe.evaluation.resamples, seed=trained.recipe.seed)
    if values["without_relevant"]:
        logger.info(f"{split}: {values['without_relevant']:,} of {len(figures):,} queries have no relevant image")
    result = Result(
        protocol="retrieval",
        split=split,
        metrics={
            name: {"value": values[name], "low": ends[0] if ends else None, "high": ends[1] if ends else None}
            for name, ends in intervals.items()
        },
        confusion=np.zeros((0, 0), np.int64),
        class_names=names,
        baseline={"name": "random order", **random_order(relevant, len(index) - (itself >= 0), cutoffs)},
        published=None,
        images_per_s=passed.images_per_s,
        started=passed.started,
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
    )
    return write_row(trained, source, result)


def own_rows(source: Source, index: Index) -> np.ndarray:
    """The gallery row of each query, (q,) int64; -1 for one that is not in the gallery.

    An image is the same where it is of the same data set and has the same name.

    Raises:
        InputError: two images of the gallery have the name of a query.
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
    """What `use(tile, order_tg, distance_tg)` makes of the whole gallery as ranked for some queries, for all in turn.

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
    """`(order_tg int32, distance_tg float32)`: the columns of each row by ascending distance, the lower among equals.

    One sort of integers that hold a distance above and its column below: the bits of floats that are not negative are
    in their own order.
    """
    bits_tg = (distance_tg + np.float32(0)).view(np.uint32).astype(np.uint64)  # the sum makes -0.0 a 0.0
    key_tg = (bits_tg << np.uint64(32)) | np.arange(distance_tg.shape[1], dtype=np.uint64)
    key_tg.sort(1)
    return key_tg.astype(np.uint32).view(np.int32), (key_tg >> np.uint64(32)).astype(np.uint32).view(np.float32)


def without(value_tg: np.ndarray, place_t: np.ndarray, length: int, fill: float) -> np.ndarray:
    """The first `length` values of each row, or all, without the one at `place_t`; `fill` after the last.

    Args:
        value_tg: a value for each rank.
        place_t: the rank that is left out, from 0; g for none.
        length: at least 1.
        fill: of the type of the values.
    """
    g = value_tg.shape[1]
    column = np.arange(min(length, g))
    rank_tm = column + (column >= place_t[:, None])
    return np.where(rank_tm < g, np.take_along_axis(value_tg, np.minimum(rank_tm, g - 1), 1), value_tg.dtype.type(fill))


def example_searches(
    source: Source, index: Index, relevant_q: np.ndarray, ranked_qh: np.ndarray, distance_qh: np.ndarray
) -> dict[str, np.ndarray]:
    """Pictures of a few queries and their first hits, as `evaluate_retrieval` describes them.

    The queries are drawn from those with a relevant image, of as many classes as there are, by a seed of their own:
    whatever the network and the seed of the run, they are the same.
    """
    label, names = relevance(source)
    row = np.random.default_rng(0).permutation(np.flatnonzero(relevant_q))
    if label.ndim == 1:
        _, first = np.unique(label[row], return_index=True)
        row = np.concatenate([row[np.sort(first)], np.delete(row, first)])
    row = row[:EXAMPLES]
    hit_eh = ranked_qh[row]
    own = label[row]
    gallery = index.label[np.maximum(hit_eh, 0)]
    alike = gallery == own[:, None] if label.ndim == 1 else (gallery & own[:, None]).any(-1)
    name, text = index.filename, ["; ".join(index.labels_of(hit)) for hit in hit_eh.ravel()]
    return {
        "row": row,
        "thumb_query": pictures(source, row),
        "name_query": names_of(source)[row],
        "label_query": np.array(["; ".join(label_names(one, names)) for one in own], np.str_),
        "thumb_hit": index.thumbs(hit_eh.ravel()).reshape(*hit_eh.shape, *index.thumbs(row[:0]).shape[1:]),
        "name_hit": np.where(hit_eh < 0, "", name[np.maximum(hit_eh, 0)]),
        "label_hit": np.where(hit_eh < 0, "", np.array(text, np.str_).reshape(hit_eh.shape)),
        "relevant_hit": alike & (hit_eh >= 0),
        "distance_hit": distance_qh[row],
    }


@dataclass(frozen=True)
class Hit:
    """An image of the gallery: its name, its class or labels, and how far it is from the query."""

    name: str
    labels: tuple[str, ...]
    distance: float


@dataclass(frozen=True)
class Retrieved:
    """What a search with one image found.

    Attributes:
        hits: the nearest first.
        searched: how many images the gallery has.
        picture: a PNG of the query and its first SHOWN hits, in the work directory.
    """

    hits: tuple[Hit, ...]
    searched: int
    picture: Path


def retrieve(passes: Embedded, query: Path, k: int) -> Retrieved:
    """The k images of the gallery that are nearest to an image file or a patch's folder, or all where there are fewer.

    Where the gallery is a folder and the query a file in it, it is left out.

    Raises:
        InputError: the query is not what the network sees, an image or a folder with its bands; or as `open_index`.
    """
    trained, settings = passes.trained, passes.trained.recipe.retrieval
    image = query_source(query, trained.recipe.data)
    features = embed(trained, image)[0]["image"].features
    index: Index = passes.once(("index", settings.gallery), lambda: open_index(passes, settings.gallery))
    itself = _row_in_folder(query, passes, index)
    searched = min(k + (itself >= 0), len(index))
    found = nearest_neighbors(features, index.features, searched, settings.metric)
    distance, row = (np.asarray(part)[0] for part in found)
    others = np.flatnonzero(row != itself)[:k]
    distance, row = distance[others], row[others]
    hits = tuple(
        Hit(str(index.filename[one]), index.labels_of(one), float(far)) for one, far in zip(row, distance, strict=True)
    )
    seen = tuple(
        Seen(thumb, "; ".join(map(class_name, hit.labels)), hit.distance)
        for thumb, hit in zip(index.thumbs(row[:SHOWN]), hits[:SHOWN], strict=True)
    )
    place = hashlib.sha256(str(query.resolve()).encode()).hexdigest()[:8]
    picture = trained.workdir / PICTURES_FOLDER / f"{query.stem}-{place}.png"
    with replacing(picture) as stream:
        stream.write(search_sheet([Search(Seen(pictures(image, np.arange(1))[0], query.name), seen)]))
    return Retrieved(hits, len(index), picture)


def query_source(query: Path, data: Data) -> Source:
    """The source with one image file as its only row or, where the network sees bands, the patch in a folder.

    Raises:
        InputError: there is no such file, or no folder with these bands.
    """
    if bands := band_names(data):
        return patch_source(query, bands)
    if not query.is_file():
        raise InputError(f"--query {query}: no such file; give an image")
    columns = {"filename": np.array([query.name])}
    return FileSource(str(query), "query", query.parent, {"image": [query.name]}, columns, image_size=data.image_size)


def _row_in_folder(query: Path, passes: Embedded, index: Index) -> int:
    """The row of the file that is the query, where the gallery is a folder that it lies in; else -1."""
    folder = passes.data.folder
    if folder is None or not query.resolve().is_relative_to(Path(folder).resolve()):
        return -1
    rows = np.flatnonzero(index.filename == query.resolve().relative_to(Path(folder).resolve()).as_posix())
    return int(rows[0]) if len(rows) else -1
