"""Sources over plain files: class folders, pair lists, and unlabelled images."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from mtsccd_jax.data.file_source import (
    FileSource,
    check_split,
    existing_folder,
    files_below,
    listed,
    readable_source,
)
from mtsccd_jax.errors import InputError

# Splits of a class-folder tree, and the share of paths hashed into each where it has no folders of these names.
FOLDER_SPLITS = {"train": 0.6, "validation": 0.2, "test": 0.2}

# The split that holds everything; the only one of a pair list without a split column.
ALL = "all"

CHANGED_NAMES = ("unchanged", "changed")


def folder_source(
    root: str | Path, split: str, *, image_size: int | None = None, seed: int = 0, skip_bad: bool = False
) -> FileSource:
    """Open the labelled scenes of a tree with one folder per class; fields image, label, filename.

    Classes are the folder names, sorted. Where the tree has folders named train, validation or test, these are the
    splits and hold the class folders. Otherwise a hash of `seed` and its path sends each file to train (60 %),
    validation or test (20 % each), whatever other files there are. Split "all" is every file.

    Args:
        root: The tree; hidden files are ignored, sub-folders of a class belong to it.
        split: "train", "validation", "test" or "all".
        image_size: Side in pixels that images are resized to; None keeps them.
        seed: The seed of the hash.
        skip_bad: Decode every file once, leave out those that cannot be read, and name them in `skipped`.

    Raises:
        InputError: The folder is missing or has no class folders, a file in it is empty or not an image, or the split
            is unknown or empty.
    """
    root = existing_folder(root)
    check_split(root, split, (*FOLDER_SPLITS, ALL))
    split_folders = _split_folders(root)
    if split_folders and split not in (*split_folders, ALL):
        raise InputError(f"{root} has {listed(split_folders)}, but no folder {split!r}; add it or choose another split")
    trees = split_folders or {ALL: root}
    class_names = sorted({entry.name for tree in trees.values() for entry in _class_folders(tree)})
    if not class_names:
        raise InputError(f"{root} has no class folders; put the images of each class in a folder of its name")
    labelled = [
        (path, label)
        for name, tree in trees.items()
        if split in (name, ALL) or name == ALL
        for label, class_name in enumerate(class_names)
        for path in files_below(tree / class_name, root)
    ]
    if not split_folders and split != ALL:
        labelled = [(path, label) for path, label in labelled if _hashed_split(path, seed) == split]
    paths = [path for path, _ in labelled]
    columns = {"label": np.array([label for _, label in labelled], np.int32), "filename": np.array(paths, np.str_)}
    names = {"label": tuple(class_names)}
    return readable_source(root, split, {"image": paths}, columns, names, image_size, skip_bad)


def folder_splits(root: str | Path) -> tuple[str, ...]:
    """Return the splits of a class-folder tree: its folders of these names or, without any, all of `FOLDER_SPLITS`."""
    return tuple(_split_folders(existing_folder(root)) or FOLDER_SPLITS)


def _split_folders(root: Path) -> dict[str, Path]:
    return {name: root / name for name in FOLDER_SPLITS if (root / name).is_dir()}


def pairs_source(
    root: str | Path,
    split: str,
    *,
    image_size: int | None = None,
    changed_above: float = 0.01,
    skip_bad: bool = False,
) -> FileSource:
    """Open the pairs of `pairs.csv`; fields image_t1, image_t2, changed, filename_t1, filename_t2.

    The list has columns A and B (paths below `A/` and `B/`), and either `changed` (0 or 1) or `changed_fraction` (in
    [0, 1]; a pair has changed where it is greater than `changed_above`). The values of a column `split` are the splits.
    Split "all" is every pair. Other columns are ignored.

    Args:
        root: The folder of `pairs.csv`, `A/` and `B/`.
        split: A value of the column `split`, or "all".
        image_size: Side in pixels that images are resized to; None keeps them.
        changed_above: Share of changed area above which a pair has changed.
        skip_bad: Decode every file once, leave out the pairs that cannot be read, and name them in `skipped`.

    Raises:
        InputError: The list is missing, lacks a column or has a wrong value, a path is missing or leaves the folder,
            an image is empty, or the split is unknown or empty.
    """
    root = existing_folder(root)
    table, columns = _pair_list(root)
    target = {"changed", "changed_fraction"} & columns
    if len(target) != 1:
        have = "both" if target else f"neither among {listed(columns)}"
        raise InputError(f"{table.path} needs one of the columns 'changed' and 'changed_fraction'; it has {have}")
    changed = np.array(
        [
            table.flag(line, "changed")
            if "changed" in target
            else table.fraction(line, "changed_fraction") > changed_above
            for line in table.lines
        ],
        np.int32,
    )
    split_n = [table.text(line, "split") if "split" in columns else ALL for line in table.lines]
    check_split(table.path, split, sorted({*split_n, ALL}))
    rows = [row for row, of_row in enumerate(split_n) if split in (of_row, ALL)]
    return _pairs(root, [table.images(table.lines[row]) for row in rows], split, image_size, changed[rows], skip_bad)


def pair_list_splits(root: str | Path) -> tuple[str, ...]:
    """Return the sorted splits of a folder's `pairs.csv`; ("all",) where it has no column `split`."""
    table, columns = _pair_list(existing_folder(root))
    return tuple(sorted({table.text(line, "split") for line in table.lines})) if "split" in columns else (ALL,)


