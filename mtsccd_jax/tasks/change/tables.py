"""The table of change detection beside the paper's Table 7."""

from collections.abc import Sequence

from mtsccd_jax.report import text
from mtsccd_jax.report.published.tables import METHOD_NAMES
from mtsccd_jax.report.results import EMPTY, Column, baseline_column, metric_column, result_table, small_print
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, rows_of
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.tasks.mtsccd_paper import paper_accuracy, threshold_text


def change_table(runs: Sequence[Run]) -> Table:
    """Return the table of every change row; footnotes say why a published value of theirs is impossible."""
    caption = (
        "Change detection. Intervals are 95 %, from re-drawn test pairs at the fixed threshold; the second, where "
        "there is one, re-chooses the threshold on re-drawn validation pairs as well. From-to: the share of the "
        "changed pairs whose classes at both dates are named rightly. Paper: Table 7."
    )
    columns = (
        Column("Method and test set", lambda run, row: Cell(_method_and_split(row), small_print(run, row)), False),
        Column("Pairs", lambda run, row: Cell(f"{row.n:,}", (f"{sum(row.confusion[1]):,} changed",))),
        *map(metric_column, ("oa", "kappa", "f1", "precision", "recall", "transition")),
        Column("Threshold", lambda run, row: _threshold(row)),
        baseline_column("OA of all unchanged", "oa"),
        Column("Paper's OA", lambda run, row: paper_accuracy(row)),
        Column("Paper's kappa", lambda run, row: _paper_kappa(row)),
    )
    impossible = [
        f"Paper, {METHOD_NAMES[row.protocol]}, {row.published['model']}, {text.short_split(row.split, row.dataset)}: "
        f"{row.published.get('reason')}."
        for row in rows_of(runs, METHOD_NAMES)
        if row.published and not row.published.get("possible", True)
    ]
    return result_table("change", caption, columns, runs, tuple(METHOD_NAMES), tuple(dict.fromkeys(impossible)))


def _method_and_split(row: Row) -> str:
    return f"{METHOD_NAMES[row.protocol]}, {text.short_split(row.split, row.dataset)}"


def _threshold(row: Row) -> Cell:
    """Return the threshold, what it is the best by, where it was chosen, and the paper's."""
    notes = []
    if row.threshold is not None and row.objective:
        notes.append(f"best {text.metric_name(row.objective).lower()}")
    if row.threshold_from:
        notes.append({"validation": "on validation"}.get(row.threshold_from, "by cross-validation"))
    if (paper := text.published_of(row, "threshold")) is not None:
        notes.append(f"paper {text.number(paper)}, on its own scale")
    return Cell(threshold_text(row), tuple(notes))


def _paper_kappa(row: Row) -> Cell:
    """Return the paper's kappa, and whether it is possible."""
    if not row.published:
        return EMPTY
    note, kind = ("possible", "") if row.published.get("possible") else ("impossible", "bad")
    return Cell(text.number(row.published.get("kappa")), (note,), kind)
