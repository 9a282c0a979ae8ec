"""Sources over plain files: class folders, pair lists, and images nobody has labelled."""

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mtsccd_jax.data.decode import IMAGE_SUFFIXES, ImageBatch, decode_rgb
from mtsccd_jax.errors import InputError, nearest

# Splits of a class-folder tree and, where it has no folders of these names, the share of paths hashed into each.
FOLDER_SPLITS = {"train": 0.6, "validation": 0.2, "test": 0.2}

# The split that holds everything; the only one of a pair list without a split column.
ALL = "all"

CHANGED_NAMES = ("unchanged", "changed")


@dataclass(frozen=True, eq=False)
class FileSource:
    """Rows whose images are files: the same reading for class folders, pair lists and unlabelled images.

    Attributes:
        name: the folder as it was given.
        split: the split.
        root: the folder that `paths` are relative to.
        paths: image field -> path of each row below `root`.
        columns: other field -> value of each row.
        names: class-valued field -> names of its values.
        image_size: side in pixels that images are resized to; None keeps them.
        skipped: unreadable rows that were left out, one line each.
    """

    name: str
    split: str
    root: Path
    paths: Mapping[str, Sequence[str]]
    columns: Mapping[str, np.ndarray]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    image_size: int | None = None
    skipped: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Every key of `source[i]`."""
        return (*self.paths, *self.columns)

    @property
    def image_fields(self) -> tuple[str, ...]:
        """("image",) for scenes, ("image_t1", "image_t2") for pairs."""
        return tuple(self.paths)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the values of `label`; empty for pairs and for unlabelled images."""
        return self.names.get("label", ())

    def __len__(self) -> int:
        return len(self.paths[self.image_fields[0]])

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return {name: value[0] for name, value in self.read(np.array([row])).items()}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[row] for row in range(len(self)))

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """The rows as one batch: images (b, h, w, 3) uint8, other fields (b,).

        Raises:
            InputError: a file is missing, damaged, not an image, or unlike the others in size (`image_size` None).
        """
        batch: dict[str, np.ndarray] = {}
        for image_field, paths in self.paths.items():
            images = ImageBatch(len(row_b), self.image_size)
            for position, row in enumerate(row_b):
                file = self.root / paths[row]
                images.decode(position, _file_bytes(file), str(file))
            batch[image_field] = images.image_bhwc
        return batch | {name: values[row_b] for name, values in self.columns.items()}

    def column(self, field: str) -> np.ndarray:
        """All values of a field that is not an image, (n,)."""
        if field not in self.columns:
            raise KeyError(f"no column {field!r}; there are {_listed(self.columns)}")
        return self.columns[field]

    def fingerprint(self) -> str:
        """A SHA-256 over the split, paths below the folder, file sizes and all other values; not over where it lies."""
        digest = hashlib.sha256(self.split.encode())
        for image_field, paths in self.paths.items():
            for path in paths:
                digest.update(f"{image_field}:{path}:{(self.root / path).stat().st_size}\n".encode())
        for name, values in self.columns.items():
            digest.update(f"{name}:{self.names.get(name, ())}:{values.tolist()}\n".encode())
        return digest.hexdigest()


def folder_source(
    root: str | Path, split: str, *, image_size: int | None = None, seed: int = 0, skip_bad: bool = False
) -> FileSource:
    """The labelled scenes of a tree with one folder a class, named by that folder; fields image, label, filename.

    Classes are the folder names, sorted. Where the tree has folders named train, validation or test, these are the
    splits and hold the class folders; else each file goes to train (60 %), validation or test (20 % each) by a hash of
    `seed` and its path, whatever other files there are. Split "all" is every file.

    Args:
        root: the tree; hidden files are ignored, sub-folders of a class belong to it.
        split: "train", "validation", "test" or "all".
        image_size: side to resize to, in pixels; None keeps the images as they are.
        seed: of the hash.
        skip_bad: decode every file once and leave out, and name in `skipped`, those that cannot be read.

    Raises:
        InputError: the folder is missing or has no class folders, a file in it is empty or not an image, or the split
            is unknown or empty.
    """
    root = _folder(root)
    _check_split(root, split, (*FOLDER_SPLITS, ALL))
    split_folders = {name: root / name for name in FOLDER_SPLITS if (root / name).is_dir()}
    if split_folders and split not in (*split_folders, ALL):
        raise InputError(
            f"{root} has {_listed(split_folders)}, but no folder {split!r}; add it or choose another split"
        )
    trees = split_folders or {ALL: root}
    class_names = sorted({entry.name for tree in trees.values() for entry in _class_folders(tree)})
    if not class_names:
        raise InputError(f"{root} has no class folders; put the images of each class in a folder of its name")
    labelled = [
        (path, label)
        for name, tree in trees.items()
        if split in (name, ALL) or name == ALL
        for label, class_name in enumerate(class_names)
        for path in _files_below(tree / class_name, root)
    ]
    if not split_folders and split != ALL:
        labelled = [(path, label) for path, label in labelled if _hashed_split(path, seed) == split]
    keep, skipped = _readable(root, [(path,) for path, _ in labelled], skip_bad)
    source = FileSource(
        name=str(root),
        split=split,
        root=root,
        paths={"image": [labelled[row][0] for row in keep]},
        columns={
            "label": np.array([labelled[row][1] for row in keep], np.int32),
            "filename": np.array([labelled[row][0] for row in keep], np.str_),
        },
        names={"label": tuple(class_names)},
        image_size=image_size,
        skipped=skipped,
    )
    return _not_empty(source)


