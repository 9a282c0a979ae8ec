"""The page on certainty: what sets hold, how well probabilities are calibrated, and what to look at first."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.ops.certainty.calibration import equal_width_bins, reliability
from mtsccd_jax.ops.certainty.selection import risk_coverage
from mtsccd_jax.report import text
from mtsccd_jax.report.results import Column, metric_column, result_table
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, network, repeats_of, shown
from mtsccd_jax.report.sections import Block, Figure, Fold, Place, Protocol, Section, TaskReport, fragment
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.writer import Arrays, Writer
from mtsccd_jax.tasks.certainty import METHODS
from mtsccd_jax.tasks.certainty.charts import (
    MOST_LINES,
    Share,
    coverage_chart,
    reliability_diagram,
    risk_chart,
)
from mtsccd_jax.tasks.certainty.definitions import DEFINITIONS
from mtsccd_jax.tasks.certainty.measure import event
from mtsccd_jax.tasks.certainty.words import TITLES, asked, is_of_change, percent_of, sentence, settings, title, where

_INTRODUCTION = (
    "A network that says “90 %” should be right nine times in ten. In its own cities that can be seen to by validation "
    "examples; elsewhere nobody promises it. A set names every answer that cannot be excluded: it should hold the "
    "truth as often as was asked for. ECE is the mean gap between what is said and what comes."
)
_LOOK = (
    "For somebody with an hour: pairs stand most probable change first, scenes least certain first. ✓ the answer is "
    "right, ✕ wrong. The whole list lies in the work directory, as look_METHOD_SPLIT-ROW.csv."
)
_GROUPS = {
    "coverage": "all",
    "coverage_unchanged": "unchanged",
    "coverage_changed": "changed",
    "coverage_lowest": "worst class",
}
_CALIBRATIONS = {"isotonic": "isotonic calibration", "platt": "Platt's calibration"}
_LOOK_ARRAYS = ("probability", "answer", "truth", "set")


@dataclass(frozen=True)
class Seen:
    """An example of the list: its images (h, w, 3) uint8 and their descriptions, what is said of it, and the truth."""

    images: tuple[np.ndarray, ...]
    alt: tuple[str, ...]
    said: str
    truth: str
    right: bool


def certainty_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield coverage, calibration and risk of every network and method, and what to look at first."""
    drawable = {row.id for row in shown(runs, METHODS)}
    groups = [(title, members) for title, members in _groups(runs) if members[0].id in drawable]
    folds = [Fold(title, [Block("figures", _figures(writer, members))]) for title, members in groups]
    yield Section(
        "certainty",
        "How sure",
        Place.RESULTS,
        [
            Block("prose", _INTRODUCTION),
            Block("figures", [figure for _, members in groups for figure in _coverage_figures(writer, members)]),
            Block("long tables", [writer.table(coverage_table(runs))], "results"),
            Block("long tables", [writer.table(calibration_table(runs))], "results"),
            Block("details", folds, "first open"),
            Block("heading", "Look here first"),
            Block("prose", _LOOK),
            Block("details", list(_look_folds(writer, runs)), "first open"),
        ],
        "How sure",
    )


