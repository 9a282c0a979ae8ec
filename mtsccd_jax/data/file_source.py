"""The source over rows of image files, shared by class folders, pair lists and unlabelled images."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mtsccd_jax.data.decode import IMAGE_SUFFIXES, ImageBatch, decode_rgb
from mtsccd_jax.errors import InputError, nearest
from tfds_builders.reading.files import is_of_the_machine, read_file
from tfds_builders.reading.names import as_text


@dataclass(frozen=True, eq=False)
class FileSource:
    """Rows whose images are files.

    Attributes:
        name: The folder as the user gave it, as text.
        root: The folder that `paths` are relative to.
        paths: The path of each row below `root`, for each image field.
        names: The names of the values, for each class field.
        image_size: Side in pixels that images are resized to; None keeps them.
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
    generated = False  # images in folders count as real

    @property
    def dataset(self) -> str:
        """The name used in results: "folder:" and the folder's name."""
        return f"folder:{as_text(self.root.resolve().name)}"

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
        """Names of the values of `label`; empty for pairs and unlabelled images."""
        return self.names.get("label", ())

    def __len__(self) -> int:
        return len(self.paths[self.image_fields[0]])

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return {name: value[0] for name, value in self.read(np.array([row])).items()}

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """Read rows as one batch: images (b, h, w, 3) uint8, other fields (b,)."""
        batch: dict[str, np.ndarray] = {}
        for image_field, paths in self.paths.items():
            images = ImageBatch(len(row_b), self.image_size)
            for position, row in enumerate(row_b):
                file = self.root / paths[row]
                images.decode(position, _file_bytes(file), str(file))
            batch[image_field] = images.image_bhwc
        self._refuse_unequal_sizes(row_b, batch)
        return batch | {name: values[row_b] for name, values in self.columns.items()}

    def _refuse_unequal_sizes(self, row_b: np.ndarray, batch: Mapping[str, np.ndarray]) -> None:
        """Raise InputError where both images of a pair are to keep their sizes, and these differ."""
        sizes = {field: image_bhwc.shape[1:3] for field, image_bhwc in batch.items()}
        if len(set(sizes.values())) > 1:
            shown = [
                f"{self.root / self.paths[field][row_b[0]]} is {width}x{height}"
                for field, (height, width) in sizes.items()
            ]
            raise InputError(f"{' and '.join(shown)} pixels; set data.image_size to resize them")

    def encoded(self, row_b: np.ndarray) -> list[bytes]:
        """Return the encoded images of the rows, as `read` decodes them."""
        return [_file_bytes(self.root / paths[row]) for paths in self.paths.values() for row in row_b]

    def column(self, field: str) -> np.ndarray:
        """Return all values of a field that is not an image, (n,)."""
        if field not in self.columns:
            raise KeyError(f"no column {field!r}; there are {listed(self.columns)}")
        return self.columns[field]

    def fingerprint(self) -> str:
        """Return a SHA-256 of the split, the paths below the folder, the file sizes and all other values."""
        digest = hashlib.sha256(self.split.encode())
        for image_field, paths in self.paths.items():
            for path in paths:
                digest.update(f"{image_field}:{as_text(path)}:{(self.root / path).stat().st_size}\n".encode())
        for name, values in self.columns.items():
            digest.update(f"{name}:{self.names.get(name, ())}:{values.tolist()}\n".encode())
        return digest.hexdigest()


def existing_folder(path: str | Path) -> Path:
    """Return the folder that a user named; raise InputError where there is none."""
    path = Path(path).expanduser()
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; check the path")
    return path


def readable_source(
    root: Path,
    split: str,
    paths: Mapping[str, Sequence[str]],
    columns: Mapping[str, np.ndarray],
    names: Mapping[str, tuple[str, ...]],
    image_size: int | None,
    skip_bad: bool,
) -> FileSource:
    """Return the source over the rows whose files can be read; `skip_bad` leaves out the others.

    Without it only names and sizes are checked; a file that does not decode is an error when it is read.
    """

    def problem(row_paths: tuple[str, ...]) -> str | None:
        try:
            for path in row_paths:
                _check_file(root / path)
                if skip_bad:
                    decode_rgb(_file_bytes(root / path), str(root / path))
        except InputError as error:
            return as_text(str(error))
        return None

    rows = list(zip(*paths.values(), strict=True))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        problems = list(threads.map(problem, rows)) if skip_bad else list(map(problem, rows))
    skipped = tuple(text for text in problems if text is not None)
    if skipped and not skip_bad:
        raise InputError(skipped[0] if len(skipped) == 1 else f"{skipped[0]} ({len(skipped)} such files)")
    keep = [row for row, text in enumerate(problems) if text is None]
    if not keep:
        left_out = f" ({len(skipped)} could not be read)" if skipped else ""
        raise InputError(f"{root} has no images in split {split!r}{left_out}; add some or choose another")
    kept_paths = {field: [files[row] for row in keep] for field, files in paths.items()}
    kept_columns = {field: values[keep] for field, values in columns.items()}
    return FileSource(as_text(str(root)), split, root, kept_paths, kept_columns, names, image_size, skipped)


def _check_file(file: Path) -> None:
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(
            f"{file} is not an image ({', '.join(sorted(IMAGE_SUFFIXES))}); remove it, or skip it "
            "(predict: --skip-bad; elsewhere: --set data.skip_bad=true)"
        )
    try:
        size = file.stat().st_size
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise InputError(f"{file} cannot be read ({error.strerror}); add it or remove it from the list") from error
    if not size:
        raise InputError(f"{file} is empty; replace or remove it")


def _file_bytes(file: Path) -> bytes:
    try:
        return read_file(file)
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise InputError(f"{file} cannot be read ({error.strerror}); add it or remove it from the list") from error


def check_split(place: Path, split: str, known: Sequence[str]) -> None:
    """Raise InputError unless `split` is one of the `known` splits of `place`."""
    if split not in known:
        raise InputError(f"{place} has no split {split!r}; it has {listed(known)}.{nearest(split, known)}")


def listed(names: Iterable[str]) -> str:
    """Return the sorted names as a list for an error message."""
    return ", ".join(sorted(names))
