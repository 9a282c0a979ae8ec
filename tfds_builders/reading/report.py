"""What is found in an archive, beside the published counts."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CountTable:
    """Count found beside counts published: `found[row][column]`, `published[row][column]`."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    found: tuple[tuple[int, ...], ...]
    published: tuple[tuple[int, ...], ...]

    def differences(self) -> list[str]:
        """Return one line for every cell that is not as published."""
        return [
            f"{self.title}: {row}, {column}: {found} instead of {published}"
            for row, found_row, published_row in zip(self.rows, self.found, self.published, strict=True)
            for column, found, published in zip(self.columns, found_row, published_row, strict=True)
            if found != published
        ]

    def text(self) -> str:
        """Return the table for people: the count found, and after a slash the published one where they differ."""
        cells = [
            [str(f) if f == p else f"{f}/{p}" for f, p in zip(found_row, published_row, strict=True)]
            for found_row, published_row in zip(self.found, self.published, strict=True)
        ]
        label = max(map(len, self.rows))
        width = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        lines = [self.title, " ".join([" " * label, *(c.rjust(w) for c, w in zip(self.columns, width, strict=True))])]
        for row, values in zip(self.rows, cells, strict=True):
            lines.append(" ".join([row.ljust(label), *(v.rjust(w) for v, w in zip(values, width, strict=True))]))
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class ArchiveReport:
    """What the check of an archive found; each kind of archive has a report of its own with more counts.

    `problems` are single files, patches or rows that a build stumbles over or doubts, `differences` everything in which
    the counts are not the published ones.
    """

    path: Path
    images: int
    problems: list[str]
    differences: list[str]
    tables: tuple[CountTable, ...]

    @property
    def strict_ok(self) -> bool:
        """Return whether this is the published archive: no problem and no difference."""
        return not self.problems and not self.differences

    def counted(self) -> str:
        """Return how much there is, in words."""
        return f"{self.images} images"

    def paragraphs(self) -> list[str]:
        """Return what is to be said between tables and problems."""
        return []

    def text(self) -> str:
        """Return the whole report for people."""
        problems = "\n".join([f"{len(self.problems)} problems", *self.problems])
        differences = "\n".join([f"{len(self.differences)} differences from the published counts", *self.differences])
        tables = [table.text() for table in self.tables]
        return "\n\n".join([f"{self.path}: {self.counted()}", *tables, *self.paragraphs(), problems, differences])
