"""Tables of shift: every row, every network in every city, dates, and test sets explained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtsccd_jax.ops.metrics import metrics_of_many
from mtsccd_jax.recipes.config import essentials
from mtsccd_jax.report import text
from mtsccd_jax.report.published.tables import CITIES, METHOD_NAMES
from mtsccd_jax.report.results import EMPTY, Column, result_table
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, rows_of
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.unique_names import network_among
from mtsccd_jax.report.writer import Arrays, Writer
from mtsccd_jax.tasks.shift import SUMS_UP
from mtsccd_jax.tasks.shift.dates import Dates, dates_of

TITLES = {shift: {"scene": "Scene classification", **METHOD_NAMES}[protocol] for shift, protocol in SUMS_UP.items()}
_PARTS = {
    "in_city": "In city",
    "out_of_city": "Out of city",
    "gap": "Gap",
    "next_city": "Gap of one more city",
    "worst_city": "Worst city",
}


@dataclass(frozen=True)
class Summary:
    """A shift row with the predictions of its networks."""

    row: Row
    arrays: Arrays

    @property
    def metric(self) -> str:
        """The metric that the row is known by."""
        return headline(self.row)

    @property
    def is_of_pairs(self) -> bool:
        """Whether its examples are pairs, and not scenes."""
        return SUMS_UP[self.row.protocol] != "scene"

    def scores(self, metric: str) -> np.ndarray:
        """Return the score of every network (rows, by the city it does not know) in every city, (f, c)."""
        classes, cities = int(self.arrays["classes"]), len(self.row.class_names)
        score_fc = np.empty((cities, cities))
        for c in range(cities):
            inside = self.arrays["city"] == c
            cell_fn = self.arrays["truth"][inside] * classes + self.arrays["predicted"][:, inside]
            counts = [np.bincount(cell_n, minlength=classes**2) for cell_n in cell_fn]
            confusion_fkk = np.reshape(counts, (-1, classes, classes))
            score_fc[:, c] = metrics_of_many(confusion_fkk, binary=classes == 2)[metric]
        return score_fc


def headline(row: Row) -> str:
    """Return the metric that a shift row is known by: kappa for change, of which overall accuracy says little."""
    return "oa" if SUMS_UP[row.protocol] == "scene" else "kappa"


def city_title(name: str) -> str:
    """Return a city as it is written: "Hefei"."""
    return name.replace("_", " ").title()


def shift_table(runs: Sequence[Run]) -> Table:
    """Return the table of every shift row."""
    caption = (
        "Means over cities. Intervals are 95 %, over resampled cities and scenes. Gap: in city minus out of city, on "
        "the same scenes; of one more city: where its gap may lie, by Student's t of so few. The worst city is so "
        "partly by chance. Trivial: always naming what is most frequent in the city."
    )
    columns = (
        Column("Examples", lambda row: Cell(f"{row.n:,}", (f"{len(row.class_names)} cities",))),
        Column("Trivial OA", lambda row: Cell(text.number(text.baseline_of(row, "out_of_city_oa")))),
        *(_column(part, title, metric) for metric in ("oa", "kappa") for part, title in _PARTS.items()),
    )
    first = Column("Rows", lambda row: Cell(TITLES[row.protocol]))
    return result_table("shift", caption, first, columns, runs, list(SUMS_UP))


def _column(part: str, title: str, metric: str) -> Column:
    """Return the column of a part of a metric, with intervals."""
    name = f"{part}_{metric}"

    def cell(row: Row) -> Cell:
        ends = text.interval_of(row, name)
        return Cell(text.number(text.value_of(row, name)), (text.interval(*ends),) if ends else ())

    return Column(f"{title}, {text.metric_name(metric)}", cell, name)


def matrix_table(summary: Summary, metric: str) -> Table:
    """Return the scores of every network in every city; where it does not know the city they stand out."""
    row, score_fc = summary.row, summary.scores(metric)
    rows, records = [], []
    for f, left_out in enumerate(row.class_names):
        cells = [Cell(text.number(value), kind="bad" if f == c else "") for c, value in enumerate(score_fc[f])]
        rows.append([Cell(f"without {city_title(left_out)}"), *cells])
        records.append({"left_out": left_out, **dict(zip(row.class_names, score_fc[f].tolist(), strict=True))})
    caption = (
        f"{text.metric_name(metric)} on the held-out {'pairs' if summary.is_of_pairs else 'scenes'} of each city; "
        "marked where the network does not know the city."
    )
    columns = (("Trained", False), *((city_title(name), True) for name in row.class_names))
    return Table(f"shift_matrix_{metric}_{row.protocol}_{row.id}", caption, columns, rows, records)


def date_tables(found: Sequence[Summary]) -> Iterator[Table]:
    """Yield when the images of every city were taken, of scenes and of pairs, each beside the first row of such."""
    for of_pairs in (False, True):
        for summary in (summary for summary in found if summary.is_of_pairs == of_pairs):
            dates = dates_of(summary.arrays, summary.arrays["city"], len(summary.row.class_names))
            if dates:
                yield _date_table(summary, dates)
                break


def _date_table(summary: Summary, dates: Sequence[Dates]) -> Table:
    row, metric, what = summary.row, summary.metric, "pairs" if summary.is_of_pairs else "scenes"
    rows, records = [], []
    for name, own in zip(row.class_names, dates, strict=True):
        gap = text.value_of(row, f"gap_{metric}_{name}")
        gaps = {"season_gap": own.season_gap, "date_gap": own.date_gap}
        gaps |= {} if own.between is None else {"season_between_dates": own.between}
        cells = [Cell(text.number(value, 1)) for value in gaps.values()]
        rows.append([Cell(city_title(name)), Cell(own.first, (f"to {own.last}",)), *cells, Cell(text.signed(gap))])
        records.append({"city": name, "first": own.first, "last": own.last, **gaps, f"gap_{metric}": gap})
    between = [("Season between dates", True)] if summary.is_of_pairs else []
    columns = [("City", False), ("Images of", False), ("Season gap", True), ("Date gap", True), *between]
    caption = (
        f"Dates of the {what}. Season gap and date gap: months to the nearest image of another city, in the year and "
        f"in time, mean over {what}. Gap: {text.metric_name(metric)} in city minus out of city."
    )
    return Table(f"shift_dates_{what}", caption, (*columns, ("Gap", True)), rows, records)


def explained_tables(writer: Writer, runs: Sequence[Run]) -> Iterator[Table]:
    """Yield, of every protocol, how much of the distance from validation to a test set is its city.

    The test set's own row is of a network that has learned from the cities of the data set's split; the shift row of
    the same recipe tells what its city costs.
    """
    lines: dict[str, list[tuple[list[Cell], dict[str, Any]]]] = {}
    rows = rows_of(runs, (*SUMS_UP, *SUMS_UP.values()))
    summaries = [row for row in rows if row.protocol in SUMS_UP]
    for shift in summaries:
        own = essentials(shift.recipe)
        same = [row for row in rows if row.protocol == SUMS_UP[shift.protocol] and essentials(row.recipe) == own]
        validation = _validation(writer, same, headline(shift))
        for row in same:
            city = CITIES.get(row.split, "").lower()
            if validation is not None and city in shift.class_names:
                name = network_among(row, summaries)
                lines.setdefault(shift.protocol, []).append(_explained(shift, row, validation, city, name))
    for protocol, found in lines.items():
        columns = ("Network", False), ("Test set", False), ("Validation", True), ("Test", True), ("Distance", True)
        caption = (
            f"{TITLES[protocol]}, {'overall accuracy' if protocol == 'scene_shift' else 'kappa'}: from the validation "
            "split, of cities that the network knows, to a test city. Of this distance the city is what the same "
            "scenes cost a network that does not know it (with its 95 % interval); the rest is harder scenes, other "
            "scenes to learn from, or a validation split that is too good."
        )
        cells, records = [line for line, _ in found], [record for _, record in found]
        heads = (*columns, ("Of it the city", True), ("The rest", True))
        yield Table(f"shift_explained_{protocol}", caption, heads, cells, records)


def _validation(writer: Writer, rows: Sequence[Row], metric: str) -> float | None:
    """Return the value on validation: of a row of that split, or at the threshold that was chosen on it."""
    for row in rows:
        if row.split == "validation":
            return text.value_of(row, metric)
    for row in (row for row in rows if row.threshold_from == "validation"):
        arrays = writer.artefact(row, "validation", ("distance", "changed"))
        if not isinstance(arrays, str):
            predicted = arrays["distance"] >= (np.inf if row.threshold is None else row.threshold)
            counts = np.bincount(2 * arrays["changed"].astype(int) + predicted, minlength=4)
            return float(metrics_of_many(counts.reshape(1, 2, 2), binary=True)[metric][0])
    return None


def _explained(shift: Row, row: Row, validation: float, city: str, network: str) -> tuple[list[Cell], dict[str, Any]]:
    """Return the line of one test set."""
    metric = headline(shift)
    test, gap = text.value_of(row, metric), text.value_of(shift, f"gap_{metric}_{city}")
    ends = text.interval_of(shift, f"gap_{metric}_{city}")
    distance = None if test is None else test - validation
    rest = None if distance is None or gap is None else distance + gap
    cells = [
        Cell(network, (f"seed\u00a0{row.seed}",)),
        Cell(text.short_split(row.split, row.dataset)),
        Cell(text.number(validation)),
        Cell(text.number(test)),
        Cell(text.signed(distance)),
        EMPTY if gap is None or ends is None else Cell(text.signed(-gap), (text.interval(-ends[1], -ends[0]),)),
        Cell(text.signed(rest)),
    ]
    record = {"recipe": shift.recipe.get("name"), "seed": row.seed, "split": row.split}
    record |= {f"validation_{metric}": validation, f"test_{metric}": test}
    return cells, record | {"distance": distance, "city": None if gap is None else -gap, "rest": rest}
