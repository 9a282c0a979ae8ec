"""Which differences hold between networks that named the labels of the same images.

Images are re-drawn, the same ones for every network: what `ops.multilabel_bootstrap.paired_differences` draws for two
networks is drawn here once for each of several. A difference holds where its 95 % interval leaves out 0.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtsccd_jax.ops.multilabel_bootstrap import bootstrap_metrics
from mtsccd_jax.ops.paired_tests import Difference
from mtsccd_jax.report import naming, words
from mtsccd_jax.report.comparisons import Predictions
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.words import Run

# What networks are compared by: the first orders them, and the matrix is of it.
METRICS = ("ap_macro", "f1_macro", "f1_micro", "f1_samples")
_NEEDED = ("label", "probability", "threshold", "filename")


@dataclass(frozen=True, eq=False)
class Contender:
    """A row and the metrics of its re-drawn images.

    Attributes:
        label: What it is called by.
        row: The row.
        value: Metric -> its value.
        drawn: Metric -> (resamples,), on the same images for all contenders of a contest.
    """

    label: str
    row: Row
    value: dict[str, float]
    drawn: dict[str, np.ndarray]

    def minus(self, other: "Contender", metric: str) -> Difference:
        """The metric of this row minus that of another, with its 95 % interval."""
        low, high = np.quantile(self.drawn[metric] - other.drawn[metric], [0.025, 0.975])
        return Difference(self.value[metric] - other.value[metric], float(low), float(high))


def contests(runs: Sequence[Run], predictions: Predictions) -> list[list[Contender]]:
    """The rows that can be compared, best average precision first: two or more on the same images of one split.

    Of repetitions the lowest seed takes part; validation, on which thresholds are chosen, is no place to compare.

    Args:
        runs: All runs.
        predictions: Gives the named arrays of a row's predictions, or a sentence on why there are none.
    """
    groups: dict[tuple[str, str, str], list[tuple[Row, dict[str, np.ndarray]]]] = {}
    for run in runs:
        for repeats in run.repeats:
            row = repeats[0]
            if row.protocol != "multilabel" or row.split in ("train", "validation"):
                continue
            arrays = predictions(row, _NEEDED)
            if isinstance(arrays, str) or any(words.value_of(row, metric) is None for metric in METRICS):
                continue
            names, label = np.asarray(arrays["filename"]).astype(str), arrays["label"].astype(np.uint8)
            examples = hashlib.sha256(names.tobytes() + b"\0" + label.tobytes()).hexdigest()
            groups.setdefault((row.dataset.partition("/")[0], row.split, examples), []).append((row, arrays))
    return [_contest(group) for group in groups.values() if len(group) > 1]


def _contest(group: Sequence[tuple[Row, dict[str, np.ndarray]]]) -> list[Contender]:
    """The rows of one contest with what is drawn for them: by the first row's resamples and seed."""
    first = group[0][0]
    resamples = int((first.recipe.get("evaluation") or {}).get("resamples", 1000))
    found = []
    for name, (row, arrays) in zip(naming.rows_apart([row for row, _ in group]), group, strict=True):
        drawn = bootstrap_metrics(
            arrays["label"],
            arrays["probability"],
            arrays["threshold"],
            metrics=METRICS,
            resamples=resamples,
            seed=first.seed,
        )
        value = {metric: row.metrics[metric]["value"] or 0.0 for metric in METRICS}
        found.append(Contender(name, row, value, drawn))
    return sorted(found, key=lambda contender: -contender.value[METRICS[0]])


def comparison_table(contenders: Sequence[Contender], where: str) -> Table:
    """Every row beside the best, and which of any two reaches the higher average precision.

    Args:
        contenders: Of one contest.
        where: Its split in words.
    """

    def mark(i: int, j: int) -> Cell:
        if i == j:
            return Cell("")
        gap = contenders[i].minus(contenders[j], METRICS[0])
        if gap.low > 0:
            return Cell("▲", kind="good")
        return Cell("▽", kind="bad") if gap.high < 0 else Cell("·")

    best, rows, records = contenders[0], [], []
    for i, contender in enumerate(contenders):
        cells = [Cell(f"{i + 1}\u2002{contender.label}")]
        record = {"rank": i + 1, "label": contender.label, "id": contender.row.id, **contender.value}
        for metric in METRICS:
            gap = contender.minus(best, metric)
            minus = f"{_signed(gap.value)} [{words.number(gap.low)}, {words.number(gap.high)}]"
            cells.append(Cell(words.number(contender.value[metric]), (minus,) if i else ()))
            if i:
                names = (f"{metric}_difference", f"{metric}_low", f"{metric}_high")
                record |= dict(zip(names, gap, strict=True))
        rows.append(cells + [mark(i, j) for j in range(len(contenders))])
        records.append(record)
    columns = (
        ("Row", False),
        *((words.METRICS[metric], True) for metric in METRICS),
        *((str(j + 1), True) for j in range(len(contenders))),
    )
    first = best.row
    caption = (
        f"{where}, labels: {len(contenders)} rows on the same {first.n:,} images. Beneath each value: how "
        "far it is from the best row's, with the 95 % interval over re-drawn images, the same ones for both, "
        "uncorrected. ▲ the average precision is above that of the row of that number, ▽ below; · not settled."
    )
    return Table(f"differences_labels_{first.split}_{first.id}", caption, columns, rows, records)


def pair_table(contenders: Sequence[Contender], where: str) -> Table:
    """Every pair of rows: the differences of their metrics; `where` is the split in words."""
    rows, records = [], []
    for a, b in itertools.combinations(contenders, 2):
        cells = [Cell(a.label), Cell(b.label)]
        record: dict[str, Any] = {"a": a.label, "b": b.label, "id_a": a.row.id, "id_b": b.row.id}
        for metric in METRICS:
            gap = a.minus(b, metric)
            cells.append(Cell(_signed(gap.value), (f"[{words.number(gap.low)}, {words.number(gap.high)}]",)))
            record |= {f"{metric}_difference": gap.value, f"{metric}_low": gap.low, f"{metric}_high": gap.high}
        rows.append(cells)
        records.append(record)
    columns = (("A", False), ("B", False), *((f"{words.METRICS[metric]}, A minus B", True) for metric in METRICS))
    first = contenders[0].row
    caption = f"All pairs of rows, {where}, labels. Paired bootstrap over images, 95 %, uncorrected."
    return Table(f"pairs_labels_{first.split}_{first.id}", caption, columns, rows, records)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
