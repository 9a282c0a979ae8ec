"""Tables and charts of rows, for every task: results with intervals, trivial and published values, and speed."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtsccd_jax.report import text
from mtsccd_jax.report.pictures import charts
from mtsccd_jax.report.pictures.charts import Estimate, Speed
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, network, recipe_name, repeats_of, settings, shown
from mtsccd_jax.report.sections import Block, Figure, Place, Protocol, Section
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.text import NOT_KNOWN
from mtsccd_jax.report.unique_names import network_among, rows_apart
from mtsccd_jax.report.writer import Writer

# More rows than this cannot be told apart in one chart; then each protocol gets a chart.
CHART_ROWS = 14
# The cell of a value that the paper has and we have not, or the other way round.
EMPTY = Cell(NOT_KNOWN)


class Column(NamedTuple):
    """A column of a table of rows: its heading, and its cell of a row; of a metric its name, for means over seeds."""

    title: str
    cell: Callable[[Row], Cell]
    metric: str = ""


def metric_column(metric: str, title: str = "") -> Column:
    """Return the column of a metric with its intervals, under its own title unless another is given."""
    return Column(title or text.metric_name(metric), lambda row: _metric_cell(row, metric), metric)


def baseline_column(title: str, metric: str) -> Column:
    """Return the column of the trivial predictor's value of a metric (larger is better); it marks rows below it."""

    def cell(row: Row) -> Cell:
        trivial = text.number(text.baseline_of(row, metric))
        return Cell(trivial, ("the row is below",), "bad") if text.is_below_trivial(row, metric) else Cell(trivial)

    return Column(title, cell)


def result_table(
    name: str,
    caption: str,
    first: Column,
    columns: Sequence[Column],
    runs: Sequence[Run],
    protocols: Sequence[str],
    footnotes: tuple[str, ...] = (),
) -> Table:
    """Return the table of the rows of some protocols, with a line of mean and deviation after repetitions.

    The `first` column names the row; network, seed and recipe follow in small print. The next counts its examples.
    """
    known = repeats_of(runs, protocols)
    if any("leaked" in row.metrics for _, repeats in known for row in repeats):
        columns = (*columns, Column(text.metric_name("leaked"), _leaked_cell))
    lines: list[list[Cell]] = []
    summaries: set[int] = set()
    records = []
    for run, repeats in known:
        for row in repeats:
            named = first.cell(row)
            named = Cell(named.text, (*small_print(run, row), *named.notes))
            lines.append([named, *(column.cell(row) for column in columns)])
            records.append(_record(row))
        if len(repeats) > 1:
            summaries.add(len(lines))
            mean_of = Cell(lines[-1][0].text, (f"mean of {len(repeats)} runs", run.name))
            means = [_mean_cell(repeats, column.metric) if column.metric else Cell("") for column in columns[1:]]
            lines.append([mean_of, lines[-1][1], *means])
    titles = (first.title, False), *((column.title, True) for column in columns)
    return Table(name, caption, titles, lines, records, summaries, footnotes)


def small_print(run: Run, row: Row) -> tuple[str, ...]:
    """Return the network, its seed and its recipe, for small print."""
    return f"{network(row)}, seed\u00a0{row.seed}", run.name


def count_table(name: str, caption: str, first: str, counts: np.ndarray, class_names: Sequence[str]) -> Table:
    """Return the table of counts (k, k) under the names of their classes; `first` says what the rows are."""
    shorts = text.short_class_names(class_names)
    rows = [[Cell(short), *(Cell(f"{c:,}") for c in line)] for short, line in zip(shorts, counts, strict=True)]
    records = [
        {first.lower().replace(" ", "_"): title, **dict(zip(class_names, map(int, line), strict=True))}
        for title, line in zip(class_names, counts, strict=True)
    ]
    return Table(name, caption, ((first, False), *((short, True) for short in shorts)), rows, records)


def confusion_table(row: Row, title: str) -> Table:
    """Return the table of a row's confusion matrix; `title` names its protocol."""
    caption = f"{title} on {text.split_name(row.split, row.dataset)}: counts, rows are truth."
    name = f"confusion_{row.protocol}_{row.split}_{row.id}"
    return count_table(name, caption, "Truth", np.asarray(row.confusion), row.class_names)


