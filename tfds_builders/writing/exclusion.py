"""Leave the rows of a list out of a build. Light to import, for the worker processes."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tfds_builders.exclude_list import NAME_FIELDS, joined_name, read_exclude_list
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import read_file
from tfds_builders.writing.records import Example, Excluded, Skipped


@dataclass(frozen=True)
class WithoutListed:
    """The examples of a shard, with `Excluded` in place of those that a list names."""

    examples: Callable[[], Iterator[tuple[object, Example | Skipped | Excluded]]]
    rows: int
    names: frozenset[str]

    def __len__(self) -> int:
        return self.rows

    def __call__(self) -> Iterator[tuple[object, Example | Skipped | Excluded]]:
        """Yield the examples in their order."""
        for key, example in self.examples():
            is_listed = not isinstance(example, Skipped | Excluded) and name_of(example).removeprefix("'") in self.names
            yield key, Excluded() if is_listed else example


def name_of(example: Mapping[str, object]) -> str:
    """Return the name of an example, as lists have it."""
    fields = next(names for names in NAME_FIELDS if set(names) <= example.keys())
    return joined_name(str(example[field]) for field in fields)


class Exclusion:
    """A list for one data set: the names to leave out of its splits."""

    def __init__(self, path: str | os.PathLike[str], dataset: str):
        """Read a list; ArchiveError where it cannot be read, or says nothing of the data set ("name/config")."""
        self.path, self.dataset = Path(path), dataset
        self._list = read_exclude_list(path)
        self.sha256 = hashlib.sha256(read_file(self.path)).hexdigest()

    def names(self, split: str) -> frozenset[str]:
        """Return the names to leave out of a split."""
        return frozenset(line.name.removeprefix("'") for line in self._list.of(self.dataset, split) if line.row)

    def check(self, split: str, excluded: int) -> None:
        """Raise ArchiveError unless all rows of a split that the list names were met."""
        named = len(self.names(split))
        if named != excluded:
            raise ArchiveError(
                f"{self.path}: names {named} rows of {self.dataset} {split}, of which this archive has {excluded}; "
                "it was made for another one, so audit a build of this one"
            )
