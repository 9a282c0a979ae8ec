"""Rows whose images are files: what class folders, pair lists and unlabelled images have in common."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mtsccd_jax.data.decode import IMAGE_SUFFIXES, ImageBatch, decode_rgb
from mtsccd_jax.errors import InputError, nearest


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
    band_fields: tuple[str, ...] = ()
    generated = False  # what lies in folders is taken for real

    @property
    def dataset(self) -> str:
        """What results call it: "folder:" and the folder's own name."""
        return f"folder:{self.root.resolve().name}"

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

    def encoded(self, row_b: np.ndarray) -> list[bytes]:
        """The files of all images of the rows, as they are: what `read` decodes.

        Raises:
            InputError: a file is missing or cannot be read.
        """
        return [_file_bytes(self.root / paths[row]) for paths in self.paths.values() for row in row_b]

    def column(self, field: str) -> np.ndarray:
        """All values of a field that is not an image, (n,)."""
        if field not in self.columns:
            raise KeyError(f"no column {field!r}; there are {listed(self.columns)}")
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


def existing_folder(path: str | Path) -> Path:
    """The folder that a user named; InputError where there is none."""
    path = Path(path).expanduser()
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; check the path")
    return path


def files_below(folder: Path, root: Path) -> list[str]:
    """The paths below `root` of all files in `folder` and its sub-folders, sorted; hidden ones are left out."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(root)
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


def readable_rows(root: Path, rows: Sequence[tuple[str, ...]], skip_bad: bool) -> tuple[list[int], tuple[str, ...]]:
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
        raise InputError(
            f"{file} is not an image ({', '.join(sorted(IMAGE_SUFFIXES))}); remove it, or skip it "
            "(predict: --skip-bad; elsewhere: --set data.skip_bad=true)"
        )
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


def check_split(place: Path, split: str, known: Sequence[str]) -> None:
    """Nothing; InputError where `split` is none of `known`, which are those of `place`."""
    if split not in known:
        raise InputError(f"{place} has no split {split!r}; it has {listed(known)}.{nearest(split, known)}")


def not_empty(source: FileSource) -> FileSource:
    """The source itself; InputError where it has no rows."""
    if not len(source):
        left_out = f" ({len(source.skipped)} could not be read)" if source.skipped else ""
        raise InputError(f"{source.name} has no images in split {source.split!r}{left_out}; add some or choose another")
    return source


def listed(names: Mapping[str, object] | set[str] | Sequence[str]) -> str:
    """The names, sorted, for an error message."""
    return ", ".join(sorted(names))
