"""One random-access view of a TFDS data set, class folders or a pair list, and how a recipe's data are opened."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from mtsccd_jax.data.bands import band_names
from mtsccd_jax.data.data_set_name import parse
from mtsccd_jax.data.tfds_source import built_splits, tfds_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data

_NO_INPUT = "no input is named; give --folder DIR, --dataset NAME or --pairs DIR"
_NO_PAIRS = "no pairs are named; give one of data.pair_dataset and data.pairs"


class Source(Protocol):
    """A split of labelled scenes or pairs, read by row number from any thread.

    Images are uint8 (h, w, 3), red first, at the requested size; integers are int32; text is NumPy `str`. Several
    labels of a scene are `labels`, (k,) uint8 of 0 and 1.
    """

    @property
    def name(self) -> str:
        """Where the rows come from, such as "data_set/config" or the path of a folder."""

    @property
    def dataset(self) -> str:
        """The name used in results, wherever the data lie: "data_set/config", or "folder:" and the folder's name."""

    @property
    def split(self) -> str:
        """The split, such as "train"."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Every key of `source[i]`."""

    @property
    def image_fields(self) -> tuple[str, ...]:
        """("image",) for scenes, ("image_t1", "image_t2") for pairs, () where the source reads bands."""

    @property
    def band_fields(self) -> tuple[str, ...]:
        """The stored bands that the source reads, each (h, w) of its own size and type; often ()."""

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the values of each class field and of the labels: {"label": (...), "city": (...)}."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the values of `label` (scenes) or `label_t1` (pairs); empty without such labels."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """One line for each unreadable row that was left out (only with `skip_bad`)."""

    @property
    def generated(self) -> bool:
        """True if a program drew the images, as for data sets built from a generated archive."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> dict[str, np.ndarray]: ...

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """Read rows as one batch: every field stacked, images (b, h, w, 3)."""

    def column(self, field: str) -> np.ndarray:
        """Return all values of a field that is neither image nor band, (n,) or (n, k), without decoding images."""

    def fingerprint(self) -> str:
        """Return a SHA-256 that changes with the content of the split, but not with its location."""


def open_source(data: Data, split: str) -> Source:
    """Open the scenes of a recipe: its folder or else its TFDS data set; without either, the pairs of its pair list.

    Raises:
        InputError: The input does not exist, was not built, cannot be read, or has no such split.
    """
    if data.leave_out is not None:
        return _city_split(data, "scenes", split)
    if data.exclude is not None:
        return _without_excluded(open_source(replace(data, exclude=None), split), data.exclude)
    if data.folder is not None:
        from mtsccd_jax.data.folder_source import folder_source

        return folder_source(data.folder, split, image_size=data.image_size, skip_bad=data.skip_bad)
    if data.dataset is None and data.pairs is not None:
        return open_pairs(data, split)
    return tfds_source(
        _with_config(data.dataset, data, _NO_INPUT),
        split,
        data_dir=data.data_dir,
        image_size=data.image_size,
        bands=band_names(data) or None,
    )


def open_pairs(data: Data, split: str) -> Source:
    """Open the bi-temporal pairs of a recipe: its pair list, or else its TFDS data set of pairs."""
    if data.leave_out is not None:
        return _city_split(data, "pairs", split)
    if data.exclude is not None:
        return _without_excluded(open_pairs(replace(data, exclude=None), split), data.exclude)
    if data.pairs is not None:
        from mtsccd_jax.data.folder_source import pairs_source

        return pairs_source(
            data.pairs, split, image_size=data.image_size, changed_above=data.changed_above, skip_bad=data.skip_bad
        )
    name = _with_config(data.pair_dataset, data, _NO_PAIRS)
    return tfds_source(name, split, data_dir=data.data_dir, image_size=data.image_size)


def scene_splits(data: Data) -> tuple[str, ...]:
    """Return the splits of the scenes that `open_source` opens."""
    from mtsccd_jax.data.folder_source import folder_splits, pair_list_splits

    if data.leave_out is not None:
        return _city_splits(data, "scenes")
    if data.folder is not None:
        return folder_splits(data.folder)
    if data.dataset is None and data.pairs is not None:
        return pair_list_splits(data.pairs)
    return built_splits(_with_config(data.dataset, data, _NO_INPUT), data.data_dir)


def pair_splits(data: Data) -> tuple[str, ...]:
    """Return the splits of the pairs that `open_pairs` opens; ("all",) for a pair list without splits."""
    if data.leave_out is not None:
        return _city_splits(data, "pairs")
    if data.pairs is not None:
        from mtsccd_jax.data.folder_source import pair_list_splits

        return pair_list_splits(data.pairs)
    return built_splits(_with_config(data.pair_dataset, data, _NO_PAIRS), data.data_dir)


def training_name(data: Data, *, pairs: bool) -> str:
    """Return the name, as in results, of the scenes or pairs that a network learns from."""
    folder = data.pairs if pairs else data.folder
    if folder is not None:
        from tfds_builders.reading.names import as_text

        return f"folder:{as_text(Path(folder).resolve().name)}"
    return _with_config(data.pair_dataset if pairs else data.dataset, data, _NO_INPUT)


def _without_excluded(source: Source, path: str) -> Source:
    """Return a source without the rows that a list of `data audit` names."""
    from mtsccd_jax.data.parts.listed import without_listed

    return without_listed(source, path)


def cities(data: Data, what: Literal["scenes", "pairs"]) -> tuple[str, ...]:
    """Return the cities of a recipe's scenes or pairs, in the order of the data set; InputError where it has none."""
    from mtsccd_jax.data.parts.city_splits import cities_of

    return cities_of(_all_splits(replace(data, leave_out=None), what))


