"""Sources over plain files: class folders, pair lists, and unlabelled images."""

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from mtsccd_jax.data.class_tree import ALL, FOLDER_SPLITS, read_class_tree
from mtsccd_jax.data.file_source import FileSource, check_split, existing_folder, listed, readable_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes
from tfds_builders.reading.files import is_of_the_machine
from tfds_builders.reading.folders import tree_of
from tfds_builders.reading.names import as_text, split_of_name

CHANGED_NAMES = ("unchanged", "changed")
# What programs write for a flag: integers, numbers where a column has gaps, truth values.
_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def folder_source(
    root: str | Path, split: str, *, image_size: int | None = None, seed: int = 0, skip_bad: bool = False
) -> FileSource:
    """Open the labelled scenes of a tree with one folder per class; fields image, label, filename.

    Classes are the names of the folders with files in them, sorted. Where the tree has folders that are called like
    splits (train, training, val, valid, validation, test, testing, in any case), these are the splits and hold the
    class folders. Otherwise a hash of `seed` and its path sends each file to train (60 %), validation or test (20 %
    each), whatever other files there are. Split "all" is every file.

    Args:
        root: The tree, or a folder with nothing but it; sub-folders of a class belong to it, links too. Hidden files
            and litter are ignored.
        split: "train", "validation", "test" or "all".
        image_size: Side in pixels that images are resized to; None keeps them.
        seed: The seed of the hash.
        skip_bad: Decode every file once, leave out those that cannot be read, and name them in `skipped`.

    Raises:
        InputError: The folder is missing or has no class folders, it cannot be told whether folders are classes or
            splits, a file in it is empty or not an image, or the split is unknown or empty.
    """
    root = existing_folder(root)
    split = split_of_name(split) or split
    check_split(root, split, (*FOLDER_SPLITS, ALL))
    tree = read_class_tree(root)
    labelled = [row for name, rows in tree.rows.items() if split in (name, ALL) or name == ALL for row in rows]
    if tree.splits and split not in (*tree.splits, ALL):
        hint = " (to train without: --set engine.validate=false)" if split == "validation" else ""
        raise InputError(
            f"{root} has {listed(tree.splits)}, but no folder {split!r}; add it or choose another split{hint}"
        )
    if not tree.splits and split != ALL:
        labelled = [(path, label) for path, label in labelled if _hashed_split(path, seed) == split]
    paths = [path for path, _ in labelled]
    columns = {"label": np.array([label for _, label in labelled], np.int32), "filename": _texts(paths)}
    names = {"label": tree.class_names}
    return readable_source(root, split, {"image": paths}, columns, names, image_size, skip_bad)


def folder_splits(root: str | Path) -> tuple[str, ...]:
    """Return the splits of a class-folder tree: its folders of such names or, without any, all of `FOLDER_SPLITS`."""
    return read_class_tree(existing_folder(root)).splits or tuple(FOLDER_SPLITS)


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
    [0, 1]; a pair has changed where it is greater than `changed_above`). The values of a column `split` are the splits;
    those that mean train, validation or test are called so. Split "all" is every pair. Other columns are ignored.

    Args:
        root: The folder of `pairs.csv`, `A/` and `B/`.
        split: A value of the column `split`, or "all".
        image_size: Side in pixels that images are resized to; None keeps them.
        changed_above: Share of changed area above which a pair has changed.
        skip_bad: Decode every file once, leave out the pairs that cannot be read, and name them in `skipped`.

    Raises:
        InputError: The list is missing, lacks a column or has a wrong value, a path is missing or leaves the folder,
            an image is empty, a pair is listed twice, or the split is unknown or empty.
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
    table.refuse_repeated()
    split_n = [table.split(line) if "split" in columns else ALL for line in table.lines]
    split = split_of_name(split) or split
    check_split(table.path, split, sorted({*split_n, ALL}))
    rows = [row for row, of_row in enumerate(split_n) if split in (of_row, ALL)]
    return _pairs(root, [table.images(table.lines[row]) for row in rows], split, image_size, changed[rows], skip_bad)


def pair_list_splits(root: str | Path) -> tuple[str, ...]:
    """Return the sorted splits of a folder's `pairs.csv`; ("all",) where it has no column `split`."""
    table, columns = _pair_list(existing_folder(root))
    return tuple(sorted({table.split(line) for line in table.lines})) if "split" in columns else (ALL,)


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
        first, second = (_by_text(existing_folder(root / side)) for side in "AB")
        if lonely := sorted(first.keys() ^ second.keys()):
            raise InputError(
                f"{root}: {lonely[0]} is not in both A/ and B/ ({len(lonely)} such); complete or remove it"
            )
        files = [(path, second[name]) for name, path in first.items()]
    return _pairs(root, files, ALL, image_size, None, skip_bad)