def _groups(runs: Sequence[Run]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of a network, method and setting on all splits, of the lowest seed, in city first."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    titles: dict[tuple[str, ...], str] = {}
    for run, (row, *_) in repeats_of(runs, METHODS):
        key = (run.name, row.protocol, json.dumps(settings(row), sort_keys=True))
        groups.setdefault(key, []).append(row)
        titles[key] = f"{TITLES[row.protocol]} by {network(row)}, recipe {run.name}, seed {row.seed}{_how(row)}"
    for group, members in groups.items():
        yield titles[group], sorted(members, key=lambda row: (row.split != "validation", row.split))


def _how(row: Row) -> str:
    """Return the settings of a row in words, for a title."""
    calibration = (
        f", {_CALIBRATIONS.get(str(settings(row).get('calibration')), 'calibrated')}" if is_of_change(row) else ""
    )
    return f"{calibration}, asked for {text.percent(asked(row), 0)}"


def _coverage_figures(writer: Writer, members: Sequence[Row]) -> list[Figure]:
    """Draw what the sets hold, of rows that differ in their split alone; nothing where none of it is told."""
    first, name, shares = members[0], title(members[0]), _shares(members)
    if not shares:
        return []
    alt = ", ".join(f"{s.place}, {s.group}: {s.value:.3f}" for s in shares)
    chart = coverage_chart(shares, asked(first), f"Share of truths in the sets of {name}: {alt}")
    caption = f"{network(first)}, seed {first.seed}."
    return [writer.draw(f"coverage_{first.protocol}_{first.id}", f"{name}: do sets hold the truth?", caption, chart)]


def _figures(writer: Writer, members: Sequence[Row]) -> list[Figure]:
    """Draw the risk and the reliability of rows that differ in their split alone."""
    first, name = members[0], title(members[0])
    curves, diagrams = [], []
    for row in members:
        arrays = _forecasts(writer, row)
        if isinstance(arrays, str):
            diagrams.append(Figure(f"{name}, {_place(row)}", missing=arrays))
            continue
        probability, truth = arrays
        curves.append((_place(row), risk_coverage(probability.max(1), probability.argmax(1) != truth)))
        diagrams.append(_diagram(writer, row, probability, truth))
    if not curves:
        return diagrams
    alt = f"Share of wrong answers of {name} against the share of examples that is answered"
    chart = risk_chart(curves[:MOST_LINES], asked(first), alt)
    caption = "Who answers only where it is certain is wrong less often."
    risk = writer.draw(f"risk_{first.protocol}_{first.id}", f"{name}: what abstaining is worth", caption, chart)
    return [risk, *diagrams]


def _diagram(writer: Writer, row: Row, probability: np.ndarray, truth: np.ndarray) -> Figure:
    """Draw the reliability diagram of a row."""
    heading, bins = f"{title(row)}, {_place(row)}: does it come as said?", int(settings(row).get("bins", 15))
    said, came = event(probability, truth, is_of_change(row))
    found = reliability(said, came, equal_width_bins(said, bins), bins)
    axes = ("probability of the named class, as said", "named rightly, share of scenes")
    if is_of_change(row):
        axes = ("probability of a change, as said", "changed, share of pairs")
    error = text.value_of(row, "ece")
    caption = f"ECE {text.number(error)}" if error is not None else "too few examples to tell an error"
    alt = f"Reliability of {title(row)} on {_place(row)}: {caption}"
    chart = reliability_diagram(found, *axes, alt)
    return writer.draw(f"reliability_{row.protocol}_{row.split}_{row.id}", heading, f"{caption}.", chart)


def _forecasts(writer: Writer, row: Row) -> tuple[np.ndarray, np.ndarray] | str:
    """Return the probabilities and the truth of a row, or why they cannot be shown."""
    name = "changed" if is_of_change(row) else "label"
    arrays = writer.artefact(row, "predictions", ("probability", name))
    return arrays if isinstance(arrays, str) else (arrays["probability"], arrays[name].astype(np.int64))


def _shares(members: Sequence[Row]) -> list[Share]:
    """Return what the sets of rows hold, of each group of examples, where it is told."""
    found = []
    for metric, group in _GROUPS.items():
        for row in members[:MOST_LINES]:
            value, ends = text.value_of(row, metric), text.interval_of(row, metric)
            if value is not None and ends is not None:
                found.append(Share(_place(row), group, value, *ends))
    return found


def _place(row: Row) -> str:
    """Return where a row is judged, and how far from home that is."""
    return f"{text.short_place(row)} ({where(row)})"


def coverage_table(runs: Sequence[Run]) -> Table:
    """Return the table of what sets hold, of abstention and of the list of what to look at first."""
    caption = (
        "What sets hold, beside what was asked for (red: less). Kept: right answers where the network is as certain as "
        "on the asked share of the known examples; it abstains elsewhere. Found: the changed pairs, or wrong scenes, "
        "in the list of what to look at first. Intervals are 95 %, from resampled examples, for the fitted maps and "
        "sets."
    )
    columns = (
        Column("Sets hold", _coverage, "coverage"),
        Column("Classes a set", _set_size, "set_size"),
        Column("Kept", _kept, "accuracy_kept"),
        metric_column("aurc", "AURC"),
        Column("Found", _found, "look_found"),
    )
    return result_table("certainty_sets", caption, _FIRST, (_EXAMPLES, *columns), runs, tuple(METHODS))


def calibration_table(runs: Sequence[Run]) -> Table:
    """Return the table of calibration errors and proper scores."""
    caption = (
        "Calibration. ECE of equally wide bins and of equally full ones, before calibration, and what a perfect "
        "forecaster would show by chance on as many examples. Brier and log loss (in nats): low is good; beneath, of a "
        "forecaster that knows the shares of the classes alone. A certainty counts as 0.999999 in the log loss. "
        "Intervals are 95 %, from resampled examples, for the fitted maps."
    )
    columns = (
        metric_column("ece", "ECE"),
        metric_column("ece_adaptive", "ECE, full bins"),
        metric_column("ece_before", "ECE before"),
        metric_column("ece_floor", "ECE by chance"),
        Column("Brier", lambda row: _beside_trivial(row, "brier"), "brier"),
        Column("Log loss", lambda row: _beside_trivial(row, "log_loss"), "log_loss"),
    )
    return result_table("certainty_calibration", caption, _FIRST, (_EXAMPLES, *columns), runs, tuple(METHODS))


_FIRST = Column("Method and place", lambda row: Cell(f"{title(row)}, {text.short_place(row)}", (where(row),)))
_EXAMPLES = Column("Examples", lambda row: Cell(f"{row.n:,}"))


def _beside_trivial(row: Row, metric: str) -> Cell:
    """Return a loss with its interval, and that of the trivial forecaster; red where it is no better."""
    value, ends, trivial = text.value_of(row, metric), text.interval_of(row, metric), text.baseline_of(row, metric)
    notes = (text.interval(*ends) if ends else "", f"trivial {text.number(trivial)}")
    worse = value is not None and trivial is not None and value >= trivial
    return Cell(text.number(value), tuple(filter(None, notes)), "bad" if worse else "")


def _coverage(row: Row) -> Cell:
    """Return the coverage of the sets, what was asked for, and the coverage of each kind; red where some is lost."""
    ends = text.interval_of(row, "coverage")
    if text.value_of(row, "coverage") is None:
        return Cell(text.NOT_KNOWN, ("too few known examples",))
    kinds = [
        f"{group} {text.percent(value)}"
        for metric, group in _GROUPS.items()
        if metric != "coverage" and (value := text.value_of(row, metric)) is not None
    ]
    lost = ends is not None and ends[1] < asked(row)
    return Cell(percent_of(row, "coverage"), (f"asked {text.percent(asked(row), 0)}", *kinds), "bad" if lost else "")


def _set_size(row: Row) -> Cell:
    """Return the mean size of the sets, and how many are empty or leave several answers."""
    shares = {"empty": text.value_of(row, "empty"), "several": text.value_of(row, "several")}
    notes = tuple(f"{name} {text.percent(share)}" for name, share in shares.items() if share is not None)
    return Cell(text.number(text.value_of(row, "set_size"), 2), notes)


def _kept(row: Row) -> Cell:
    """Return the accuracy of what is answered, and how much is not."""
    abstained = text.value_of(row, "abstention")
    notes = () if abstained is None else (f"abstains on {text.percent(abstained)}", f"of all {percent_of(row, 'oa')}")
    return Cell(percent_of(row, "accuracy_kept"), notes)


def _found(row: Row) -> Cell:
    """Return what the list finds, and what as many random examples would."""
    chance = text.baseline_of(row, "look_found")
    notes = () if chance is None else (f"at random {text.percent(chance)}",)
    return Cell(percent_of(row, "look_found"), notes)


def _look_folds(writer: Writer, runs: Sequence[Run]) -> Iterator[Fold]:
    """Yield the first examples of the list of every row; of repetitions the lowest seed's."""
    for run, (row, *_) in repeats_of(runs, METHODS):
        title = f"{TITLES[row.protocol]}, {text.place(row)}, {network(row)}, {run.name}{_how(row)}"
        arrays = writer.artefact(row, "look", _LOOK_ARRAYS)
        if isinstance(arrays, str):
            yield Fold(title, [Block("missing", f"Not shown. {arrays}")])
        else:
            yield Fold(title, [fragment(__package__, "look.html", shown=_seen(arrays))])


def _seen(arrays: Arrays) -> list[Seen]:
    """Return the examples of a `look` artefact."""
    fields = [name for name in ("thumb", "thumb_t1", "thumb_t2") if name in arrays]
    found = []
    for i, probability in enumerate(arrays["probability"]):
        answer, truth = text.class_name(str(arrays["answer"][i])), text.class_name(str(arrays["truth"][i]))
        of_pair = len(fields) == 2
        said = f"{text.percent(probability, 0)} {'change' if of_pair else answer}"
        dates = ("First date", "Second date") if of_pair else (f"Scene said to be {answer}",)
        images = tuple(np.asarray(arrays[name][i], np.uint8) for name in fields)
        found.append(Seen(images, dates, said, f"in truth {truth.lower() if of_pair else truth}", answer == truth))
    return found


REPORT = TaskReport(
    subject="Land use",
    topics=("certainty",),
    protocols=tuple(
        Protocol(
            protocol,
            f"Certainty of {title if method != 'scene' else 'scene classes'}",
            f"Sets by {title} hold the truth" if method != "scene" else "Sets of classes hold the truth",
            "coverage",
            sentence,
            images=1 if method == "scene" else 2,
            row_settings="certainty",
        )
        for (protocol, method), title in zip(METHODS.items(), TITLES.values(), strict=True)
    ),
    sections=(certainty_section,),
    definitions=DEFINITIONS,
)
