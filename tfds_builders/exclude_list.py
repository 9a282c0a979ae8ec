"""Lists of rows to leave out, as `mtsccd-jax data audit` writes them: later rows that are copies of earlier ones.

A list is a CSV file. It knows the data it was made for: for every split that was audited, or only compared with, it has
a line without a row, with a fingerprint of the names of the split's rows.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import read_file
from tfds_builders.reading.text import text_rows

# The names of an example of a data set, the first that it has; of pairs both dates.
NAME_FIELDS = (("filename",), ("patch_id",), ("filename_t1", "filename_t2"))
# Kind of the line of a split that others were compared with, and that was not audited itself.
COMPARED = "compared"
# Between the names of both dates.
_AND = " | "


@dataclass(frozen=True)
class Line:
    """A row to leave out, and why; or, with an empty row, a split that was audited or compared with.

    Attributes:
        dataset: "name/configuration" of the data set, or "folder:name".
        split: The split.
        row: The number of the row in it, or "".
        name: The name of the row, of a pair both.
        fingerprint: `names_fingerprint` of the split.
        kind: What is proven of the pair: "exact", "near" or "hash"; of a split COMPARED where it was not audited.
        kept_dataset: Data set of the image that it is a copy of.
        kept_split: Its split.
        kept_name: Its name.
    """

    dataset: str
    split: str
    row: str
    name: str
    fingerprint: str
    kind: str = ""
    kept_dataset: str = ""
    kept_split: str = ""
    kept_name: str = ""


COLUMNS = tuple(field.name for field in fields(Line))


@dataclass(frozen=True)
class ExcludeList:
    """The lines of a list by data set and split."""

    path: Path
    lines: Mapping[tuple[str, str], Sequence[Line]]

    def of(self, dataset: str, split: str) -> Sequence[Line]:
        """Return the lines of a split, of which one at least is there; ArchiveError where the list has none."""
        if not self.has(dataset, split, audited=True):
            known = ", ".join(f"{name} {part}" for name, part in self.lines if self.has(name, part, audited=True))
            known = known or "nothing"
            raise ArchiveError(
                f"{self.path}: says nothing of {dataset} {split}, but of {known}; audit that data set "
                "(`mtsccd-jax data audit`) and give its exclude.csv"
            )
        return self.lines[dataset, split]

    def has(self, dataset: str, split: str, *, audited: bool = False) -> bool:
        """Return whether a split was looked at, or `audited`."""
        heads = [line for line in self.lines.get((dataset, split), ()) if not line.row]
        return any(not (audited and line.kind == COMPARED) for line in heads)


def read_exclude_list(path: str | os.PathLike[str]) -> ExcludeList:
    """Read a list; ArchiveError where it is no list, or a line of it is wrong."""
    path = Path(path)
    rows = list(text_rows(read_file(path), path))
    if not rows or tuple(rows[0][1]) != COLUMNS:
        raise ArchiveError(f"{path}: no list of `mtsccd-jax data audit`; its first line must be {','.join(COLUMNS)}")
    lines: dict[tuple[str, str], list[Line]] = {}
    for number, cells in rows[1:]:
        if len(cells) != len(COLUMNS) or not (cells[2] == "" or (cells[2].isascii() and cells[2].isdigit())):
            raise ArchiveError(f"{path}, line {number}: not {len(COLUMNS)} cells with a row number; write it again")
        line = Line(*cells)
        lines.setdefault((line.dataset, line.split), []).append(line)
    return ExcludeList(path, lines)


def joined_name(names: Iterable[str]) -> str:
    """Return the name of a row from the names of its images, as lists have it."""
    return _AND.join(" ".join(str(name).split()) for name in names)


def is_name(cell: str, name: str) -> bool:
    """Return whether a cell of a list is a name; an apostrophe stands before one that a spreadsheet would run."""
    return cell.removeprefix("'") == name.removeprefix("'")


def names_fingerprint(names: Iterable[str]) -> str:
    """Return the SHA-256 of the names of a split's rows, in their order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