def image_files(root: str | Path, *, image_size: int | None = None, skip_bad: bool = False) -> FileSource:
    """Open every image below a folder, in order of path; fields image and filename (the path below the folder)."""
    root = existing_folder(root)
    paths = tree_of(root).files
    columns = {"filename": _texts(paths)}
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
        if value.lower() not in _FLAGS:
            raise InputError(f"{self.path}, line {line['line']}: {column!r} must be 0 or 1, not {value!r}")
        return _FLAGS[value.lower()]

    def fraction(self, line: Mapping[str, str], column: str) -> float:
        text = self.text(line, column)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{self.path}, line {line['line']}: {column!r} must be a number in [0, 1], not {text!r}")
        return value

    def refuse_repeated(self) -> None:
        """Raise InputError for a pair in two lines: it counts twice, contradicts itself, or is learned and tested."""
        line_of: dict[tuple[str, ...], str] = {}
        for line in self.lines:
            pair = tuple(os.path.normpath(self.text(line, side)) for side in "AB")
            if (before := line_of.setdefault(pair, line["line"])) != line["line"]:
                raise InputError(f"{self.path}, line {line['line']}: lists the pair of line {before} again; remove one")

    def split(self, line: Mapping[str, str]) -> str:
        """Return the split of a line, under its own name if it is train, validation or test in another spelling."""
        name = self.text(line, "split")
        return split_of_name(name) or name

    def images(self, line: Mapping[str, str]) -> tuple[str, str]:
        """Return the paths of both images below A/ and B/; raise InputError where a path leaves its folder."""
        first, second = (self._image(line, side) for side in "AB")
        return first, second

    def _image(self, line: Mapping[str, str], side: str) -> str:
        name, folder = self.text(line, side), self.path.parent / side
        try:
            if not (folder / name).exists():
                # As another system spells it: accents in two parts, GBK, or the separators of Windows.
                name = self._files[side].get(as_text(name.replace("\\", "/")), name)
            inside = (folder / name).resolve().is_relative_to(folder.resolve())
        except (OSError, ValueError) as error:
            if is_of_the_machine(error):
                raise
            raise InputError(f"{self.path}, line {line['line']}: {name[:80]!r} is no path; correct it") from None
        if not inside:
            raise InputError(f"{self.path}, line {line['line']}: {name!r} leaves {side}/; use paths inside it")
        return name

    @functools.cached_property
    def _files(self) -> dict[str, dict[str, str]]:
        """The files of A/ and B/, by the text of their paths."""
        folders = {side: self.path.parent / side for side in "AB"}
        return {side: _by_text(folder) if folder.is_dir() else {} for side, folder in folders.items()}


def _pair_list(root: Path) -> tuple[_PairList, set[str]]:
    """Read `pairs.csv`; return its lines and columns."""
    from tfds_builders.reading.archive import ArchiveError
    from tfds_builders.reading.text import text_rows

    path = root / "pairs.csv"
    if not path.is_file():
        raise InputError(f"{root} has no pairs.csv; list the pairs in it, with columns A, B and changed")
    try:
        rows = list(text_rows(read_bytes(path), path))
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
    columns = {"filename_t1": _texts(first), "filename_t2": _texts(second)}
    names = {} if changed is None else {"changed": CHANGED_NAMES}
    if changed is not None:
        columns = {"changed": changed, **columns}
    return readable_source(root, split, paths, columns, names, image_size, skip_bad)


def _by_text(folder: Path) -> dict[str, str]:
    """Return the paths of all files below a folder, as the system has them, by their text."""
    return {as_text(path): path for path in tree_of(folder).files}


def _texts(paths: Sequence[str]) -> np.ndarray:
    return np.array(list(map(as_text, paths)), np.str_)


def _hashed_split(path: str, seed: int) -> str:
    """Return the split whose share holds the hash of a path, as a number in [0, 1)."""
    position = int.from_bytes(hashlib.sha256(f"{seed}:{as_text(path)}".encode()).digest()[:8], "big") / 2**64
    for split, share in FOLDER_SPLITS.items():
        if position < share:
            return split
        position -= share
    return split
