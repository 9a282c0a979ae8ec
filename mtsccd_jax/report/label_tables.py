"""Tables of several labels an image and of searches: every row, every label, and the published values beside ours."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtsccd_jax.ops.multilabel import average_precision, figures
from mtsccd_jax.report import label_results, naming, words
from mtsccd_jax.report.label_results import Entry, Source
from mtsccd_jax.report.paper_tables import EMPTY, own_record, own_value
from mtsccd_jax.report.row_tables import metric_cell, result_table, small_print
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.words import NOT_KNOWN, Run

# The metrics that the table of rows shows, in its order; its records hold all.
_SHOWN = (
    "ap_macro",
    "ap_micro",
    "f1_macro",
    "f1_micro",
    "f1_samples",
    "f2_samples",
    "precision_samples",
    "recall_samples",
    "ranking_loss",
)
_MEANS = "macro: mean over labels; micro: over all decisions; samples: mean over images"


def label_table(runs: Sequence[Run]) -> Table:
    """Several labels an image: a line a row, mean and standard deviation of repetitions."""
    columns = (
        ("Data and network", False),
        ("Images", True),
        *((words.METRICS[name], True) for name in _SHOWN),
        ("Called from", True),
        ("Trivial AP macro", True),
        ("Trivial F1 samples", True),
    )

    def cells(run: Run, row: Row) -> list[Cell]:
        baseline = row.baseline or {}
        return [
            Cell(words.place(row), (*small_print(run, row), row.dataset.partition("/")[2].replace("_", " "))),
            Cell(f"{row.n:,}", (f"{len(row.class_names)} labels",)),
            *(metric_cell(row, name) for name in _SHOWN),
            _called_from(row),
            *(Cell(words.number(baseline.get(name))) for name in ("ap_macro", "f1_samples")),
        ]

    caption = (
        f"Several labels an image. AP is average precision, P precision, R recall ({_MEANS}). Intervals are 95 %, from "
        "re-drawn images at fixed thresholds; of rare labels those of AP lie high. Trivial: every label scored by its "
        "share of the images, and called where that is one half or more."
    )
    return result_table("labels", caption, columns, runs, ("multilabel",), cells, _SHOWN)


def retrieval_table(runs: Sequence[Run]) -> Table:
    """Searches: a line a row, mean and standard deviation of repetitions."""
    members = [row for run in runs for row in run.rows if row.protocol == "retrieval"]
    names = list(dict.fromkeys(name for row in members for name in row.metrics))
    at_k = [name for name in names if name.startswith("precision_at_")]
    at_k += [name for name in names if name.startswith("map_at_") and not name.endswith("_of_found")]
    shown = ("map", *at_k, "ndcg", "anmrr")
    columns = (
        ("Queries and network", False),
        ("Queries", True),
        *((words.metric_name(name), True) for name in shown),
        ("mAP of a random order", True),
    )

    def cells(run: Run, row: Row) -> list[Cell]:
        searched = f"searched in {words.gallery(row)}", f"{words.measure(row)} distance"
        return [
            Cell(words.place(row), (*small_print(run, row), *searched)),
            Cell(f"{row.n:,}"),
            *(metric_cell(row, name) for name in shown),
            Cell(words.number((row.baseline or {}).get("map"))),
        ]

    caption = (
        "Searches for images like a query: an image is relevant if it has the query's class or shares a label with it. "
        "mAP@k is over the most that k hits could give; of ANMRR (0 to 1) low is good. Intervals are 95 %, from "
        "re-drawn queries."
    )
    return result_table("retrieval", caption, columns, runs, ("retrieval",), cells, shown)


def by_label(label_nk: np.ndarray, probability_nk: np.ndarray, called_nk: np.ndarray) -> dict[str, np.ndarray]:
    """`{"share", "ap", "precision", "recall", "f1", "f2", "n"}` of every label, (k,) each.

    Args:
        label_nk: the truth, 0 and 1 or bool.
        probability_nk: finite.
        called_nk: bool.
    """
    label, called = label_nk.astype(bool), called_nk.astype(bool)
    tp = (label & called).sum(0)
    counted = figures(tp, called.sum(0) - tp, label.sum(0) - tp)
    ap_k, _ = average_precision(label, probability_nk)
    return {"n": label.sum(0), "share": label.mean(0), "ap": ap_k, **counted}


def labels_of_row_table(row: Row, values: dict[str, np.ndarray], who: str) -> Table:
    """Average precision, precision, recall, F1 and F2 of every label of a row, as `by_label` gives them.

    `who` is the network in words that tell it from the other rows.
    """
    columns = (
        ("Label", False),
        ("Images", True),
        ("Share", True),
        ("AP", True),
        ("Precision", True),
        ("Recall", True),
        ("F1", True),
        ("F2", True),
    )
    rows, records = [], []
    for k, name in enumerate(row.class_names):
        shares = {key: float(values[key][k]) for key in ("share", "ap", "precision", "recall", "f1", "f2")}
        n = int(values["n"][k])
        rows.append([Cell(words.class_name(name)), Cell(f"{n:,}"), *(Cell(words.number(v)) for v in shares.values())])
        records.append({"label": name, "n": n, **shares})
    caption = f"By label on {words.split_name(row.split, row.dataset)}, {who}."
    return Table(f"by_label_{row.split}_{row.id}", caption, columns, rows, records)


def published_tables(runs: Sequence[Run]) -> list[tuple[Source, Table]]:
    """A table for every source of which there are rows of the same data set: its values with ours beside them."""
    tables = []
    for source in label_results.SOURCES:
        ours = [
            repeats
            for run in runs
            for repeats in run.repeats
            if (repeats[0].protocol, repeats[0].split) == ("multilabel", "test")
            and repeats[0].dataset.partition("/")[0] == source.dataset
        ]
        if ours:
            tables.append((source, _published_table(source, ours)))
    return tables


def _published_table(source: Source, ours: Sequence[list[Row]]) -> Table:
    """The source's networks in its order with ours beside them, then those that only we have."""
    found = [_entry(repeats[0]) for repeats in ours]
    lines: list[tuple[Entry | None, list[Row]]] = []
    for entry in source.entries:
        own = [repeats for repeats, known in zip(ours, found, strict=True) if known is entry]
        lines += [(entry, repeats) for repeats in own] or [(entry, [])]
    lines += [(None, repeats) for repeats, known in zip(ours, found, strict=True) if known is None]
    alone = [repeats[0] for entry, repeats in lines if entry is None]
    names = dict(zip((row.id for row in alone), naming.rows_apart(alone, bands=True), strict=True))
    columns: list[tuple[str, bool]] = [("Network", False)]
    for name in source.metrics:
        columns += [(f"{words.METRICS[name]}: published", True), ("ours", True)]
    rows, records = [], []
    for published, repeats in lines:
        first = repeats[0] if repeats else None
        notes = [words.recipe_name(first)] if first else []
        notes += [published.note] if published and published.repeated else []
        notes += [f"best {words.METRICS[first.objective].lower()} on validation"] if first and first.objective else []
        title = published.model if published else words.network(repeats[0])
        shown = ", ".join(filter(None, (title, published.run))) if published else names[repeats[0].id]
        cells = [Cell(shown, tuple(notes))]
        record: dict[str, Any] = {"network": title, "published_run": published.run if published else None}
        record |= {"recipe": words.recipe_name(first) if first else None, "dataset": first.dataset if first else None}
        for name in source.metrics:
            value = published.metrics.get(name) if published else None
            cells += [Cell(f"{value:.4f}") if value is not None else EMPTY]
            cells += [own_value(repeats, name, words.four, words.number)]
            record |= {f"published_{name}": value, **own_record(repeats, "test", name)}
        rows.append(cells)
        records.append(record)
    caption = f"{source.name}, and ours beside it ({_MEANS}): the mean over seeds and the 95 % interval of one network."
    return Table(f"published_{source.dataset}", caption, tuple(columns), rows, records, footnotes=source.caveats)


def _entry(row: Row) -> Entry | None:
    """The published entry beside which a row stands."""
    return label_results.find(row.dataset, row.model, words.bands(row), words.width(row))


def _called_from(row: Row) -> Cell:
    """From which probability on the row calls a label."""
    if row.threshold_from is None:
        return Cell("0.5")
    best = words.METRICS.get(str(row.objective), NOT_KNOWN)
    return Cell("each its own", (f"best {best.lower()}", "on validation"))
