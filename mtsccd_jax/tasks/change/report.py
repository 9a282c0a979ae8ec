"""The page on change detection: results, distances and thresholds, transitions, and example pairs."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtsccd_jax.report import results, text
from mtsccd_jax.report.comparable import contests, differences_section, kappa_tables, labelled
from mtsccd_jax.report.pictures.charts import confusion
from mtsccd_jax.report.published.tables import METHOD_NAMES, table_7
from mtsccd_jax.report.results import EMPTY, Column, baseline_column, metric_column, result_table
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, rows_of, shown
from mtsccd_jax.report.sections import Block, Figure, Fold, Place, Protocol, Section, TaskReport
from mtsccd_jax.report.summary import contains, estimate
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.writer import Writer
from mtsccd_jax.tasks import mtsccd_paper
from mtsccd_jax.tasks.change.charts import Point, curve, distance_histogram, kappa_plane, threshold_curves
from mtsccd_jax.tasks.change.definitions import DEFINITIONS
from mtsccd_jax.tasks.change.examples import example_blocks
from mtsccd_jax.tasks.change.transitions import transition_folds
from mtsccd_jax.tasks.mtsccd_paper import paper_accuracy, threshold_text

# Fewer pairs than this leave intervals so wide that the sentence says so.
FEW_PAIRS = 200

_METHODS = (
    "CDC_1 names the land use at both dates and predicts a change where the names differ; CDC_2 does so from counts "
    "of visual words. CFSM predicts a change where the distance between its two feature vectors reaches a threshold "
    "chosen on validation pairs; SSCD learns that distance."
)


def sentence(rows: Sequence[Row]) -> str:
    """Say what repetitions of one change row show beside the trivial predictor."""
    row, method = rows[0], f"{METHOD_NAMES[rows[0].protocol]} on {text.place(rows[0])}"
    (_, fp), (fn, tp) = row.confusion
    if len(rows) == 1 and not fp + tp:
        why = "no pair is predicted changed"
        if row.threshold_from and row.threshold is None:
            why = "no threshold did better on validation than predicting no change"
        return f"{method}: {why}, so all {fn + tp:,} changed pairs of {row.n:,} are missed."
    kappa, spread = estimate(rows, "kappa")
    said = f"{method}: kappa {text.number(kappa)} ({spread})"
    if len(rows) == 1:
        said += f"; it predicts {fp + tp:,} of {row.n:,} pairs changed and finds {tp:,} of the {fn + tp:,} that are"
    said += "."
    if row.n < FEW_PAIRS:
        said += f" {row.n:,} pairs are few: such an interval settles little."
    ends = text.interval_of(row, "kappa")
    if len(rows) == 1 and ends and ends[1] < 0:
        said += " That is worse than chance."
    elif contains(rows, "kappa", 0.0):
        said += " The interval contains 0: it may be no better than chance."
    return said + _against_trivial(rows)


def _against_trivial(rows: Sequence[Row]) -> str:
    """Say how the overall accuracy stands to that of the better constant answer; empty where one is not known."""
    trivial, (value, _) = text.baseline_of(rows[0], "oa"), estimate(rows, "oa")
    if trivial is None or np.isnan(value):
        return ""
    answer = f"{'always' if text.baseline(rows[0])['name'] == 'all changed' else 'never'} saying “changed”"
    said, constant = f" Its overall accuracy, {value:.3f}, is ", f"that of {answer} ({trivial:.3f})"
    if contains(rows, "oa", trivial):
        return f"{said}not distinguishable from {constant}."
    if value > trivial:
        return f"{said}above {constant}."
    return f"{said}below {constant}: the trivial answer wins by this measure, so judge by kappa and F1."


def change_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the results: every row, charts of them, distances and thresholds, and transitions."""
    drawn = results.overview(writer, runs, REPORT.protocols, "change")
    blocks = [
        Block("prose", _METHODS),
        Block("long tables", [writer.table(change_table(runs))], "results"),
        Block("figures", [*drawn, _kappa_plane(writer, shown(runs, METHOD_NAMES))]),
        Block("details", list(_details(writer, runs)), "first open"),
    ]
    if transitions := transition_folds(writer, runs):
        blocks += [Block("heading", "From which class to which"), Block("details", transitions)]
    footer = [mtsccd_paper.CITATION]
    yield Section("change", "Change detection", Place.RESULTS, blocks, "Change", footer=footer)


