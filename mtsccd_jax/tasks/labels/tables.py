"""Tables of several labels an image: every row, every label of a row, and published values beside ours."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtsccd_jax.ops.multilabel import average_precision, figures
from mtsccd_jax.report import text
from mtsccd_jax.report.published.labels import SOURCES, Entry, Source, find
from mtsccd_jax.report.results import EMPTY, Column, baseline_column, metric_column, own_record, own_value, result_table
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, bands, network, recipe_name, repeats_of, width
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.unique_names import rows_apart

# The metrics of the table of rows, in its order; its records hold all metrics.
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
    """Return the table of every row with several labels an image."""
    caption = (
        f"Several labels an image. AP is average precision, P precision, R recall ({_MEANS}). Intervals are 95 %, from "
        "resampled images at fixed thresholds; of rare labels those of AP lie high. Trivial: every label scored by its "
        "share of the images, and predicted where that is one half or more."
    )

    first = Column(
        "Data and network", lambda row: Cell(text.place(row), (row.dataset.partition("/")[2].replace("_", " "),))
    )
    columns = (
        Column("Images", lambda row: Cell(f"{row.n:,}", (f"{len(row.class_names)} labels",))),
        *map(metric_column, _SHOWN),
        Column("Predicted from", _threshold),
        baseline_column("Trivial AP macro", "ap_macro"),
        baseline_column("Trivial F1 samples", "f1_samples"),
    )
    return result_table("labels", caption, first, columns, runs, ["multilabel"])


def names_apart(rows: Sequence[Row], *, bands: bool = False) -> list[str]:
    """Return names of rows as `rows_apart` does; without an objective labels are predicted from 0.5 on."""
    return rows_apart(rows, bands=bands, without_objective="from 0.5")


def by_label(label_nk: np.ndarray, probability_nk: np.ndarray, predicted_nk: np.ndarray) -> dict[str, np.ndarray]:
    """Return `{"n", "share", "ap", "precision", "recall", "f1", "f2"}` of every label, (k,) each."""
    label, predicted = label_nk.astype(bool), predicted_nk.astype(bool)
    tp = (label & predicted).sum(0)
    counted = figures(tp, predicted.sum(0) - tp, label.sum(0) - tp)
    ap_k, _ = average_precision(label, probability_nk)
    return {"n": label.sum(0), "share": label.mean(0), "ap": ap_k, **counted}


def labels_of_row_table(row: Row, values: dict[str, np.ndarray], who: str) -> Table:
    """Return the table of every label of a row, with the values of `by_label`; `who` names the row."""
    titles = {"share": "Share", "ap": "AP", "precision": "Precision", "recall": "Recall", "f1": "F1", "f2": "F2"}
    rows, records = [], []
    for k, name in enumerate(row.class_names):
        shares = {key: float(values[key][k]) for key in titles}
        n = int(values["n"][k])
        rows.append([Cell(text.class_name(name)), Cell(f"{n:,}"), *(Cell(text.number(v)) for v in shares.values())])
        records.append({"label": name, "n": n, **shares})
    columns = (("Label", False), ("Images", True), *((title, True) for title in titles.values()))
    caption = f"By label on {text.split_name(row.split, row.dataset)}, {who}."
    return Table(f"by_label_{row.split}_{row.id}", caption, columns, rows, records)


def published_tables(runs: Sequence[Run]) -> Iterator[tuple[Source, Table]]:
    """Yield of every source with rows on its data set: the source, and its values with ours beside them."""
    for source in SOURCES:
        ours = [
            repeats
            for _, repeats in repeats_of(runs, ["multilabel"])
            if repeats[0].split == "test" and text.archive(repeats[0]) == source.dataset
        ]
        if ours:
            yield source, _published_table(source, ours)


def _published_table(source: Source, ours: Sequence[tuple[Row, ...]]) -> Table:
    """Return the source's networks in its order with ours beside them, then those that only we have."""
    found = [find(first.dataset, first.model, bands(first), width(first)) for first, *_ in ours]
    lines: list[tuple[Entry | None, tuple[Row, ...]]] = []
    for entry in source.entries:
        own = [repeats for repeats, known in zip(ours, found, strict=True) if known is entry]
        lines += [(entry, repeats) for repeats in own] or [(entry, ())]
    alone = [repeats for repeats, known in zip(ours, found, strict=True) if known is None]
    lines += [(None, repeats) for repeats in alone]
    first_rows = [first for first, *_ in alone]
    names = dict(zip((row.id for row in first_rows), names_apart(first_rows, bands=True), strict=True))
    columns: list[tuple[str, bool]] = [("Network", False)]
    for metric in source.metrics:
        columns += [(f"{text.METRICS[metric]}: published", True), ("ours", True)]
    rows, records = [], []
    for published, repeats in lines:
        first = repeats[0] if repeats else None
        title = published.model if published else network(repeats[0])
        shown = ", ".join(filter(None, (title, published.run))) if published else names[repeats[0].id]
        cells = [Cell(shown, _notes(published, first))]
        record: dict[str, Any] = {"network": title, "published_run": published.run if published else None}
        record |= {"recipe": recipe_name(first) if first else None, "dataset": first.dataset if first else None}
        for metric in source.metrics:
            value = published.metrics.get(metric) if published else None
            cells += [EMPTY if value is None else Cell(text.four(value)), own_value(repeats, metric)]
            record |= {f"published_{metric}": value, **own_record(repeats, "test", metric)}
        rows.append(cells)
        records.append(record)
    caption = f"{source.name}, and ours beside it ({_MEANS}): the mean over seeds and the 95 % interval of one network."
    return Table(f"published_{source.dataset}", caption, tuple(columns), rows, records, footnotes=source.caveats)


def _notes(published: Entry | None, first: Row | None) -> tuple[str, ...]:
    """Return the small print of a line: our recipe and thresholds, and what is special about the published entry."""
    notes = [recipe_name(first)] if first else []
    notes += [published.note] if published and published.repeated else []
    if first and first.objective:
        notes.append(f"best {text.METRICS[first.objective].lower()} on validation")
    return tuple(notes)


def _threshold(row: Row) -> Cell:
    """Return the probability from which on the row predicts a label."""
    if row.threshold_from is None:
        return Cell("0.5")
    best = text.METRICS.get(str(row.objective), text.NOT_KNOWN)
    return Cell("each its own", (f"best {best.lower()}", "on validation"))
