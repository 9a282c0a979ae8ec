"""The page on image search: results, and queries with their first hits."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtsccd_jax.report import results, text
from mtsccd_jax.report.results import Column, baseline_column, metric_column, result_table
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, repeats_of, rows_of, shown
from mtsccd_jax.report.sections import Block, Fold, Place, Protocol, Section, TaskReport, fragment
from mtsccd_jax.report.summary import beside_trivial, estimate
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.unique_names import rows_apart
from mtsccd_jax.report.writer import Arrays, Writer
from mtsccd_jax.tasks.search.definitions import DEFINITIONS
from mtsccd_jax.tasks.search.photos import Search, Seen, search_sheet

# (metric, what it is, axis) of the charts of rows.
_CHARTS = (
    ("map", "mean average precision", "mAP (0 to 1)"),
    ("anmrr", "rank of what is relevant", "ANMRR (0 to 1, low is good)"),
)
_HITS = (
    "thumb_query",
    "name_query",
    "label_query",
    "thumb_hit",
    "name_hit",
    "label_hit",
    "relevant_hit",
    "distance_hit",
)


def sentence(rows: Sequence[Row]) -> str:
    """Say what repetitions of one search show."""
    row, (value, spread) = rows[0], estimate(rows, "map")
    said = f"{text.place(row)}, {row.n:,} queries in {gallery(row)}: mAP {text.number(value)} ({spread})"
    known = [k for k in (10, 5, 1) if text.value_of(row, f"precision_at_{k}") is not None]
    for k in known[:1]:
        share = text.percent(estimate(rows, f"precision_at_{k}")[0])
        said += f"; {share} of the first {f'{k} hits' if k > 1 else 'hits'} are relevant"
    return f"{said}." + beside_trivial(rows, "map", "A random order would give")


def search_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield every row, charts of them, and queries with their first hits."""
    members = shown(runs, ["retrieval"])
    blocks = [
        Block("long tables", [writer.table(retrieval_table(runs))], "results"),
        Block("figures", results.charts_by_archive(writer, members, _CHARTS, "retrieval")),
        Block("heading", "Queries and their first hits"),
        Block(
            "prose",
            "Queries are drawn from the truth alone, hits stand nearest first with their distance. ✓ relevant: the "
            "query's class, or a label in common; ✕ not.",
        ),
        Block("details", search_folds(writer, runs), "first open"),
    ]
    yield Section("retrieval", "Retrieval", Place.RESULTS, blocks, "Retrieval")


def search_folds(writer: Writer, runs: Sequence[Run]) -> list[Fold]:
    """Return the queries of every search with their first hits; of repetitions the lowest seed's."""
    members = [row for _, (row, *_) in repeats_of(runs, ["retrieval"])]
    names: dict[str, str] = {}
    for place in dict.fromkeys(map(text.place, members)):
        own = [row for row in members if text.place(row) == place]
        names |= dict(zip((row.id for row in own), rows_apart(own), strict=True))
    folds = []
    for row in members:
        title, hits = f"{text.place(row)}, {names[row.id]}", writer.artefact(row, "hits", _HITS)
        if isinstance(hits, str):
            folds.append(Fold(title, [Block("missing", f"Not shown. {hits}")]))
            continue
        found = [search_of(hits, query) for query in range(len(hits["name_query"]))]
        writer.picture(f"hits_{row.split}_{row.id}", search_sheet(found))
        folds.append(Fold(title, [fragment(__package__, "hits.html", searches=found)]))
    return folds


def search_of(hits: Arrays, query: int) -> Search:
    """Return one query of a `hits` artefact with its hits; a list that ended early has fewer."""
    there = [place for place, name in enumerate(hits["name_hit"][query]) if str(name)]
    return Search(
        Seen(np.asarray(hits["thumb_query"][query], np.uint8), text.class_name(str(hits["label_query"][query]))),
        tuple(
            Seen(
                np.asarray(hits["thumb_hit"][query, place], np.uint8),
                text.class_name(str(hits["label_hit"][query, place])),
                float(hits["distance_hit"][query, place]),
                bool(hits["relevant_hit"][query, place]),
            )
            for place in there
        ),
    )


def retrieval_table(runs: Sequence[Run]) -> Table:
    """Return the table of every search."""
    names = dict.fromkeys(name for row in rows_of(runs, ["retrieval"]) for name in row.metrics)
    at_k = [name for name in names if name.startswith("precision_at_")]
    at_k += [name for name in names if name.startswith("map_at_") and not name.endswith("_of_found")]

    first = Column(
        "Queries and network",
        lambda row: Cell(text.place(row), (f"searched in {gallery(row)}", f"{_measure(row)} distance")),
    )
    columns = (
        Column("Queries", lambda row: Cell(f"{row.n:,}")),
        *map(metric_column, ("map", *at_k, "ndcg", "anmrr")),
        baseline_column("mAP of a random order", "map"),
    )
    caption = (
        "Searches for images like a query: an image is relevant if it has the query's class or shares a label with it. "
        "All are means over queries. mAP@k is over the most that k hits could give; of ANMRR (0 to 1) low is good. "
        "Intervals are 95 %, from resampled queries."
    )
    return result_table("retrieval", caption, first, columns, runs, ["retrieval"])


def gallery(row: Row) -> str:
    """Return the split that is searched, in words."""
    split = str(_settings(row).get("gallery", "an unnamed gallery"))
    return text.short_split(split, row.dataset if row.dataset.startswith("mtsccd") else "")


def _measure(row: Row) -> str:
    """Return the distance of the search: "cosine" or "Euclidean"."""
    metric = str(_settings(row).get("metric", text.NOT_KNOWN))
    return {"euclidean": "Euclidean"}.get(metric, metric)


def _settings(row: Row) -> dict[str, Any]:
    return row.recipe.get("retrieval") or {}


REPORT = TaskReport(
    subject="Images",
    topics=("retrieval",),
    protocols=(Protocol("retrieval", "Retrieval", "Retrieval, mAP", "map", sentence, row_settings="retrieval"),),
    sections=(search_section,),
    definitions=DEFINITIONS,
)
