"""What can be compared: rows with published values, and rows on the same examples with each other.

For rows with one prediction an example, McNemar's exact test asks whether one of two rows is right more often than the
other on the examples where they differ; its p-values are corrected by Holm's method over all pairs of rows of one test
set. The difference in kappa to the best row has a 95 % interval over resampled examples, the same ones for both.
"""

import hashlib
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtsccd_jax.ops.paired_tests import mcnemar, paired_difference
from mtsccd_jax.report import text
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, network, repeats_of
from mtsccd_jax.report.sections import Block, Fold, Place, Section
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.text import NOT_KNOWN
from mtsccd_jax.report.unique_names import titles_apart
from mtsccd_jax.report.writer import Arrays, Writer

# A difference holds if its corrected p-value is below this.
LEVEL = 0.05

AHEAD, BEHIND, EVEN = Cell("▲", kind="good"), Cell("▽", kind="bad"), Cell("·")


@dataclass(frozen=True, eq=False)
class Entry:
    """A row that is compared with others: what tells it from them, its run, and its predictions."""

    label: str
    run: Run
    row: Row
    arrays: Arrays


def generated_note(rows: Sequence[Row]) -> str:
    """Say that a program has drawn the images; empty where it has drawn none."""
    drawn = sum(row.generated for row in rows)
    if not drawn:
        return ""
    which = "these rows" if drawn == len(rows) else f"{drawn} of these {len(rows)} rows"
    return (
        f"The images of {which} are drawn by a program: they show that everything runs, and say nothing of real ones."
    )


def orientation_note(rows: Sequence[Row], whose: str, published: str, own: str) -> str:
    """Say why values ("The paper's values") for `published` test sets are no comparison for rows on `own` ones."""
    what = f"drawn by a program, {own}" if any(row.generated for row in rows) else f"these hold {own}"
    return f"{whose} are for {published}; {what}. They stand here for orientation and are not a comparison."


def contests(
    writer: Writer,
    runs: Sequence[Run],
    protocols: Collection[str],
    metric: str,
    *,
    truth: str,
    names: Sequence[str],
    needed: Sequence[str],
    metrics: Sequence[str] = (),
) -> list[list[Entry]]:
    """Return the rows that can be compared: two or more on the same examples of one split, the best first.

    Of repetitions the lowest seed takes part. Validation takes no part, because thresholds are chosen on it.

    Args:
        writer: Reads the predictions.
        runs: All runs.
        protocols: Whose rows are compared.
        metric: What orders the rows; rows without it come last.
        truth: Array of the true classes or labels.
        names: Arrays of the examples' names; rows with the same names and truth have the same examples.
        needed: Further arrays that every entry holds.
        metrics: Metrics that a row must have to take part.
    """
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for run, (row, *_) in repeats_of(runs, protocols):
        if row.split in ("train", "validation") or any(text.value_of(row, name) is None for name in metrics):
            continue
        arrays = writer.artefact(row, "predictions", (truth, *needed, *names))
        if isinstance(arrays, str):
            continue
        content = [*(np.asarray(arrays[name]).astype(str) for name in names), arrays[truth].astype(np.int64)]
        examples = hashlib.sha256(b"\0".join(array.tobytes() for array in content)).hexdigest()
        groups.setdefault((text.archive(row), row.split, examples), []).append(Entry("", run, row, arrays))

    def value(entry: Entry) -> float:
        value = text.value_of(entry.row, metric)
        return -np.inf if value is None else value

    return [sorted(group, key=value, reverse=True) for group in groups.values() if len(group) > 1]


def labelled(entries: Sequence[Entry], titles: Mapping[str, str] | None = None) -> list[Entry]:
    """Return the entries with labels that tell them apart: title of the protocol, network, and more where needed."""
    labels = [" ".join(filter(None, ((titles or {}).get(e.row.protocol), network(e.row)))) for e in entries]
    for more in (
        [", leak-free" if text.is_leak_free(entry.row) else "" for entry in entries],
        [f", best {entry.row.objective}" if entry.row.objective else "" for entry in entries],
        [f", {entry.run.name}" for entry in entries],
    ):
        labels = [label + own if labels.count(label) > 1 else label for label, own in zip(labels, more, strict=True)]
    return [replace(entry, label=label) for entry, label in zip(entries, labels, strict=True)]


def differences_section(
    writer: Writer, found: Sequence[Sequence[Entry]], tables: Callable[[str, Sequence[Entry]], tuple[Table, Table]]
) -> Section:
    """Return the section on differences, a fold for each contest.

    `tables` makes the tables of differences and of pairs from the title of a split and its entries.
    """
    firsts = [entries[0].row for entries in found]
    titles = titles_apart([text.split_name(row.split, row.dataset) for row in firsts], firsts)
    folds = []
    for where, entries in zip(titles, found, strict=True):
        differences, pairs = tables(where, entries)
        writer.table(pairs)
        folds.append(Fold(differences.caption.split(":")[0], [Block("tables", [writer.table(differences)], "matrix")]))
    return Section(
        "differences",
        "Which differences hold",
        Place.DIFFERENCES,
        [Block("details", folds, "first open")],
        "Differences",
    )


