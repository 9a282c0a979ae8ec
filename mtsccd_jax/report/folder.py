"""The folder that a report is written to: every figure as SVG and PNG, every table as CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.report import drawing, rows, tables
from mtsccd_jax.report.drawing import Chart
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.tables import Table

# How each table is written, by suffix.
WRITERS = {"csv": tables.csv_text, "md": tables.markdown_text, "tex": tables.latex_text}


@dataclass(frozen=True)
class Drawn:
    """A figure on the page; where there is nothing to draw, `svg` is empty and `missing` says why."""

    title: str
    caption: str = ""
    svg: str = ""
    missing: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Detail:
    """Figures and tables that are folded away together under a title."""

    title: str
    figures: list[Drawn]
    tables: list[Table] = field(default_factory=list)


@dataclass
class Folder:
    """The folder that is being written, and where the artefacts of each row lie."""

    out_dir: Path
    workdir_of: dict[str, Path]
    count: int = 0

    def draw(self, name: str, title: str, caption: str, chart: Chart, *, wide: bool = False) -> Drawn:
        """The figure for the page, written to the folder of figures under its name too."""
        self.count += 1
        write_text(self.out_dir / "figures" / f"{name}.svg", chart.svg)
        write_bytes(self.out_dir / "figures" / f"{name}.png", chart.png)
        return Drawn(title, caption, drawing.inline(chart.svg, f"f{self.count}"), wide=wide)

    def table(self, table: Table) -> Table:
        """The table, written to the folder of tables under its name too."""
        for suffix, text in WRITERS.items():
            write_text(self.out_dir / "tables" / f"{table.name}.{suffix}", text(table))
        return table

    def artefact(self, row: Row, name: str, keys: Sequence[str]) -> dict[str, np.ndarray] | str:
        """The arrays of a row's artefact, or a sentence on why they cannot be shown."""
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


def write_text(path: Path, text: str) -> None:
    """Nothing; writes a text file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Nothing; writes a file whole or not at all."""
    with replacing(path) as file:
        file.write(content)