def pairs_source(
    root: str | Path,
    split: str,
    *,
    image_size: int | None = None,
    changed_above: float = 0.01,
    skip_bad: bool = False,
) -> FileSource:
    """The pairs of `pairs.csv`, images in `A/` and `B/`; fields image_t1, image_t2, changed, filename_t1, filename_t2.

    The list has columns A and B, and either `changed` (0 or 1) or `changed_fraction` (in [0, 1]; a pair has changed
    where it is greater than `changed_above`). With a column `split` its values are the splits; without, every pair is
    in split "all", which there is always. Other columns are ignored.

    Args:
        root: the folder of `pairs.csv`, `A/` and `B/`.
        split: a value of the column `split`, or "all".
        image_size: side to resize to, in pixels; None keeps the images as they are.
        changed_above: fraction of changed area above which a pair has changed.
        skip_bad: decode every file once and leave out, and name in `skipped`, the pairs that cannot be read.

    Raises:
        InputError: the list is missing, lacks a column or has a wrong value, a path is missing or leaves the folder,
            an image is empty, or the split is unknown or empty.
    """
    root = _folder(root)
    table, columns = _pair_list(root)
    target = {"changed", "changed_fraction"} & columns
    if len(target) != 1:
        have = "both" if target else f"neither among {_listed(columns)}"
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
    _check_split(table.path, split, sorted({*split_n, ALL}))
    rows = [row for row, of_row in enumerate(split_n) if split in (of_row, ALL)]
    return _pairs(root, [table.images(table.lines[row]) for row in rows], split, image_size, changed[rows], skip_bad)


def pair_splits(root: str | Path) -> tuple[str, ...]:
    """The splits of a folder's `pairs.csv`, sorted; ("all",) where it has no column `split`.

    Raises:
        InputError: as in `pairs_source`.
    """
    table, columns = _pair_list(_folder(root))
    return tuple(sorted({table.text(line, "split") for line in table.lines})) if "split" in columns else (ALL,)


def pair_files(root: str | Path, *, image_size: int | None = None, skip_bad: bool = False) -> FileSource:
    """Pairs without labels: the columns A and B of `pairs.csv` or, without one, equal paths in `A/` and `B/`.

    Fields are those of `pairs_source` but for `changed`.

    Raises:
        InputError: as in `pairs_source`; without a list, an image in one folder that the other lacks.
    """
    root = _folder(root)
    if (root / "pairs.csv").exists():
        table, _ = _pair_list(root)
        files = [table.images(line) for line in table.lines]
    else:
        first, second = (_files_below(_folder(root / side), root / side) for side in "AB")
        if lonely := sorted(set(first) ^ set(second)):
            raise InputError(
                f"{root}: {lonely[0]} is not in both A/ and B/ ({len(lonely)} such); complete or remove it"
            )
        files = [(path, path) for path in first]
    return _pairs(root, files, ALL, image_size, None, skip_bad)


def image_files(root: str | Path, *, image_size: int | None = None, skip_bad: bool = False) -> FileSource:
    """Every image below a folder, in order of path; fields image and filename (the path below the folder).

    Raises:
        InputError: the folder is missing or without images, or a file in it is empty or not an image.
    """
    root = _folder(root)
    paths = _files_below(root, root)
    keep, skipped = _readable(root, [(path,) for path in paths], skip_bad)
    kept = [paths[row] for row in keep]
    columns = {"filename": np.array(kept, np.str_)}
    return _not_empty(
        FileSource(str(root), ALL, root, {"image": kept}, columns, image_size=image_size, skipped=skipped)
    )