def pair_files(root: str | Path, *, image_size: int | None = None, skip_bad: bool = False) -> FileSource:
    """Open pairs without labels: the columns A and B of `pairs.csv` or, without a list, equal paths in `A/` and `B/`.

    The fields are those of `pairs_source` without `changed`.

    Raises:
        InputError: As in `pairs_source`; without a list, an image is in only one of the folders.
    """
    root = existing_folder(root)
    if (root / "pairs.csv").exists():
        table, _ = _pair_list(root)
        files = [table.images(line) for line in table.lines]
    else:
        first, second = (files_below(existing_folder(root / side), root / side) for side in "AB")
        if lonely := sorted(set(first) ^ set(second)):
            raise InputError(
                f"{root}: {lonely[0]} is not in both A/ and B/ ({len(lonely)} such); complete or remove it"
            )
        files = [(path, path) for path in first]
    return _pairs(root, files, ALL, image_size, None, skip_bad)


def image_files(root: str | Path, *, image_size: int | None = None, skip_bad: bool = False) -> FileSource:
    """Open every image below a folder, in order of path; fields image and filename (the path below the folder)."""
    root = existing_folder(root)
    paths = files_below(root, root)
    columns = {"filename": np.array(paths, np.str_)}
    return readable_source(root, ALL, {"image": paths}, columns, {}, image_size, skip_bad)


@dataclass(frozen=True)
class _PairList:
    """The lines of `pairs.csv`; the key "line" of each is its number in the file."""

    path: Path
    lines: Sequence[Mapping[str, str]]

    def text(self, line: Mapping[str, str], column: str) -> str:
        if not (value := line[column].strip()):
            raise InputError(f"{self.path}, line {line['line']}: {column!r} is empty; fill it in")
        return value

    def flag(self, line: Mapping[str, str], column: str) -> bool:
        value = self.text(line, column)
        if value not in ("0", "1"):
            raise InputError(f"{self.path}, line {line['line']}: {column!r} must be 0 or 1, not {value!r}")
        return value == "1"

    def fraction(self, line: Mapping[str, str], column: str) -> float:
        text = self.text(line, column)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{self.path}, line {line['line']}: {column!r} must be a number in [0, 1], not {text!r}")
        return value

    def images(self, line: Mapping[str, str]) -> tuple[str, str]:
        """Return the paths of both images below A/ and B/; raise InputError where a path leaves its folder."""
        for side in "AB":
            name, folder = self.text(line, side), self.path.parent / side
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise InputError(f"{self.path}, line {line['line']}: {name!r} leaves {side}/; use paths inside it")
        return self.text(line, "A"), self.text(line, "B")


def _pair_list(root: Path) -> tuple[_PairList, set[str]]:
    """Read `pairs.csv`; return its lines and columns."""
    from tfds_builders.reading.archive import ArchiveError
    from tfds_builders.reading.text import text_rows

    path = root / "pairs.csv"
    if not path.is_file():
        raise InputError(f"{root} has no pairs.csv; list the pairs in it, with columns A, B and changed")
    try:
        rows = list(text_rows(path.read_bytes(), path))
    except ArchiveError as error:
        raise InputError(str(error)) from error
    columns = rows[0][1] if rows else []
    lines = [
        dict(zip_longest(columns, cells[: len(columns)], fillvalue="")) | {"line": str(n)} for n, cells in rows[1:]
    ]
    if missing := {"A", "B"} - set(columns):
        raise InputError(f"{path} lacks the column {listed(missing)}; it has {listed(columns) or 'none'}")
    return _PairList(path, lines), set(columns)


def _pairs(
    root: Path,
    files: Sequence[tuple[str, str]],
    split: str,
    image_size: int | None,
    changed: np.ndarray | None,
    skip_bad: bool,
) -> FileSource:
    """Return the source over pairs of paths below A/ and B/; without labels where `changed` is None."""
    first, second = ([pair[side] for pair in files] for side in (0, 1))
    paths = {"image_t1": [f"A/{path}" for path in first], "image_t2": [f"B/{path}" for path in second]}
    columns = {"filename_t1": np.array(first, np.str_), "filename_t2": np.array(second, np.str_)}
    names = {} if changed is None else {"changed": CHANGED_NAMES}
    if changed is not None:
        columns = {"changed": changed, **columns}
    return readable_source(root, split, paths, columns, names, image_size, skip_bad)


def _class_folders(tree: Path) -> list[Path]:
    return [entry for entry in tree.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def _hashed_split(path: str, seed: int) -> str:
    """Return the split whose share holds the hash of a path, as a number in [0, 1)."""
    position = int.from_bytes(hashlib.sha256(f"{seed}:{path}".encode()).digest()[:8], "big") / 2**64
    for split, share in FOLDER_SPLITS.items():
        if position < share:
            return split
        position -= share
    return split
