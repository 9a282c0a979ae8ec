"""The writer of a report: every chart as SVG and PNG, every table as CSV, Markdown and LaTeX."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing, utf8
from mtsccd_jax.report import rows, tables
from mtsccd_jax.report.pictures import chart_style
from mtsccd_jax.report.pictures.chart_style import Chart
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.sections import Figure
from mtsccd_jax.report.tables import Table

# Suffix -> how a table is written.
FORMATS = {"csv": tables.csv_text, "md": tables.markdown_text, "tex": tables.latex_text}

Arrays = dict[str, np.ndarray]


@dataclass
class Writer:
    """Writes to the folder of a report, and reads the artefacts of its rows."""

    out_dir: Path
    workdir_of: dict[str, Path]  # by id of the row
    charts: int = 0  # so far

    def draw(self, name: str, title: str, caption: str, chart: Chart, *, wide: bool = False) -> Figure:
        """Write a chart to the folder of figures, and return it for the page."""
        self.charts += 1
        write_file(self.out_dir / "figures" / f"{file_name(name)}.svg", utf8(chart.svg))
        self.picture(name, chart.png)
        return Figure(title, caption, chart_style.inline(chart.svg, f"f{self.charts}"), wide=wide)

    def picture(self, name: str, png: bytes) -> None:
        """Write a PNG to the folder of figures."""
        write_file(self.out_dir / "figures" / f"{file_name(name)}.png", png)

    def table(self, table: Table) -> Table:
        """Write a table to the folder of tables, and return it for the page."""
        for suffix, text in FORMATS.items():
            write_file(self.out_dir / "tables" / f"{file_name(table.name)}.{suffix}", utf8(text(table)))
        return table

    def artefact(self, row: Row, name: str, keys: Sequence[str]) -> Arrays | str:
        """Return the arrays of a row's artefact, or a sentence on why they cannot be shown."""
        try:
            arrays = rows.load_artefact(self.workdir_of[row.id], row, name)
        except InputError as error:
            return str(error)
        if arrays is None:
            named = row.artefacts.get(name)
            return f"{named} is missing from the work directory." if named else f"The row names no “{name}” artefact."
        if absent := [key for key in keys if key not in arrays]:
            return f"{row.artefacts[name]} lacks {', '.join(absent)}."
        return arrays


def file_name(name: str) -> str:
    """Return a name that stays in its folder: splits and ids in it are whatever the writer of a row chose."""
    return re.sub(r"[^\w.,+%=()\[\] -]", "_", name).lstrip(".")[:200]


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as file:
        file.write(content)
