"""What an audit reads: every split of a TFDS data set, of class folders, of a pair list, or a folder of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mtsccd_jax.data import folder_source as folders
from mtsccd_jax.data.class_tree import ALL
from mtsccd_jax.data.parts.listed import image_names, row_names
from mtsccd_jax.data.parts.tiles import tile_names
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.tfds_source import built_splits, tfds_source
from mtsccd_jax.errors import InputError
from tfds_builders.exclude_list import names_fingerprint


def rank(split: str) -> int:
    """Return how late a split comes: 0 is learned from, 1 chooses, 2 tests; copies are left out of the later one."""
    name = split.partition("[")[0]
    return {"train": 0, ALL: 0, "validation": 1}.get(name, 2)


@dataclass(frozen=True, eq=False)
class Part:
    """A split to read, and whether it is only compared with the others and not within itself."""

    source: Source
    against: bool = False

    @property
    def dataset(self) -> str:
        """The data set's name as in results."""
        return self.source.dataset

    @property
    def split(self) -> str:
        """The split's name."""
        return self.source.split

    @property
    def label(self) -> str:
        """The data set and the split, for people."""
        return self.dataset if self.split == ALL else f"{self.dataset} {self.split}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The images of an example: both dates of a pair; "" stands for the one of all bands together."""
        return self.source.image_fields or ("",)

    @cached_property
    def names(self) -> np.ndarray:
        """The names of the images, (n, views) text."""
        return np.broadcast_to(image_names(self.source), (len(self.source), len(self.fields)))

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Place and date of every image, each (n, views) text; "" where names tell no place."""
        source, n, views = self.source, len(self.source), len(self.fields)
        if (place_n := tile_names(source)) is not None:
            dates = ["date"] if views == 1 else ["date_t1", "date_t2"]
            date_nv = [source.column(date) if date in source.fields else np.full(n, date) for date in dates]
        elif views > 1:
            place_n = np.array([f"{self.label} {row}" for row in range(n)])
            date_nv = [np.full(n, field) for field in self.fields]
        else:
            place_n, date_nv = np.full(n, ""), [np.full(n, "")]
        return np.repeat(place_n[:, None], views, 1), np.stack(date_nv, 1)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the names of all rows in their order: what a list for this split is known by."""
        return names_fingerprint(row_names(self.source))


def open_parts(
    wanted: str, *, data_dir: Path | None = None, against: bool = False, skip_bad: bool = False
) -> list[Part]:
    """Open every split of a data set, named NAME[/CONFIG], or of a folder.

    Raises:
        InputError: There is no such folder, and no such data set is built.
    """
    place = Path(wanted).expanduser()
    if place.is_dir():
        return [Part(source, against) for source in _of_folder(place, skip_bad)]
    splits = built_splits(wanted, data_dir)
    return [Part(tfds_source(wanted, split, data_dir=data_dir), against) for split in splits]


def _of_folder(root: Path, skip_bad: bool) -> Iterator[Source]:
    """Yield the splits of a folder of pairs, of classes, or of images."""
    if (root / "pairs.csv").exists():
        for split in folders.pair_list_splits(root):
            yield folders.pairs_source(root, split, skip_bad=skip_bad)
    elif (root / "A").is_dir() and (root / "B").is_dir():
        yield folders.pair_files(root, skip_bad=skip_bad)
    else:
        try:
            splits = folders.folder_splits(root)
        except InputError:  # no classes
            yield folders.image_files(root, skip_bad=skip_bad)
            return
        for split in splits:
            try:
                yield folders.folder_source(root, split, skip_bad=skip_bad)
            except InputError as error:
                if "has no images in split" not in str(error):  # few images may leave a split empty
                    raise


def refuse_same_names(parts: Sequence[Part]) -> None:
    """Raise InputError where two inputs have one name and one split, so that lists could not tell them apart."""
    seen: dict[tuple[str, str], Part] = {}
    for part in parts:
        first = seen.setdefault((part.dataset, part.split), part)
        if first is not part:
            raise InputError(
                f"{first.source.name} and {part.source.name} are both called {part.dataset}; name each input once, "
                "and give folders names of their own"
            )
