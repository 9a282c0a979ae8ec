"""From which class to which: the true transitions of a split beside the predicted ones (the paper's Table 5)."""

from collections.abc import Sequence

import numpy as np

from mtsccd_jax.report import results, text
from mtsccd_jax.report.pictures.charts import confusion
from mtsccd_jax.report.published.tables import METHOD_NAMES
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, shown
from mtsccd_jax.report.sections import Block, Figure, Fold
from mtsccd_jax.report.unique_names import network_among
from mtsccd_jax.report.writer import Arrays, Writer
from tfds_builders.mtsccd.tables import TABLE_5

_TRUE, _PREDICTED = ("label_t1", "label_t2"), ("prediction_t1", "prediction_t2")


def transition_folds(writer: Writer, runs: Sequence[Run]) -> list[Fold]:
    """Return the transitions of every split: the true ones, and those that each row predicts.

    A row without the metric names other classes than the labels', so there is nothing to set beside the truth.
    """
    by_split: dict[tuple[str, str], list[tuple[Row, Arrays]]] = {}
    for row in shown(runs, METHOD_NAMES):
        if "transition" in row.metrics:
            arrays = writer.artefact(row, "predictions", (*_TRUE, *_PREDICTED))
            if not isinstance(arrays, str):
                by_split.setdefault((row.dataset, row.split), []).append((row, arrays))
    folds = []
    if any(dataset.startswith("mtsccd_") for dataset, _ in by_split):
        drawn = _draw(writer, "transitions_paper", "All five cities", np.array(TABLE_5), list(text.ABBREVIATIONS))
        folds.append(_fold("Transitions, the paper's Table 5", [drawn]))
    for members in by_split.values():
        names = class_names(writer, members)
        among = [row for row, _ in members]
        first, arrays = members[0]
        drawn_of_split = [_transitions(writer, first, arrays, _TRUE, "true", "True transitions", names)]
        for row, arrays in members:
            share = text.value_of(row, "transition")
            note = f"From-to right in {text.percent(share)} of the changed pairs. " if share is not None else ""
            title = f"Predicted by {METHOD_NAMES[row.protocol]}, {network_among(row, among)}, seed {row.seed}"
            drawn_of_split.append(_transitions(writer, row, arrays, _PREDICTED, "predicted", title, names, note))
        folds.append(_fold(f"Transitions, {text.place(first)}", drawn_of_split))
    return folds


def class_names(writer: Writer, members: Sequence[tuple[Row, Arrays]]) -> list[str]:
    """Return the names of the classes that transitions are between, from the examples of any of the rows."""
    for row, _ in members:
        examples = writer.artefact(row, "examples", ("class_names",))
        if not isinstance(examples, str):
            return [str(name) for name in examples["class_names"]]
    largest = max(int(arrays[name].max()) for _, arrays in members for name in (*_TRUE, *_PREDICTED))
    return [f"class {i}" for i in range(largest + 1)]


def _fold(title: str, drawn: list[Figure]) -> Fold:
    return Fold(title, [Block("figures", drawn, "large")])


def _transitions(
    writer: Writer,
    row: Row,
    arrays: Arrays,
    classes: tuple[str, str],
    kind: str,
    title: str,
    names: list[str],
    note: str = "",
) -> Figure:
    """Draw the transitions of a row's pairs between the classes of two of its arrays."""
    k, (t1, t2) = len(names), (arrays[name].astype(np.int64) for name in classes)
    counts = np.bincount(t1 * k + t2, minlength=k * k).reshape(k, k)
    return _draw(writer, f"transitions_{kind}_{row.protocol}_{row.split}_{row.id}", title, counts, names, note)


def _draw(writer: Writer, name: str, title: str, counts: np.ndarray, names: list[str], note: str = "") -> Figure:
    """Draw and tabulate how many pairs go from each class (rows) to each (columns)."""
    chart = confusion(
        counts,
        text.short_class_names(names),
        f"{title}: pairs by class of the first date (rows) and of the second (columns), in per cent of the first",
        across="second date, % of the first date's class",
        down="first date, with number of pairs",
    )
    caption = f"{title}: pairs, rows are the first date."
    writer.table(results.count_table(name, caption, "First date", counts, names))
    return writer.draw(name, title, f"{note}Rows are the first date and sum to 100 %.", chart)
