"""The page on shift: what a city costs that a network has not seen."""

from collections.abc import Iterator, Sequence

import numpy as np

from mtsccd_jax.report import text
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, shown
from mtsccd_jax.report.sections import Block, Figure, Fold, Place, Protocol, Section, TaskReport
from mtsccd_jax.report.summary import estimate
from mtsccd_jax.report.unique_names import network_among
from mtsccd_jax.report.writer import Writer
from mtsccd_jax.tasks.shift import SUMS_UP
from mtsccd_jax.tasks.shift.charts import City, gaps
from mtsccd_jax.tasks.shift.definitions import DEFINITIONS
from mtsccd_jax.tasks.shift.tables import (
    TITLES,
    Summary,
    city_title,
    date_tables,
    explained_tables,
    headline,
    matrix_table,
    shift_table,
)

_WHAT = (
    "Every network was trained once for each city, without that city, and all of them judge the same held-out scenes "
    "or pairs of every city. In city: the mean of the networks that have learned from the city. Out of city: the one "
    "that has not. None learned from these scenes, was chosen by them or took its threshold from them, and both dates "
    "of a place are on one side."
)
_BELIEVE = (
    "When to believe it: the intervals of single cities are over their scenes alone. Those of the means and of the gap "
    "are over resampled cities too, and say nothing of a single one; where the gap of one more city may lie has a "
    "column of its own, which is wide, because a handful of cities says little about the next. A gap holds both how a "
    "city looks and when its images were taken: see the dates."
)


def sentence(rows: Sequence[Row]) -> str:
    """Say what repetitions of one shift row show."""
    row, metric = rows[0], headline(rows[0])
    inside, outside = (estimate(rows, f"{part}_{metric}")[0] for part in ("in_city", "out_of_city"))
    gap, spread = estimate(rows, f"gap_{metric}")
    worst = min(row.class_names, key=lambda city: text.value_of(row, f"out_of_city_{metric}_{city}") or 0.0)
    measure = "overall accuracy" if metric == "oa" else "kappa"
    return (
        f"{TITLES[row.protocol]} in a city that the network has not seen: {measure} {text.number(outside)}, where "
        f"networks that know the city reach {text.number(inside)} on the same examples. The gap is {text.number(gap)} "
        f"({spread}, over {len(row.class_names)} cities); the worst city is {city_title(worst)}, "
        f"{text.number(text.value_of(row, f'out_of_city_{metric}_{worst}'))}."
    )


def shift_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield what a city costs: a chart of each row, the tables, dates, and every network in every city."""
    found = list(_summaries(writer, runs))
    among = [summary.row for summary in found]
    explained = [writer.table(table) for table in explained_tables(writer, runs)]
    dated = [writer.table(table) for table in date_tables(found)]
    matrices = [
        Fold(
            f"{_name(summary.row, among)}, {text.metric_name(metric)}",
            [Block("tables", [writer.table(matrix_table(summary, metric))], "matrix")],
        )
        for summary in found
        for metric in dict.fromkeys((summary.metric, "oa", "kappa"))
    ]
    blocks = [
        Block("prose", _WHAT),
        Block("figures", [_gap_figure(writer, summary, among) for summary in found], "large"),
        Block("prose", _BELIEVE),
        Block("long tables", [writer.table(shift_table(runs))], "results"),
        *([Block("heading", "How much of a test set's distance is its city")] if explained else []),
        Block("tables", explained, "results"),
        *([Block("heading", "When the images were taken")] if dated else []),
        Block("tables", dated),
        Block("heading", "Every network in every city"),
        Block("details", matrices, "first open"),
    ]
    yield Section("shift", "In a city it has not seen", Place.SHIFT, blocks, "Other cities")


def _summaries(writer: Writer, runs: Sequence[Run]) -> Iterator[Summary]:
    """Yield the rows that are shown, with their predictions."""
    for row in shown(runs, SUMS_UP):
        arrays = writer.artefact(row, "predictions", ("truth", "predicted", "city", "classes"))
        if not isinstance(arrays, str):
            yield Summary(row, arrays)


def _name(row: Row, among: Sequence[Row]) -> str:
    """Return the protocol and the network of a row, and its seed among others."""
    seed = f", seed {row.seed}" if len({other.seed for other in among}) > 1 else ""
    return f"{TITLES[row.protocol]}, {network_among(row, among)}{seed}"


def _gap_figure(writer: Writer, summary: Summary, among: Sequence[Row]) -> Figure:
    """Draw both scores of every city of a row."""
    row, metric = summary.row, summary.metric

    def score(part: str, name: str) -> float:
        value = text.value_of(row, f"{part}_{metric}_{name}")
        return np.nan if value is None else value

    cities = [
        City(
            city_title(name),
            score("in_city", name),
            score("out_of_city", name),
            *(text.interval_of(row, f"out_of_city_{metric}_{name}") or (np.nan, np.nan)),
        )
        for name in row.class_names
    ]
    axis = "overall accuracy" if metric == "oa" else "Cohen's kappa"
    said = ", ".join(f"{city.name}: {city.inside:.3f} and {city.outside:.3f}" for city in cities)
    chart = gaps(cities, axis, f"{axis} of networks that know the city and of the one that does not. {said}")
    caption = "Above each line the difference, in hundredths."
    return writer.draw(f"shift_{row.protocol}_{row.id}", _name(row, among), caption, chart)


REPORT = TaskReport(
    subject="Land use",
    topics=("other cities",),
    protocols=tuple(
        Protocol(shift, f"{title}, other cities", f"Lost in a city not seen, {title}", f"gap_{metric}", sentence)
        for shift, title in TITLES.items()
        for metric in ["oa" if SUMS_UP[shift] == "scene" else "kappa"]
    ),
    sections=(shift_section,),
    definitions=DEFINITIONS,
    sums_up=SUMS_UP,
)
