"""The table of image searches."""

from collections.abc import Sequence
from typing import Any

from mtsccd_jax.report import text
from mtsccd_jax.report.results import Column, baseline_column, metric_column, result_table, small_print
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, rows_of
from mtsccd_jax.report.tables import Cell, Table


def retrieval_table(runs: Sequence[Run]) -> Table:
    """Return the table of every search."""
    names = dict.fromkeys(name for row in rows_of(runs, ["retrieval"]) for name in row.metrics)
    at_k = [name for name in names if name.startswith("precision_at_")]
    at_k += [name for name in names if name.startswith("map_at_") and not name.endswith("_of_found")]

    def first(run: Run, row: Row) -> Cell:
        searched = f"searched in {gallery(row)}", f"{_measure(row)} distance"
        return Cell(text.place(row), (*small_print(run, row), *searched))

    columns = (
        Column("Queries and network", first, False),
        Column("Queries", lambda run, row: Cell(f"{row.n:,}")),
        *map(metric_column, ("map", *at_k, "ndcg", "anmrr")),
        baseline_column("mAP of a random order", "map"),
    )
    caption = (
        "Searches for images like a query: an image is relevant if it has the query's class or shares a label with it. "
        "mAP@k is over the most that k hits could give; of ANMRR (0 to 1) low is good. Intervals are 95 %, from "
        "re-drawn queries."
    )
    return result_table("retrieval", caption, columns, runs, ("retrieval",))


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
