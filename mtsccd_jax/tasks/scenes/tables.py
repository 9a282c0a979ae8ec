"""Tables of scene classification: every row beside the paper's Table 6, and the classes of one row."""

from collections.abc import Sequence

import numpy as np

from mtsccd_jax.ops.metrics import precision_recall_f1
from mtsccd_jax.report import text
from mtsccd_jax.report.results import Column, baseline_column, metric_column, result_table, small_print
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.tasks.mtsccd_paper import is_comparable, paper_accuracy


def scene_table(runs: Sequence[Run]) -> Table:
    """Return the table of every scene row."""
    caption = (
        "Scene classification. Intervals are 95 %, from re-drawn test scenes. "
        "Trivial: always naming the most frequent class. Paper: Table 6."
    )
    columns = (
        Column(
            "Test set", lambda run, row: Cell(text.short_split(row.split, row.dataset), small_print(run, row)), False
        ),
        Column("Scenes", lambda run, row: Cell(f"{row.n:,}")),
        metric_column("oa"),
        metric_column("kappa"),
        metric_column("balanced"),
        metric_column("f1", "Mean F1"),
        baseline_column("Trivial OA", "oa"),
        Column("Paper's OA", lambda run, row: paper_accuracy(row)),
        Column("Difference", lambda run, row: Cell(text.signed(_difference(row)))),
    )
    return result_table("scene", caption, columns, runs, ("scene",))


def class_table(row: Row) -> Table:
    """Return the table of precision, recall and F1 of every class of a scene row."""
    precision_k, recall_k, f1_k = precision_recall_f1(np.asarray(row.confusion))
    shorts = text.short_class_names(row.class_names)
    rows, records = [], []
    for i, name in enumerate(row.class_names):
        values = {"precision": float(precision_k[i]), "recall": float(recall_k[i]), "f1": float(f1_k[i])}
        n, title = sum(row.confusion[i]), text.class_name(name)
        named = title if shorts[i].lower() == title.lower() else f"{title} ({shorts[i]})"
        rows.append([Cell(named), Cell(f"{n:,}"), *(Cell(text.number(value)) for value in values.values())])
        records.append({"class": name, "n": n, **values})
    columns = (("Class", False), ("Scenes", True), ("Precision", True), ("Recall", True), ("F1", True))
    where = text.split_name(row.split, row.dataset)
    return Table(f"classes_{row.split}_{row.id}", f"By class on {where}.", columns, rows, records)


def _difference(row: Row) -> float | None:
    """Return the overall accuracy minus the paper's, where they are of as many scenes."""
    oa, paper = text.value_of(row, "oa"), text.published_of(row, "oa")
    return oa - paper if oa is not None and paper is not None and is_comparable(row) else None
