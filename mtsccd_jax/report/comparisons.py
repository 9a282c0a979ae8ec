"""Which differences hold: rows that judged the same examples, two by two.

McNemar's exact test asks whether one of two rows is right more often than the other on the examples where they differ;
its p-values are corrected by Holm's method over all pairs of rows of one test set. The difference in kappa to the best
row has a 95 % interval over re-drawn examples, the same ones for both.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.ops.paired_tests import mcnemar, paired_difference
from mtsccd_jax.report import words
from mtsccd_jax.report.rows import CHANGE, Row
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.words import NOT_KNOWN, Run

# A difference holds if its corrected p-value is below this.
LEVEL = 0.05

Predictions = Callable[[Row, tuple[str, ...]], dict[str, np.ndarray] | str]


@dataclass(frozen=True)
class Contender:
    """A row with its verdicts: the label that it is called by, truth and prediction of every example, (n,)."""

    label: str
    run: Run
    row: Row
    truth: np.ndarray
    predicted: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Where the prediction is the truth, (n,) bool."""
        return self.truth == self.predicted


def contests(runs: Sequence[Run], predictions: Predictions) -> list[list[Contender]]:
    """The rows that can be compared, best kappa first: two or more on the same examples of one split, by file names.

    Of repetitions the lowest seed takes part; validation, on which thresholds are chosen, is no place to compare.

    Args:
        runs: All runs.
        predictions: Gives the named arrays of a row's predictions, or a sentence on why there are none.
    """
    groups: dict[tuple[str, str, str], list[Contender]] = {}
    for run in runs:
        for repeats in run.repeats:
            row = repeats[0]
            if row.split in ("train", "validation") or row.protocol not in ("scene", *CHANGE):
                continue
            scene = row.protocol == "scene"
            names = ("filename",) if scene else ("filename_t1", "filename_t2")
            truth, predicted = ("label", "prediction") if scene else ("changed", "predicted")
            arrays = predictions(row, (truth, predicted, *names))
            if isinstance(arrays, str):
                continue
            examples = hashlib.sha256(b"\0".join(np.asarray(arrays[name]).astype(str).tobytes() for name in names))
            key = "scene" if scene else "change", row.split, examples.hexdigest()
            groups.setdefault(key, []).append(
                Contender("", run, row, arrays[truth].astype(np.int64), arrays[predicted].astype(np.int64))
            )
    return [named(sorted(group, key=_kappa, reverse=True)) for group in groups.values() if len(group) > 1]


def comparison_table(contenders: Sequence[Contender], where: str) -> Table:
    """Every row beside the best, in words, and the pairs of rows whose difference holds.

    Args:
        contenders: Of one contest.
        where: Its split in words.
    """
    first = contenders[0].row
    task = "scenes" if first.protocol == "scene" else "change"
    pairs = list(itertools.combinations(range(len(contenders)), 2))
    right = [contender.right for contender in contenders]
    tests = {pair: mcnemar(right[pair[0]], right[pair[1]]) for pair in pairs}
    corrected = dict(zip(pairs, holm([tests[pair].p_value for pair in pairs]), strict=True))

    def mark(i: int, j: int) -> Cell:
        if i == j:
            return Cell("")
        pair, test = (min(i, j), max(i, j)), tests[min(i, j), max(i, j)]
        if corrected[pair] >= LEVEL:
            return Cell("·")
        ahead = (test.only_a > test.only_b) == (i < j)
        return Cell("▲", kind="good") if ahead else Cell("▽", kind="bad")

    rows, records = [], []
    for i, contender in enumerate(contenders):
        oa, kappa = words.value_of(contender.row, "oa"), words.value_of(contender.row, "kappa")
        cells = [Cell(f"{i + 1}\u2002{contender.label}"), Cell(words.number(oa)), Cell(words.number(kappa))]
        record = {"rank": i + 1, "label": contender.label, "id": contender.row.id, "oa": oa, "kappa": kappa}
        if i == 0:
            cells += [Cell(NOT_KNOWN), Cell("the best by kappa")]
        else:
            classes = len(contender.row.class_names)
            best = contenders[0]
            gap = paired_difference(contender.truth, contender.predicted, best.predicted, classes=classes)
            cells += [
                Cell(words.number(gap.value), (f"[{words.number(gap.low)}, {words.number(gap.high)}]",)),
                Cell(_verdict(gap.low, gap.high)),
            ]
            record |= {"kappa_difference": gap.value, "low": gap.low, "high": gap.high}
            record |= {"p_holm_to_best": corrected[0, i]}
        rows.append(cells + [mark(i, j) for j in range(len(contenders))])
        records.append(record)
    columns = (
        ("Row", False),
        ("OA", True),
        ("Kappa", True),
        ("Kappa minus the best's", True),
        ("In words", False),
        *((str(j + 1), True) for j in range(len(contenders))),
    )
    held = sum(p < LEVEL for p in corrected.values())
    count = f"{len(pairs)} comparison{'s' * (len(pairs) != 1)}"
    caption = (
        f"{where}, {task}: {len(contenders)} rows on the same {first.n:,} examples. "
        f"▲ the row is right on more examples than the one of that number, ▽ on fewer; · no difference that holds"
        f"{'; where few pairs change, seldom saying “changed” is right on most' if task == 'change' else ''}. "
        f"McNemar's exact test, Holm-corrected over the {count} shown, of which {held} "
        f"hold{'s' * (held == 1)} at {LEVEL:g}. Kappa: paired bootstrap, 95 %, uncorrected; "
        "in words: worse or better than the best where that interval leaves out 0."
    )
    return Table(f"differences_{task}_{first.split}_{first.id}", caption, columns, rows, records)


