"""Read the label files of MLRSNet as one matrix, and find their known faults."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tfds_builders.mlrsnet.names import CATEGORIES, FEWEST_LABELS, LABELS, MOST_LABELS
from tfds_builders.reading.archive import Archive, ArchiveError
from tfds_builders.reading.text import table_rows

_NUMBER = re.compile(r"\d+\.[A-Za-z]+")


@dataclass
class LabelSet:
    """The official or the corrected labels: one row an image, in the order of the categories and of their files.

    `labels_nk` is uint8 (n, 60), 1 where the image has the label. `files` names each category's label file in the
    archive. `bad` has a line for every row that was left out, `bad_filenames` its image.
    """

    name: str
    files: dict[str, str]
    filenames: list[str] = field(default_factory=list)
    category_of_row: list[str] = field(default_factory=list)
    labels_nk: np.ndarray = field(default_factory=lambda: np.zeros((0, len(LABELS)), dtype=np.uint8))
    bad: list[str] = field(default_factory=list)
    bad_filenames: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.filenames)


class Damage(NamedTuple):
    """How many images of a category break the rule of 1 to 13 labels an image, and in which way."""

    without_labels: int
    above_13: int


class Corrections(NamedTuple):
    """In how many images of a category, and in how many cells of the matrix, two label sets differ."""

    images: int
    cells: int


def read_label_set(archive: Archive, name: str, files: dict[str, str]) -> LabelSet:
    """Return the labels in `files` (category -> name in the archive).

    Values are taken as they are: images with no label or with too many stay, see `damage`. A row that cannot be read,
    of another category or of an image that an earlier row has is left out and named in `bad`.
    """
    ordered = {category: files[category] for category in CATEGORIES if category in files}
    result = LabelSet(name, ordered)
    matrices = [result.labels_nk]
    for category, file in ordered.items():
        matrices.append(_read_file(archive, file, category, result))
    result.labels_nk = np.concatenate(matrices)
    return result


def _read_file(archive: Archive, file: str, category: str, result: LabelSet) -> np.ndarray:
    """Return the labels of one file, uint8 (rows, 60), after adding everything else to `result`."""
    rows = table_rows(archive.read(file), f"{archive.path}/{file}")
    order = _column_order(f"{archive.path}/{file}", next(rows, (1, [""]))[1])
    values = []
    seen: set[str] = set()
    for number, (filename, *cells) in rows:
        problem = _row_problem(category, filename, cells, seen)
        if problem:
            result.bad.append(f"{file}, line {number}: {filename}: {problem}")
            result.bad_filenames.add(filename)
            continue
        seen.add(filename)
        result.filenames.append(filename)
        result.category_of_row.append(category)
        values.append("".join(cells))
    labels_nk = np.frombuffer("".join(values).encode("ascii"), dtype=np.uint8).reshape(len(values), len(LABELS))
    return (labels_nk - ord("0"))[:, order]


def _column_order(where: str, header: list[str]) -> list[int]:
    """Return the column of each label, in the order of `LABELS`."""
    first, *columns = header
    if first == "image" and sorted(columns) == sorted(LABELS):
        return [columns.index(label) for label in LABELS]
    missing = [label for label in LABELS if label not in columns]
    other = [column for column in columns if column not in LABELS]
    said = f"label '{missing[0]}' is missing" if missing else ""
    said = said or (f"'{other[0]}' is no label of MLRSNet" if other else "the first is not 'image' or one occurs twice")
    raise ArchiveError(f"{where}: other columns than 'image' and the 60 labels ({said}); download the file again")


def _row_problem(category: str, filename: str, cells: list[str], seen: set[str]) -> str | None:
    if not _NUMBER.fullmatch(filename.removeprefix(f"{category}_")):
        return f"not an image of the category {category}"
    if filename in seen:
        return "has an earlier row already"
    if len(cells) != len(LABELS):
        return f"{len(cells)} values instead of {len(LABELS)}"
    value = next((cell for cell in cells if cell not in ("0", "1")), None)
    return None if value is None else f"the value '{value}' is neither 0 nor 1"


def damage(labels: LabelSet) -> dict[str, Damage]:
    """Return the images that break the rule of 1 to 13 labels, for the categories that have some."""
    count_n = labels.labels_nk.sum(axis=1, dtype=np.int64)
    result = {}
    for category, rows in _rows_of_categories(labels).items():
        found = Damage(int((count_n[rows] < FEWEST_LABELS).sum()), int((count_n[rows] > MOST_LABELS).sum()))
        if any(found):
            result[category] = found
    return result


def corrections(official: LabelSet, corrected: LabelSet) -> dict[str, Corrections]:
    """Return where two label sets differ, over the images that both have, for the categories in which they do."""
    row_of = {filename: row for row, filename in enumerate(corrected.filenames)}
    result = {}
    for category, rows in _rows_of_categories(official).items():
        pairs = np.array([(r, row_of[official.filenames[r]]) for r in rows if official.filenames[r] in row_of])
        if not len(pairs):
            continue
        differs_nk = official.labels_nk[pairs[:, 0]] != corrected.labels_nk[pairs[:, 1]]
        if differs_nk.any():
            result[category] = Corrections(int(differs_nk.any(axis=1).sum()), int(differs_nk.sum()))
    return result


def damage_lines(labels: LabelSet) -> list[str]:
    """Return one line for every category in which images break the rule of 1 to 13 labels, after one in all."""
    found = damage(labels)
    if not found:
        return []
    empty, above = map(sum, zip(*found.values(), strict=True))
    lines = [
        f"{labels.name} labels: {empty + above} of {len(labels)} images break the README's 1 to 13 labels an image"
        f" ({above} have more, {empty} have none); nothing is changed"
    ]
    images = Counter(labels.category_of_row)
    for category, entry in found.items():
        parts = [f"{entry.above_13} have more than 13 labels"] if entry.above_13 else []
        parts += [f"{entry.without_labels} have none"] if entry.without_labels else []
        lines.append(f"{labels.name} labels, {category}: of {images[category]} images {' and '.join(parts)}")
    return lines


def correction_lines(official: LabelSet, corrected: LabelSet) -> list[str]:
    """Return one line for every category in which the two label sets differ, after one in all."""
    found = corrections(official, corrected)
    if not found:
        return []
    images, cells = map(sum, zip(*found.values(), strict=True))
    return [
        f"the corrected labels differ from the official ones in {images} images and {cells} cells",
        *(
            f"corrected labels, {name}: {entry.images} images and {entry.cells} cells differ"
            for name, entry in found.items()
        ),
    ]


def _rows_of_categories(labels: LabelSet) -> dict[str, np.ndarray]:
    """Return the rows of every category that has some."""
    category_n = np.array(labels.category_of_row, dtype=str)
    return {category: rows for category in CATEGORIES if len(rows := np.flatnonzero(category_n == category))}


def rows_of_one_set_only(first: LabelSet, second: LabelSet) -> list[str]:
    """Return a line for every image that only one of the two label sets has."""
    both = set(first.filenames) & set(second.filenames)
    return [
        f"{name}: in the {one.name} labels only"
        for one in (first, second)
        for name in one.filenames
        if name not in both
    ]