@dataclass(frozen=True)
class _PairList:
    """The lines of `pairs.csv`, each with its number in the file as "line"."""

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
        """The paths of both images below A/ and B/, which they must not leave."""
        for side in "AB":
            name, folder = self.text(line, side), self.path.parent / side
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise InputError(f"{self.path}, line {line['line']}: {name!r} leaves {side}/; use paths inside it")
        return self.text(line, "A"), self.text(line, "B")


def _pair_list(root: Path) -> tuple[_PairList, set[str]]:
    """`pairs.csv` and its columns."""
    path = root / "pairs.csv"
    if not path.is_file():
        raise InputError(f"{root} has no pairs.csv; list the pairs in it, with columns A, B and changed")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="", skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            lines = [line | {"line": str(reader.line_num)} for line in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a comma-separated table in UTF-8 ({error}); save it as one") from error
    if missing := {"A", "B"} - set(columns):
        raise InputError(f"{path} lacks the column {_listed(missing)}; it has {_listed(columns) or 'none'}")
    return _PairList(path, lines), set(columns)


def _pairs(
    root: Path,
    files: Sequence[tuple[str, str]],
    split: str,
    image_size: int | None,
    changed: np.ndarray | None,
    skip_bad: bool,
) -> FileSource:
    """The source over pairs of paths below A/ and B/."""
    keep, skipped = _readable(root, [(f"A/{first}", f"B/{second}") for first, second in files], skip_bad)
    filenames = {
        "filename_t1": np.array([files[row][0] for row in keep], np.str_),
        "filename_t2": np.array([files[row][1] for row in keep], np.str_),
    }
    source = FileSource(
        name=str(root),
        split=split,
        root=root,
        paths={
            "image_t1": [f"A/{files[row][0]}" for row in keep],
            "image_t2": [f"B/{files[row][1]}" for row in keep],
        },
        columns=filenames if changed is None else {"changed": changed[keep], **filenames},
        names={} if changed is None else {"changed": CHANGED_NAMES},
        image_size=image_size,
        skipped=skipped,
    )
    return _not_empty(source)


def _folder(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; check the path")
    return path


def _class_folders(tree: Path) -> list[Path]:
    return [entry for entry in tree.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def _files_below(folder: Path, root: Path) -> list[str]:
    """The paths below `root` of all files in `folder` and its sub-folders, sorted; hidden ones are left out."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(root)
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


def _hashed_split(path: str, seed: int) -> str:
    """The split of a path: its hash, as a number in [0, 1), falls in the share of one."""
    position = int.from_bytes(hashlib.sha256(f"{seed}:{path}".encode()).digest()[:8], "big") / 2**64
    for split, share in FOLDER_SPLITS.items():
        if position < share:
            return split
        position -= share
    return split


def _readable(root: Path, rows: Sequence[tuple[str, ...]], skip_bad: bool) -> tuple[list[int], tuple[str, ...]]:
    """The rows whose files can be read, and one line for each that was left out because `skip_bad` is set.

    Without `skip_bad` only names and sizes are looked at; a file that does not decode is an error when it is read.
    """

    def problem(paths: tuple[str, ...]) -> str | None:
        try:
            for path in paths:
                _check_file(root / path)
                if skip_bad:
                    decode_rgb(_file_bytes(root / path), str(root / path))
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        problems = list(threads.map(problem, rows)) if skip_bad else [problem(paths) for paths in rows]
    bad = tuple(text for text in problems if text is not None)
    if bad and not skip_bad:
        raise InputError(bad[0] if len(bad) == 1 else f"{bad[0]} ({len(bad)} such files)")
    return [row for row, text in enumerate(problems) if text is None], bad


def _check_file(file: Path) -> None:
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(f"{file} is not an image ({', '.join(sorted(IMAGE_SUFFIXES))}); remove it or use skip_bad")
    try:
        size = file.stat().st_size
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); add it or remove it from the list") from error
    if not size:
        raise InputError(f"{file} is empty; replace or remove it")


def _file_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); add it or remove it from the list") from error


def _check_split(place: Path, split: str, known: Sequence[str]) -> None:
    if split not in known:
        raise InputError(f"{place} has no split {split!r}; it has {_listed(known)}.{nearest(split, known)}")


def _not_empty(source: FileSource) -> FileSource:
    if not len(source):
        left_out = f" ({len(source.skipped)} could not be read)" if source.skipped else ""
        raise InputError(f"{source.name} has no images in split {source.split!r}{left_out}; add some or choose another")
    return source


def _listed(names: Mapping[str, object] | set[str] | Sequence[str]) -> str:
    return ", ".join(sorted(names))
