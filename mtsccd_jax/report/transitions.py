"""From which class to which: the true transitions of a split beside the predicted ones (the paper's Table 5)."""

from collections.abc import Sequence

import numpy as np

from mtsccd_jax.report import figures, published, row_tables, sections, words
from mtsccd_jax.report.folder import Detail, Drawn, Folder
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.words import Run

_NEEDED = ("label_t1", "label_t2", "prediction_t1", "prediction_t2")


def details(folder: Folder, runs: Sequence[Run]) -> list[Detail]:
    """The transitions of every split: the true ones and those that each row predicts (the paper's Table 5).

    Of a row that names transitions between other classes than the labels' there is nothing to set beside the truth;
    such a row lacks the metric.
    """
    by_split: dict[tuple[str, str], list[tuple[Row, dict[str, np.ndarray]]]] = {}
    for row in sections.shown(runs):
        if "transition" in row.metrics:
            arrays = folder.artefact(row, "predictions", _NEEDED)
            if not isinstance(arrays, str):
                by_split.setdefault((row.dataset, row.split), []).append((row, arrays))
    details = []
    if any(dataset.startswith("mtsccd_") for dataset, _ in by_split):
        table_5 = np.array(published.TABLE_5)
        drawing = _draw(folder, "transitions_paper", "All five cities", table_5, list(words.ABBREVIATIONS))
        details.append(Detail("Transitions, the paper's Table 5", [drawing]))
    for members in by_split.values():
        names = _class_names(folder, members)
        among = [row for row, _ in members]
        first, arrays = members[0]
        drawn = [_transitions(folder, first, "true", "True transitions", arrays["label_t1"], arrays["label_t2"], names)]
        for row, arrays in members:
            share = words.value_of(row, "transition")
            right = f"From-to right in {words.percent(share)} of the changed pairs. " if share is not None else ""
            said = arrays["prediction_t1"], arrays["prediction_t2"]
            drawn.append(
                _transitions(folder, row, "predicted", f"Predicted by {sections.who(row, among)}", *said, names, right)
            )
        details.append(Detail(f"Transitions, {words.place(first)}", drawn))
    return details


def _transitions(
    folder: Folder, row: Row, kind: str, title: str, t1: np.ndarray, t2: np.ndarray, names: list[str], note: str = ""
) -> Drawn:
    """The chart and table of the transitions that a row's pairs make, or are said to make."""
    k = len(names)
    counts = np.bincount(t1.astype(np.int64) * k + t2.astype(np.int64), minlength=k * k).reshape(k, k)
    return _draw(folder, f"transitions_{kind}_{row.protocol}_{row.split}_{row.id}", title, counts, names, note)


def _draw(folder: Folder, name: str, title: str, counts: np.ndarray, names: list[str], note: str = "") -> Drawn:
    """The chart and table of how many pairs go from each class (rows) to each (columns)."""
    shorts = words.short_class_names(names)
    chart = figures.confusion(
        counts,
        shorts,
        f"{title}: pairs by class of the first date (rows) and of the second (columns), in per cent of the first",
        across="second date, % of the first date's class",
        down="first date, with number of pairs",
    )
    folder.table(row_tables.count_table(name, f"{title}: pairs, rows are the first date.", "First date", counts, names))
    return folder.draw(name, title, f"{note}Rows are the first date and sum to 100 %.", chart)


def _class_names(folder: Folder, members: Sequence[tuple[Row, dict[str, np.ndarray]]]) -> list[str]:
    """The names of the classes that transitions are between, of the examples of any of the rows."""
    for row, _ in members:
        examples = folder.artefact(row, "examples", ("class_names",))
        if not isinstance(examples, str):
            return [str(name) for name in examples["class_names"]]
    largest = max(int(arrays[name].max()) for _, arrays in members for name in _NEEDED)
    return [f"class {i}" for i in range(largest + 1)]
