"""A table as cells for readers and as records for machines, and its CSV, Markdown and LaTeX."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mtsccd_jax.errors import one_line

# Characters with a meaning in LaTeX, and characters that its fonts lack.
_LATEX: dict[str, str] = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    "≤": r"$\le$",
    "▲": r"$\blacktriangle$",
    "▽": r"$\triangledown$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "“": "``",
    "”": "''",
    "–": "--",
    "…": r"\dots{}",
    "\u00a0": "~",
    "\u202f": r"\,",
}
# What makes a spreadsheet take a cell for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Cell:
    """One cell: its text, smaller lines beneath, and "bad" or "good" where it stands out."""

    text: str
    notes: tuple[str, ...] = ()
    kind: str = ""

    @property
    def line(self) -> str:
        """The cell on one line."""
        return f"{self.text} ({'; '.join(self.notes)})" if self.notes else self.text


@dataclass(frozen=True)
class Table:
    """A table for the page and for files."""

    name: str  # of its files, without suffix
    caption: str
    columns: tuple[tuple[str, bool], ...]  # title, whether numbers stand in it
    rows: list[list[Cell]]
    records: list[dict[str, Any]]  # the same as plain values under plain names, for CSV
    summaries: set[int] = field(default_factory=set)  # indices of rows that sum up those above (mean over seeds)
    footnotes: tuple[str, ...] = ()  # sentences beneath the table


def csv_text(table: Table) -> str:
    """Return the records of a table as CSV; unknown values are empty."""
    names = list(dict.fromkeys(name for record in table.records for name in record))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(csv_cell, names))
    writer.writerows([csv_cell(record.get(name)) for name in names] for record in table.records)
    return buffer.getvalue()


def csv_cell(value: Any) -> Any:
    """Return a value for a CSV file: an apostrophe stands before text that a spreadsheet would run (OWASP)."""
    if not isinstance(value, str) or not value.startswith(_FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def markdown_text(table: Table) -> str:
    """Return the cells of a table as a Markdown table under its caption."""

    def line(texts: Sequence[str]) -> str:
        return f"| {' | '.join(_markdown(text).replace('|', chr(92) + '|') for text in texts)} |"

    titles = [title for title, _ in table.columns]
    rules = ["---:" if numeric else "---" for _, numeric in table.columns]
    body = [[cell.line for cell in row] for row in table.rows]
    footnotes = ["", *(f"- {_markdown(sentence)}" for sentence in table.footnotes)] if table.footnotes else []
    return "\n".join([_markdown(table.caption), "", line(titles), line(rules), *map(line, body), *footnotes]) + "\n"


def _markdown(text: str) -> str:
    """Return text in one line that is no HTML, link or picture in Markdown."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")


def latex_text(table: Table) -> str:
    """Return the cells of a table as LaTeX (packages booktabs and amssymb), with its caption and footnotes."""
    alignment = "".join("r" if numeric else "l" for _, numeric in table.columns)

    def line(texts: Sequence[str]) -> str:
        cells = ["".join(_LATEX.get(c, c) for c in one_line(text)) for text in texts]
        guard = "{}" if cells[0].startswith(("[", "*")) else ""  # else it belongs to the command before
        return guard + " & ".join(cells) + r" \\"

    body = []
    for index, row in enumerate(table.rows):
        if index in table.summaries:
            body.append(r"\midrule")
        body.append(line([cell.line for cell in row]))
    caption, *footnotes = (line([text]).removesuffix(r" \\") for text in (table.caption, *table.footnotes))
    lines = [
        r"\begin{table}",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        line([title for title, _ in table.columns]),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {sentence}" for sentence in footnotes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