def _city_split(data: Data, what: Literal["scenes", "pairs"], split: str) -> Source:
    """Open a split by city, of all splits together that the data set was built with."""
    from mtsccd_jax.data.parts.city_splits import city_split

    return city_split(_all_splits(replace(data, leave_out=None), what), split, str(data.leave_out))


def _city_splits(data: Data, what: Literal["scenes", "pairs"]) -> tuple[str, ...]:
    """Return the splits by city."""
    from mtsccd_jax.data.parts.city_splits import split_names

    return split_names(cities(data, what))


def _all_splits(data: Data, what: Literal["scenes", "pairs"]) -> tuple[Source, ...]:
    """Open every split of the scenes or pairs of a recipe."""
    names, open_split = (scene_splits, open_source) if what == "scenes" else (pair_splits, open_pairs)
    return tuple(open_split(data, split) for split in names(data))


def _with_config(dataset: str | None, data: Data, missing: str) -> str:
    """Return "data_set/config"; raise InputError with the message `missing` where no data set is named."""
    if dataset is None:
        raise InputError(missing)
    return str(parse(dataset).or_config(data.config))


def views(source: Source) -> tuple[str, ...]:
    """Return what a network can see of a row: the names of its images, or "image" for the one made of its bands."""
    return source.image_fields or (("image",) if source.band_fields else ())


def stored(source: Source, batch: Mapping[str, Any], view: str) -> dict[str, Any]:
    """Return the part of a batch that a view is made of, as steps take it: {"image": ...}, or the bands by name."""
    return {"image": batch[view]} if view in source.image_fields else {name: batch[name] for name in source.band_fields}


def check_views(source: Source, data: Data) -> None:
    """Raise InputError where the network sees images and the source has none, or the same of bands."""
    if data.bands and not source.band_fields:
        raise InputError(f"{source.name}: holds no bands, and the network sees {', '.join(data.bands)} and no images")
    if not source.image_fields and not data.bands:
        raise InputError(
            f"{source.name}: holds no images; a network of bands is trained with these named, as in "
            "--set data.bands=rgb --set data.mean= --set data.std="
        )