def speed_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield kappa against throughput."""
    rows = rows_of(runs, METHOD_NAMES)
    drawn = results.pareto(writer, runs, rows, "change", "change", "kappa", "Cohen's kappa", METHOD_NAMES)
    yield results.speed_section(drawn)


def differences(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield which differences between methods and networks hold."""
    names = ["filename_t1", "filename_t2"]
    found = contests(writer, runs, METHOD_NAMES, "kappa", truth="changed", names=names, needed=["predicted"])
    note = "; where few pairs change, seldom saying “changed” is right on most"
    yield differences_section(
        writer,
        [labelled(entries, METHOD_NAMES) for entries in found],
        lambda where, entries: kappa_tables("change", where, entries, "changed", "predicted", note),
    )


def images(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield example pairs with the prediction of every method."""
    yield Section("images", "What it looks like", Place.IMAGES, list(example_blocks(writer, runs)), "Images")


def _kappa_plane(writer: Writer, rows: Sequence[Row]) -> Figure:
    """Draw the rows among the paper's in the plane of overall accuracy and kappa."""
    own = [
        Point(oa, kappa, f"this run, {METHOD_NAMES[row.protocol]}")
        for row in rows
        if (oa := text.value_of(row, "oa")) is not None and (kappa := text.value_of(row, "kappa")) is not None
    ]
    possible, impossible = (
        [Point(entry.oa, entry.kappa) for entry in table_7() if entry.audit.possible == wanted]
        for wanted in (True, False)
    )
    alt = "Kappa against overall accuracy: the paper's entries, those above the bound, and this report's rows"
    caption = "The line is the largest kappa an overall accuracy allows, whatever the share of changed pairs."
    chart = kappa_plane(possible, impossible, own, alt)
    return writer.draw("kappa_plane", "What a pair of numbers can be", caption, chart)


def _details(writer: Writer, runs: Sequence[Run]) -> Iterator[Fold]:
    """Yield the distances, threshold curves and confusion matrices of every network and seed."""
    drawable = {row.id for row in shown(runs, METHOD_NAMES)}
    for run in runs:
        for seed in run.seeds:
            members = [row for row in run.rows if row.seed == seed and row.id in drawable]
            drawn: list[Figure] = []
            for row in members:
                drawn += _figures(writer, row)
                writer.table(results.confusion_table(row, METHOD_NAMES[row.protocol]))
            if members:
                yield Fold(f"Change by {run.network}, recipe {run.name}, seed {seed}", [Block("figures", drawn)])


def _figures(writer: Writer, row: Row) -> list[Figure]:
    """Draw the distances, the threshold curves and the confusion matrix of a row."""
    where, method = text.split_name(row.split, row.dataset), METHOD_NAMES[row.protocol]
    drawn = _distance_figures(writer, row, where) if row.threshold_from else []
    alt = f"Confusion matrix of changed and unchanged by {method} on {where}"
    chart = confusion(np.asarray(row.confusion), text.short_class_names(row.class_names), alt)
    name = f"confusion_{row.protocol}_{row.split}_{row.id}"
    return [*drawn, writer.draw(name, f"{method} confusion, {where}", "Rows are the truth.", chart)]


def _distance_figures(writer: Writer, row: Row, where: str) -> list[Figure]:
    """Draw the histogram of distances, and the metrics against the threshold, of a row that has one."""
    method = METHOD_NAMES[row.protocol]
    titles = f"{method} distances, {where}", f"{method}, choice of threshold, {where}"
    test = writer.artefact(row, "predictions", ("distance", "changed"))
    if isinstance(test, str):
        return [Figure(title, missing=test) for title in titles]
    changed, distance = test["changed"].astype(bool), test["distance"].astype(np.float64)
    alt = f"Histogram of distances on {where}; threshold {threshold_text(row)}"
    chart = distance_histogram(distance, changed, row.threshold, distance_label(row), alt)
    name = f"{row.protocol}_{row.split}_{row.id}"
    drawn = [writer.draw(f"distances_{name}", titles[0], "", chart)]
    validation, note = None, ""
    if row.threshold_from == "validation":
        arrays = writer.artefact(row, "validation", ("distance", "changed"))
        if isinstance(arrays, str):
            note = f"No validation curves: {arrays}"
        else:
            validation = curve(arrays["distance"], arrays["changed"])
    chart = threshold_curves(
        curve(distance, changed),
        validation,
        row.threshold,
        text.baseline_of(row, "oa"),
        "learned distance" if row.protocol == "sscd" else "feature distance",
        f"Overall accuracy, kappa and F1 against the threshold on {where}",
    )
    return [*drawn, writer.draw(f"thresholds_{name}", titles[1], note, chart)]


def distance_label(row: Row) -> str:
    """Return what the distances of a row are, as the label of an axis."""
    if row.protocol == "sscd":
        return "learned distance, 1 − similarity (0 to 1)"
    settings: dict[str, Any] = row.recipe.get("change") or {}
    metric = {"euclidean": "Euclidean", "cosine": "Cosine"}.get(str(settings.get("metric")))
    if metric is None:
        return "distance of features (no unit)"
    kind = "unit-length features" if settings.get("scale") == "features" else "features"
    scaled = ", by the validation range" if settings.get("scale") == "validation" else " (no unit)"
    return f"{metric} distance of {kind}{scaled}"


def change_table(runs: Sequence[Run]) -> Table:
    """Return the table of every change row; footnotes say what is wrong with a published value of theirs."""
    caption = (
        "Change detection. Intervals are 95 %, from resampled test pairs at the fixed threshold; the second, where "
        "there is one, re-chooses the threshold on resampled validation pairs as well. From-to: the share of the "
        "changed pairs whose classes at both dates are named rightly. Trivial: always saying “unchanged”, or always "
        "“changed” where most pairs are. Paper: Table 7."
    )
    first = Column(
        "Method and test set",
        lambda row: Cell(f"{METHOD_NAMES[row.protocol]}, {text.short_split(row.split, row.dataset)}"),
    )
    columns = (
        Column("Pairs", lambda row: Cell(f"{row.n:,}", (f"{sum(row.confusion[1]):,} changed",))),
        *map(metric_column, ("oa", "kappa")),
        *(metric_column(name, f"{text.metric_name(name)} of changed") for name in ("f1", "precision", "recall")),
        metric_column("transition"),
        Column("Threshold", _threshold),
        baseline_column("Trivial OA", "oa"),
        Column("Paper's OA", paper_accuracy),
        Column("Paper's kappa", _paper_kappa),
    )
    doubted = [
        f"Paper, {METHOD_NAMES[row.protocol]}, {row.published['model']}, {text.short_split(row.split, row.dataset)}: "
        f"{row.published.get('reason')}."
        for row in rows_of(runs, METHOD_NAMES)
        if row.published and mtsccd_paper.paper_doubt(row.protocol, str(row.published.get("model")), row.split)
    ]
    return result_table("change", caption, first, columns, runs, tuple(METHOD_NAMES), tuple(dict.fromkeys(doubted)))


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
    doubt = mtsccd_paper.paper_doubt(row.protocol, str(row.published.get("model")), row.split)
    return Cell(text.number(row.published.get("kappa")), (doubt or "possible",), "bad" if doubt else "")


REPORT = TaskReport(
    subject="Land use",
    topics=("scenes", "change"),
    protocols=tuple(
        Protocol(name, METHOD_NAMES[name], f"Change by {METHOD_NAMES[name]}, kappa", "kappa", sentence, images=2)
        for name in ("cfsm", "cdc_1", "cdc_2", "sscd")
    ),
    sections=(
        mtsccd_paper.beside_the_paper,
        speed_section,
        differences,
        change_section,
        images,
        mtsccd_paper.published_values,
    ),
    definitions=DEFINITIONS,
)
