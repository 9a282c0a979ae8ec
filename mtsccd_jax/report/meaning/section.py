"""The section of the page on what its numbers mean."""

from collections.abc import Sequence

from mtsccd_jax.report import text
from mtsccd_jax.report.meaning.explain import Explanation, explain
from mtsccd_jax.report.runs import Run, network, shown
from mtsccd_jax.report.sections import Block, Fold, Place, Section, TaskReport
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.writer import Writer

_PROSE = (
    "One name stands for several numbers. For one row of each kind: over what each metric is averaged, and what other "
    "libraries and papers would print for the same predictions. “mtsccd-jax explain” says it of any row."
)


def section(writer: Writer, runs: Sequence[Run], tasks: Sequence[TaskReport]) -> Section:
    """Return the section: one row of each protocol explained."""
    folds = []
    for task in tasks:
        for protocol in task.protocols:
            rows = [row for row in shown(runs) if row.protocol == protocol.name]
            if not rows:
                continue
            row = next((row for row in rows if row.split != "validation"), rows[0])
            explained = explain(writer.workdir_of[row.id], row, task)
            tables = [writer.table(metric_table(explained)), writer.table(peer_table(explained))]
            note = Block("prose", f"{_measured(explained)} Decision: {explained.decision}.")
            folds.append(Fold(protocol.title, [note, Block("tables", tables, "dense reasons")]))
    blocks = [Block("prose", _PROSE), Block("details", folds)]
    return Section("meaning", "What the numbers mean", Place.MEANING, blocks, "Meaning")


def _measured(explained: Explanation) -> str:
    """Say on what the row was measured."""
    row, absent = explained.row, explained.absent
    said = f"{text.place(row)}, {network(row)}, seed {row.seed}, row {row.id}; {row.n:,} examples"
    said += ", images drawn by a program" if row.generated else ""
    return f"{said}; {'no class is absent' if not absent else 'absent: ' + ', '.join(map(text.class_name, absent))}."


def metric_table(explained: Explanation) -> Table:
    """Return the table of a row's metrics: value with interval, average, denominator and definition."""
    row, rows = explained.row, []
    for name, entry in row.metrics.items():
        found = explained.definition(name)
        interval = text.interval(entry["low"], entry["high"])
        rows.append(
            [
                Cell(text.metric_name(name)),
                Cell(text.number(entry["value"]), (interval,) if interval else ()),
                Cell(found.average, (f"over {found.denominator}",)) if found else Cell(text.NOT_KNOWN),
                Cell(found.text if found else text.NOT_KNOWN),
            ]
        )
    records = [{"metric": name, **facts} for name, facts in explained.record["metrics"].items()]
    columns = (("Metric", False), ("Value", True), ("Average", False), ("What it is", False))
    return Table(f"meaning_{row.protocol}", "The metrics of the row.", columns, rows, records)


def peer_table(explained: Explanation) -> Table:
    """Return the table of peers: what each would print for the predictions of the row."""
    row, rows, records = explained.row, [], explained.record["peers"]
    for reading in explained.readings:
        same = "same" if reading.same else "differs"
        value = Cell(text.number(reading.value), (reading.missing or same,), "" if reading.same else "bad")
        cells = (reading.peer.who, reading.name, text.metric_name(reading.metric))
        rows.append([*map(Cell, cells), Cell(text.number(reading.own)), value, Cell(reading.peer.text)])
    columns = (
        *((title, False) for title in ("Whose", "Name there", "Taken for")),
        *((title, True) for title in ("Ours", "Theirs")),
        ("What it does", False),
    )
    caption = "The same predictions by the definitions of others."
    return Table(f"peers_{row.protocol}", caption, columns, rows, records)