def difference_table(
    what: str,
    caption: str,
    entries: Sequence[Entry],
    columns: Sequence[tuple[str, bool]],
    beside_best: Callable[[int], tuple[list[Cell], dict[str, Any]]],
    mark: Callable[[int, int], Cell],
) -> Table:
    """Return the table of every row beside the best, with a matrix of which of two rows is ahead.

    `beside_best` gives the cells and the record of an entry, `mark` of two entries `AHEAD`, `BEHIND` or `EVEN`.
    """
    rows, records = [], []
    for i, entry in enumerate(entries):
        cells, record = beside_best(i)
        marks = [Cell("") if i == j else mark(i, j) for j in range(len(entries))]
        rows.append([Cell(f"{i + 1}\u2002{entry.label}"), *cells, *marks])
        records.append({"rank": i + 1, "label": entry.label, "id": entry.row.id, **record})
    numbers = [(str(j + 1), True) for j in range(len(entries))]
    first = entries[0].row
    name = f"differences_{what}_{first.split}_{first.id}"
    return Table(name, caption, (("Row", False), *columns, *numbers), rows, records)


def pair_table(
    what: str,
    caption: str,
    entries: Sequence[Entry],
    columns: Sequence[tuple[str, bool]],
    compare: Callable[[int, int], tuple[list[Cell], dict[str, Any]]],
) -> Table:
    """Return the table of every pair of rows; `compare` gives the cells and the record of a pair."""
    rows, records = [], []
    for i, j in itertools.combinations(range(len(entries)), 2):
        a, b = entries[i], entries[j]
        cells, record = compare(i, j)
        rows.append([Cell(a.label), Cell(b.label), *cells])
        records.append({"a": a.label, "b": b.label, "id_a": a.row.id, "id_b": b.row.id, **record})
    first = entries[0].row
    name = f"pairs_{what}_{first.split}_{first.id}"
    return Table(name, caption, (("A", False), ("B", False), *columns), rows, records)


def kappa_tables(
    what: str, where: str, entries: Sequence[Entry], truth: str, predicted: str, note: str = ""
) -> tuple[Table, Table]:
    """Return the tables of differences and of pairs of rows with one prediction an example.

    `what` is compared ("scenes") on the split `where`; `truth` and `predicted` name arrays; `note` explains "right".
    """
    truth_n = entries[0].arrays[truth].astype(np.int64)
    predictions = [entry.arrays[predicted].astype(np.int64) for entry in entries]
    pairs = list(itertools.combinations(range(len(entries)), 2))
    tests = {(i, j): mcnemar(predictions[i] == truth_n, predictions[j] == truth_n) for i, j in pairs}
    corrected = dict(zip(pairs, holm([tests[pair].p_value for pair in pairs]), strict=True))
    classes = len(entries[0].row.class_names)

    def beside_best(i: int) -> tuple[list[Cell], dict[str, Any]]:
        oa, kappa = (text.value_of(entries[i].row, metric) for metric in ("oa", "kappa"))
        cells, record = [Cell(text.number(oa)), Cell(text.number(kappa))], {"oa": oa, "kappa": kappa}
        if i == 0:
            return [*cells, Cell(NOT_KNOWN), Cell("the best by kappa")], record
        gap = paired_difference(truth_n, predictions[i], predictions[0], classes=classes)
        in_words = "worse" if gap.high < 0 else "better" if gap.low > 0 else "not settled"
        record |= {"kappa_difference": gap.value, "low": gap.low, "high": gap.high, "p_holm_to_best": corrected[0, i]}
        return [*cells, Cell(text.number(gap.value), (text.interval(gap.low, gap.high),)), Cell(in_words)], record

    def mark(i: int, j: int) -> Cell:
        pair = min(i, j), max(i, j)
        if corrected[pair] >= LEVEL:
            return EVEN
        return AHEAD if (tests[pair].only_a > tests[pair].only_b) == (i < j) else BEHIND

    def compare(i: int, j: int) -> tuple[list[Cell], dict[str, Any]]:
        test, p = tests[i, j], corrected[i, j]
        gap = paired_difference(truth_n, predictions[i], predictions[j], classes=classes)
        cells = [Cell(f"{test.only_a:,}"), Cell(f"{test.only_b:,}"), Cell("< 0.001" if p < 0.001 else text.number(p))]
        record = {"only_a_right": test.only_a, "only_b_right": test.only_b, "p": test.p_value, "p_holm": p}
        record |= {"holds": p < LEVEL, "kappa_difference": gap.value, "low": gap.low, "high": gap.high}
        return [*cells, Cell(text.number(gap.value), (text.interval(gap.low, gap.high),))], record

    held = sum(p < LEVEL for p in corrected.values())
    caption = (
        f"{where}, {what}: {len(entries)} rows on the same {entries[0].row.n:,} examples. "
        "▲ the row is right on more examples than the one of that number, ▽ on fewer; · no difference that holds"
        f"{note}. "
        f"McNemar's exact test, Holm-corrected over the {text.plural(len(pairs), 'comparison')} shown, of which {held} "
        f"hold{'s' * (held == 1)} at {LEVEL:g}. Kappa: paired bootstrap, 95 %, uncorrected; "
        "in words: worse or better than the best where that interval leaves out 0."
    )
    columns = (("OA", True), ("Kappa", True), ("Kappa minus the best's", True), ("In words", False))
    pair_caption = (
        f"All pairs of rows, {where}, {what}. p: McNemar's exact test, Holm-corrected. "
        "Kappa: paired bootstrap, 95 %, uncorrected."
    )
    pair_columns = (("Only A right", True), ("Only B right", True), ("p, corrected", True), ("Kappa, A minus B", True))
    return (
        difference_table(what, caption, entries, columns, beside_best, mark),
        pair_table(what, pair_caption, entries, pair_columns, compare),
    )


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's step-down method; they stay in the given order."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]
