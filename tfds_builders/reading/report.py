"""The comparison of an archive with the published counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class CountTable:
    """Counts found and counts published: `found[row][column]`, `published[row][column]`."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    found: tuple[tuple[int, ...], ...]
    published: tuple[tuple[int, ...], ...]

    @classmethod
    def of_rows(
        cls, title: str, columns: Sequence[str], rows: Mapping[str, tuple[Sequence[int], Sequence[int]]]
    ) -> "CountTable":
        """Return the table of `rows`: name -> (counts found, counts published)."""
        found, published = (tuple(tuple(counts[at]) for counts in rows.values()) for at in (0, 1))
        return cls(title, tuple(rows), tuple(columns), found, published)

    @classmethod
    def of_counts(cls, title: str, column: str, counts: Mapping[str, tuple[int, int]]) -> "CountTable":
        """Return the table of one column from name -> (count found, count published)."""
        return cls.of_rows(title, (column,), {name: ((found,), (known,)) for name, (found, known) in counts.items()})

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
    """The result of the check of an archive; each kind of archive adds counts of its own.

    `problems` are single files, patches or rows that a build stumbles over or doubts; `other_differences` are those
    from the published archive that no table shows.
    """

    COUNTED: ClassVar[str] = "{0.images} images"  # how much there is, in words

    path: Path
    images: int
    problems: list[str]
    other_differences: list[str]
    tables: tuple[CountTable, ...]
    generated: bool = False  # whether `mtsccd-jax data synth` drew it

    @property
    def differences(self) -> list[str]:
        """One line for everything that is not as in the published archive."""
        lines = [*self.other_differences, *(line for table in self.tables for line in table.differences())]
        return list(dict.fromkeys(lines))

    @property
    def strict_ok(self) -> bool:
        """Whether this is the published archive: no problem and no difference."""
        return not self.problems and not self.differences

    def counts(self) -> dict[str, Any]:
        """Return every count by its name; `pairs` is None for an archive without pairs."""
        shared = {field.name for field in fields(ArchiveReport)}
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in shared}
        return {"images": self.images, "pairs": None} | own

    def paragraphs(self) -> list[str]:
        """Return the paragraphs of the report between its tables and its problems."""
        return []

    @property
    def verdict(self) -> str:
        """What the check comes to, in one line."""
        found = [
            f"{len(lines)} {noun}{'s' * (len(lines) != 1)}"
            for lines, noun in ((self.problems, "problem"), (self.differences, "difference"))
            if lines
        ]
        what = "a generated archive, not the published one" if self.generated else "the published archive"
        if self.problems:
            return f"{what}, with {' and '.join(found)}: look at the problems before you build".removeprefix("the ")
        if self.strict_ok or self.generated:
            return f"{what}; it can be built"
        return f"not {what} as it was counted ({found[0]}); it can be built"

    def text(self) -> str:
        """Return the whole report for people; its last line is the verdict."""
        problems = "\n".join([f"{len(self.problems)} problems", *self.problems])
        differences = "\n".join([f"{len(self.differences)} differences from the published counts", *self.differences])
        tables = [table.text() for table in self.tables]
        return "\n\n".join(
            [
                f"{self.path}: {self.COUNTED.format(self)}",
                *tables,
                *self.paragraphs(),
                problems,
                differences,
                f"verdict: {self.verdict}",
            ]
        )