def pair_table(contenders: Sequence[Contender], where: str) -> Table:
    """Every pair of rows: the examples that only one has right with McNemar's p, and the difference of their kappas.

    `where` is the split in words.
    """
    pairs = list(itertools.combinations(contenders, 2))
    tests = [mcnemar(a.right, b.right) for a, b in pairs]
    corrected = holm([test.p_value for test in tests])
    rows, records = [], []
    for (a, b), test, p in zip(pairs, tests, corrected, strict=True):
        gap = paired_difference(a.truth, a.predicted, b.predicted, classes=len(a.row.class_names))
        kappa = Cell(words.number(gap.value), (f"[{words.number(gap.low)}, {words.number(gap.high)}]",))
        only = Cell(f"{test.only_a:,}"), Cell(f"{test.only_b:,}")
        rows.append([Cell(a.label), Cell(b.label), *only, Cell(_p(p)), kappa])
        records.append(
            {
                "a": a.label,
                "b": b.label,
                "id_a": a.row.id,
                "id_b": b.row.id,
                "only_a_right": test.only_a,
                "only_b_right": test.only_b,
                "p": test.p_value,
                "p_holm": p,
                "holds": p < LEVEL,
                "kappa_difference": gap.value,
                "low": gap.low,
                "high": gap.high,
            }
        )
    columns = (
        ("A", False),
        ("B", False),
        ("Only A right", True),
        ("Only B right", True),
        ("p, corrected", True),
        ("Kappa, A minus B", True),
    )
    first = contenders[0].row
    task = "scenes" if first.protocol == "scene" else "change"
    caption = (
        f"All pairs of rows, {where}, {task}. p: McNemar's exact test, Holm-corrected. "
        "Kappa: paired bootstrap, 95 %, uncorrected."
    )
    return Table(f"pairs_{task}_{first.split}_{first.id}", caption, columns, rows, records)


def holm(p: Sequence[float]) -> list[float]:
    """The p-values corrected by Holm's step-down method, in the given order."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]


def named(contenders: list[Contender]) -> list[Contender]:
    """The same with labels that tell them apart: method and network, and the recipe where these are not enough."""
    labels = [_label(c.row) for c in contenders]
    for part in (
        lambda c: ", leak-free" if words.is_leak_free(c.row) else "",
        lambda c: f", best {c.row.objective}" if c.row.objective else "",
        lambda c: f", {c.run.name}",
    ):
        more = [part(c) if labels.count(label) > 1 else "" for c, label in zip(contenders, labels, strict=True)]
        labels = [label + text for label, text in zip(labels, more, strict=True)]
    return [dataclasses.replace(c, label=label) for c, label in zip(contenders, labels, strict=True)]


def _label(row: Row) -> str:
    network = words.network(row)
    return network if row.protocol == "scene" else f"{words.method_name(row.protocol)} {network}"


def _kappa(contender: Contender) -> float:
    value = words.value_of(contender.row, "kappa")
    return -np.inf if value is None else value


def _verdict(low: float, high: float) -> str:
    """What the interval of a kappa minus the best one says."""
    if high < 0:
        return "worse"
    return "better" if low > 0 else "not settled"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else words.number(value)
