"""The page on image search: results, and queries with their first hits."""

from collections.abc import Iterator, Sequence

import numpy as np

from mtsccd_jax.report import results, text
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, repeats_of, shown
from mtsccd_jax.report.sections import (
    Block,
    Figures,
    Fold,
    Folds,
    Heading,
    Place,
    Protocol,
    Section,
    Tables,
    TaskReport,
    Text,
    fragment,
)
from mtsccd_jax.report.summary import beside_trivial, estimate
from mtsccd_jax.report.unique_names import rows_apart
from mtsccd_jax.report.writer import Arrays, Writer
from mtsccd_jax.tasks.search.photos import Search, Seen, search_sheet
from mtsccd_jax.tasks.search.tables import gallery, retrieval_table

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
    blocks: list[Block] = [
        Tables([writer.table(retrieval_table(runs))], "results", folded=True),
        Figures(results.charts_by_archive(writer, members, _CHARTS, "retrieval")),
        Heading("Queries and their first hits"),
        Text(
            "Queries are drawn from the truth alone, hits stand nearest first with their distance. ✓ relevant: the "
            "query's class, or a label in common; ✕ not."
        ),
        Folds(search_folds(writer, runs), first_open=True),
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
            folds.append(Fold(title, [Text(f"Not shown. {hits}", "missing")]))
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


REPORT = TaskReport(
    subject="Images",
    topics=("retrieval",),
    protocols=(Protocol("retrieval", "Retrieval", "Retrieval, mAP", "map", sentence, row_settings="retrieval"),),
    sections=(search_section,),
)