def own_value(
    repeats: Sequence[Row],
    metric: str,
    show: Callable[[float], str] = text.four,
    brief: Callable[[float], str] = text.number,
) -> Cell:
    """Return our value: the mean over seeds with its deviation, and the interval of the first seed.

    `show` writes the value and its deviation, `brief` the ends of the interval.
    """
    known = _known(repeats, metric)
    if not known:
        return EMPTY
    mean, deviation = text.mean_std([value for _, value in known])
    ends = text.interval_of(known[0][0], metric)
    interval = f"[{brief(ends[0])}, {brief(ends[1])}]" if ends else ""
    if deviation is None:
        return Cell(show(mean), (interval,) if interval else ())
    notes = f"± {show(deviation)}, {len(known)} seeds", f"seed {known[0][0].seed} {interval}" if interval else ""
    return Cell(show(mean), tuple(filter(None, notes)))


def own_record(repeats: Sequence[Row], split: str, metric: str) -> dict[str, Any]:
    """Return our value as record: mean and deviation over seeds, their number, and the interval of the first."""
    known = _known(repeats, metric)
    mean, deviation = text.mean_std([value for _, value in known]) if known else (None, None)
    low, high = (text.interval_of(known[0][0], metric) if known else None) or (None, None)
    name = f"{split}_{metric}"
    record = {name: mean, f"{name}_std": deviation, f"{name}_low": low, f"{name}_high": high}
    return record | {f"{split}_seeds": len(known)}


def overview(writer: Writer, runs: Sequence[Run], protocols: Sequence[Protocol], name: str) -> list[Figure]:
    """Draw kappa and overall accuracy of a task's rows beside the trivial predictor and the paper."""
    members = shown(runs, [protocol.name for protocol in protocols])
    titles = {protocol.name: protocol.title for protocol in protocols}
    several = len(protocols) > 1
    drawn = []
    for metric, axis, chance in (("kappa", "Cohen's kappa", "0: chance"), ("oa", "overall accuracy", "0 to 1")):
        title, label = f"{axis[0].upper()}{axis[1:]} with 95 % interval", f"{axis} ({chance})"
        if len(members) <= CHART_ROWS:
            labels = _chart_labels(members, titles if several else {})
            drawn += intervals(writer, f"{name}_{metric}", title, label, members, labels, metric)
            continue
        for protocol in dict.fromkeys(row.protocol for row in members):
            own = [row for row in members if row.protocol == protocol and row.split != "validation"]
            file_name = f"{name}_{metric}_{protocol}" if several else f"{name}_{metric}"
            which = f"{titles[protocol]}: {title}" if several else title
            drawn += intervals(writer, file_name, which, label, own, _chart_labels(own, {}), metric)
    return drawn


def charts_by_archive(
    writer: Writer,
    rows: Sequence[Row],
    metrics: Sequence[tuple[str, str, str]],
    name: str,
    names_of: Callable[[Sequence[Row]], list[str]] = rows_apart,
) -> list[Figure]:
    """Draw (metric, what it is, axis) of the rows of each data set beside the trivial and the published values."""
    by_archive: dict[str, list[Row]] = {}
    for row in rows:
        by_archive.setdefault(text.archive(row), []).append(row)
    drawn = []
    for archive, members in by_archive.items():
        labels = names_of(members)
        for metric, what, axis in metrics:
            file_name, title = f"{name}_{archive.replace(':', '_')}_{metric}", f"{text.data_name(archive)}: {what}"
            drawn += intervals(writer, file_name, title, axis, members, labels, metric, "published")
    return drawn


def intervals(
    writer: Writer,
    name: str,
    title: str,
    axis: str,
    rows: Sequence[Row],
    labels: Sequence[str],
    metric: str,
    source: str = "paper",
) -> list[Figure]:
    """Draw one metric of rows with these labels beside the trivial and the published values, if any row has it."""
    found = []
    for row, label in zip(rows, labels, strict=True):
        value, ends = text.value_of(row, metric), text.interval_of(row, metric)
        if value is not None:
            low, high = ends or (None, None)
            possible = metric != "kappa" or bool((row.published or {}).get("possible", True))
            trivial, published = text.baseline_of(row, metric), text.published_of(row, metric)
            found.append(Estimate(label, value, low, high, trivial, published, possible))
    if not found:
        return []
    alt = ", ".join(f"{e.label}: {e.value:.3f}" for e in found)
    return [writer.draw(name, title, "", charts.intervals(found, axis, alt, source=source))]


