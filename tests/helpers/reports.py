"""The report with all tasks, for tests."""

import csv
from pathlib import Path

from mtsccd_jax.report import page, rows
from mtsccd_jax.report.runs import group_runs
from mtsccd_jax.report.writer import Writer
from mtsccd_jax.tasks.reports import REPORTS

PROTOCOLS = {protocol.name: protocol for task in REPORTS for protocol in task.protocols}


def runs_of(members):
    """The rows as runs of all protocols."""
    return group_runs(members, {name: protocol.row_settings for name, protocol in PROTOCOLS.items()})


def write(workdirs, out):
    """The report's `index.html`."""
    return page.write(workdirs, out, REPORTS)


def records(index: Path, table: str) -> list[dict[str, str]]:
    """The lines of a table beside a page."""
    with (index.parent / "tables" / f"{table}.csv").open() as stream:
        return list(csv.DictReader(stream))


def writer_of(root: Path, out: Path) -> Writer:
    """A writer of the rows of all work directories in a folder."""
    return Writer(out, {row.id: path for path in sorted(root.iterdir()) for row in rows.load(path)})


def sentence(row):
    """What the page says of one row."""
    return PROTOCOLS[row.protocol].sentence([row])
