"""Which differences hold between networks that predict the labels of the same images.

Images are resampled, the same ones for every network, as `ops.multilabel_bootstrap.paired_differences` does for two
networks. A difference holds where its 95 % interval leaves out 0.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mtsccd_jax.ops.multilabel_bootstrap import bootstrap_metrics
from mtsccd_jax.ops.paired_tests import Difference
from mtsccd_jax.report import text
from mtsccd_jax.report.comparable import AHEAD, BEHIND, EVEN, Entry, contests, difference_table, pair_table
from mtsccd_jax.report.runs import Run
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.writer import Writer
from mtsccd_jax.tasks.labels.tables import names_apart

# What networks are compared by: the first orders them, and the matrix is of it.
METRICS = ("ap_macro", "f1_macro", "f1_micro", "f1_samples")


def label_contests(writer: Writer, runs: Sequence[Run]) -> list[list[Entry]]:
    """Return the rows that can be compared, the best first."""
    needed = ("probability", "threshold")
    found = contests(
        writer, runs, ["multilabel"], METRICS[0], truth="label", names=["filename"], needed=needed, metrics=METRICS
    )
    return [
        [replace(e, label=name) for e, name in zip(entries, names_apart([e.row for e in entries]), strict=True)]
        for entries in found
    ]


class Resampled:
    """The metrics of some rows on the same resampled images."""

    def __init__(self, entries: Sequence[Entry]):
        """Resample with the number of resamples and the seed of the first row of a contest."""
        self.entries = entries
        first = entries[0].row
        resamples = int((first.recipe.get("evaluation") or {}).get("resamples", 1000))
        self.drawn = [
            bootstrap_metrics(
                entry.arrays["label"],
                entry.arrays["probability"],
                entry.arrays["threshold"],
                metrics=METRICS,
                resamples=resamples,
                seed=first.seed,
            )
            for entry in entries
        ]

    def value(self, i: int, metric: str) -> float:
        """Return the metric of an entry."""
        return text.value_of(self.entries[i].row, metric) or 0.0

    def minus(self, i: int, j: int, metric: str) -> Difference:
        """Return the metric of an entry minus that of another, with its 95 % interval."""
        low, high = np.quantile(self.drawn[i][metric] - self.drawn[j][metric], [0.025, 0.975])
        return Difference(self.value(i, metric) - self.value(j, metric), float(low), float(high))


def label_tables(where: str, entries: Sequence[Entry]) -> tuple[Table, Table]:
    """Return the tables of differences and of pairs of one contest; `where` is the title of the split."""
    resampled = Resampled(entries)

    def record(i: int, j: int, metric: str) -> tuple[Difference, dict[str, float]]:
        gap = resampled.minus(i, j, metric)
        return gap, {f"{metric}_difference": gap.value, f"{metric}_low": gap.low, f"{metric}_high": gap.high}

    def beside_best(i: int) -> tuple[list[Cell], dict[str, Any]]:
        cells, values = [], {metric: resampled.value(i, metric) for metric in METRICS}
        record_of: dict[str, Any] = dict(values)
        for metric, value in values.items():
            gap, differences = record(i, 0, metric)
            note = f"{text.signed(gap.value)} {text.interval(gap.low, gap.high)}"
            cells.append(Cell(text.number(value), (note,) if i else ()))
            record_of |= differences if i else {}
        return cells, record_of

    def mark(i: int, j: int) -> Cell:
        gap = resampled.minus(i, j, METRICS[0])
        return AHEAD if gap.low > 0 else BEHIND if gap.high < 0 else EVEN

    def compare(i: int, j: int) -> tuple[list[Cell], dict[str, Any]]:
        cells, records = [], dict[str, Any]()
        for metric in METRICS:
            gap, differences = record(i, j, metric)
            cells.append(Cell(text.signed(gap.value), (text.interval(gap.low, gap.high),)))
            records |= differences
        return cells, records

    caption = (
        f"{where}, labels: {len(entries)} rows on the same {entries[0].row.n:,} images. Beneath each value: how "
        "far it is from the best row's, with the 95 % interval over resampled images, the same ones for both, "
        "uncorrected. ▲ the average precision is above that of the row of that number, ▽ below; · not settled."
    )
    columns = [(text.METRICS[metric], True) for metric in METRICS]
    pair_caption = f"All pairs of rows, {where}, labels. Paired bootstrap over images, 95 %, uncorrected."
    pair_columns = [(f"{title}, A minus B", True) for title, _ in columns]
    return (
        difference_table("labels", caption, entries, columns, beside_best, mark),
        pair_table("labels", pair_caption, entries, pair_columns, compare),
    )