def pareto(
    writer: Writer,
    runs: Sequence[Run],
    rows: Sequence[Row],
    name: str,
    what: str,
    metric: str,
    axis: str,
    titles: dict[str, str] | None = None,
) -> list[Figure]:
    """Draw what networks reach by a metric against their speed; nothing with fewer than two networks.

    `what` the rows are of stands in the title, `axis` is the metric in words, `titles` tells several protocols apart.
    """
    fast = [row for row in shown(runs) if row.images_per_s and row.split != "validation"]
    devices = sorted({row.device for row in fast if row.device})
    note = f"On {devices[0]}. " if len(devices) == 1 else "On different devices, so speeds are no comparison. "
    own = {row.id for row, _ in _known(rows, metric)}
    groups: dict[tuple[str | None, ...], list[Row]] = {}
    for row in fast:
        if row.id in own:
            run = json.dumps(settings(row), sort_keys=True)
            groups.setdefault((row.protocol, run, row.dataset, row.objective), []).append(row)
    firsts = [members[0] for members in groups.values()]
    if len({network(row) for row in firsts}) < 2:
        return []
    speeds = [
        Speed(
            float(np.median([row.images_per_s or np.nan for row in members])),
            float(np.mean([value for _, value in _known(members, metric)])),
            network_among(members[0], firsts) + (", leak-free" if text.is_leak_free(members[0]) else ""),
            (titles or {}).get(members[0].protocol, ""),
        )
        for members in groups.values()
    ]
    alt = ", ".join(f"{s.kind} {s.label}: {s.value:.3f} at {s.images_per_s:,.0f} images/s".strip() for s in speeds)
    chart = charts.pareto(speeds, f"{axis}, mean of the test sets", alt)
    title = f"{axis[0].upper()}{axis[1:]} against throughput, {what}"
    caption = f"{note}Named are the networks that no other beats in both."
    return [writer.draw(f"pareto_{name}", title, caption, chart)]


def speed_section(figures: Sequence[Figure]) -> Section:
    """Return a task's part of the section on accuracy against throughput."""
    return Section("speed", "Accuracy against throughput", Place.SPEED, [Block("figures", figures, "large")])


def _chart_labels(rows: Sequence[Row], titles: dict[str, str]) -> list[str]:
    """Return the labels of rows in one chart: the split, and what differs between them."""
    seeds, objectives = {row.seed for row in rows}, {row.objective for row in rows if row.objective}
    networks = [network_among(row, rows) for row in rows]
    return [
        ", ".join(
            [
                *([titles[row.protocol]] if titles else []),
                text.short_place(row),
                *([name] if len(set(networks)) > 1 else []),
                *([f"seed {row.seed}"] if len(seeds) > 1 else []),
                *([f"best {row.objective}"] if len(objectives) > 1 and row.objective else []),
            ]
        )
        for row, name in zip(rows, networks, strict=True)
    ]


def _metric_cell(row: Row, metric: str) -> Cell:
    """Return a metric with its interval, and the interval with a threshold chosen again where there is one."""
    entries = row.metrics.get(metric), (row.metrics_rechosen or {}).get(metric)
    notes = (text.interval(entry["low"], entry["high"]) for entry in entries if entry)
    return Cell(text.number(text.value_of(row, metric)), tuple(filter(None, notes)))


def _leaked_cell(row: Row) -> Cell:
    """Return the share of examples that have a copy in training."""
    leaked = text.value_of(row, "leaked")
    return EMPTY if leaked is None else Cell(text.percent(leaked))


def _mean_cell(repeats: Sequence[Row], metric: str) -> Cell:
    """Return mean and standard deviation of a metric over repetitions."""
    known = _known(repeats, metric)
    if not known:
        return EMPTY
    mean, deviation = text.mean_std([value for _, value in known])
    return Cell(text.number(mean), (f"± {text.number(deviation)}",) if deviation is not None else ())


def _known(rows: Sequence[Row], metric: str) -> list[tuple[Row, float]]:
    """Return the rows that have a metric, each with its value."""
    return [(row, value) for row in rows if (value := text.value_of(row, metric)) is not None]


def _record(row: Row) -> dict[str, Any]:
    """Return the row as flat values."""
    facts = ("model", "seed", "dataset", "protocol", "split", "n")
    record: dict[str, Any] = {"id": row.id, "recipe": recipe_name(row), **{name: getattr(row, name) for name in facts}}
    for name, entry in row.metrics.items():
        record |= {name: entry["value"], f"{name}_low": entry["low"], f"{name}_high": entry["high"]}
    for name, entry in (row.metrics_rechosen or {}).items():
        record |= {f"{name}_rechosen_low": entry["low"], f"{name}_rechosen_high": entry["high"]}
    baseline, paper = text.baseline(row), row.published or {}
    record |= {"threshold": row.threshold, "objective": row.objective, "threshold_from": row.threshold_from}
    record |= {f"baseline_{key}": baseline.get(key) for key in baseline or ("name", "oa", "kappa")}
    record |= {f"published_{name}": value for name, value in (paper.get("metrics") or {}).items()}
    return record | {f"published_{key}": paper.get(key) for key in ("model", "oa", "kappa", "threshold", "possible")}
