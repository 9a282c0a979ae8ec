"""The saved index of a gallery: what a search needs of a split, so that no image goes through the network twice.

An index lies in the folder `index` of the work directory as one file a split: features, names, labels and thumbnails of
its images, and the checksums of the data and of the network that they are of. It is used where both fit, and made again
where they do not. It answers queries also where the data set is no longer at hand.
"""

import dataclasses
import hashlib
import json
import logging
import re
import zipfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np

from mtsccd_jax.data.decode import decode_rgb
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import usable_cores
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.tasks.feature_cache import Embedded
from mtsccd_jax.tasks.labels.evaluate import names_of
from mtsccd_jax.tasks.write_row import THUMB, pictures

logger = logging.getLogger(__name__)

INDEX_FOLDER = "index"
# Version of the file's layout; part of what has to fit.
_FORMAT = 1
# Images whose thumbnails are in memory at once, for each thread.
_READ_AT_ONCE = 256
_JPEG_QUALITY = 92


@dataclass(frozen=True, eq=False)
class Index:
    """What is searched, n images.

    Attributes:
        features: (n, d) float32.
        filename: (n,) str.
        label: (n,) int32, the class of each image; or (n, k) uint8, its labels.
        names: of the classes or labels.
        about: `format`, `dataset`, `split`, `folder` (None of TFDS data), and the checksums `data` and `network` that
            the index is of.
        jpeg: uint8, the thumbnails one after the other, as JPEG.
        jpeg_end: (n,) int64, where each ends.
    """

    features: np.ndarray
    filename: np.ndarray
    label: np.ndarray
    names: tuple[str, ...]
    about: Mapping[str, Any]
    jpeg: np.ndarray
    jpeg_end: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def thumbs(self, row_n: np.ndarray) -> np.ndarray:
        """The thumbnails of some images, (n, THUMB, THUMB, 3) uint8, red first; black for the row -1."""
        thumbs = np.zeros((len(row_n), THUMB, THUMB, 3), np.uint8)
        for place, row in enumerate(row_n):
            if row >= 0:
                start = self.jpeg_end[row - 1] if row else 0
                thumbs[place] = decode_rgb(self.jpeg[start : self.jpeg_end[row]].tobytes(), f"thumbnail {row}")
        return thumbs

    def labels_of(self, row: int) -> tuple[str, ...]:
        """The class or the labels of an image, by name."""
        return label_names(self.label[row], self.names)


def label_names(label: np.ndarray, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a class number, or of the labels that are 1."""
    return tuple(names[place] for place in ([int(label)] if label.ndim == 0 else np.flatnonzero(label)))


def relevance(source: Source) -> tuple[np.ndarray, tuple[str, ...]]:
    """`(label, names)`: what says which images are alike, their labels where they have several, else their class."""
    field = "labels" if "labels" in source.names else "label"
    return source.column(field), tuple(source.names[field])


def open_index(passes: Embedded, split: str) -> Index:
    """The index of a split of the data that the network is evaluated on: the saved one, or a new one, then saved.

    Raises:
        InputError: the split does not exist or holds no labelled images, and there is no saved index that fits.
    """
    trained, place = passes.trained, index_path(passes, split)
    network, saved = network_sha256(trained), _load(place)
    folder = str(Path(passes.data.folder).resolve()) if passes.data.folder else None
    asked = {"format": _FORMAT, "folder": folder, "split": split, "network": network}
    known = saved is not None and asked.items() <= saved.about.items()
    try:
        source = passes.search_source(split)
    except InputError as error:
        if saved is None or not known:
            raise
        logger.info(f"{error}; searching {place.name}, saved when it was there")
        return saved
    about = {**asked, "dataset": source.dataset, "data": source.fingerprint()}
    if saved is not None and dict(saved.about) == about:
        logger.info(f"{place.name}: {len(saved):,} images, the saved index fits")
        return saved
    label, names = relevance(source)
    features = passes.gallery(split).images["image"].features
    made = Index(features, names_of(source), label, names, about, *_jpegs(source))
    _save(place, made)
    why = "index built" if saved is None else "index built anew: the data or the network are others"
    logger.info(f"{place.name}: {len(made):,} images, {why}")
    return made


def index_path(passes: Embedded, split: str) -> Path:
    """The file of a split's index; its name says of which data, and the file itself of exactly which."""
    data: Data = passes.data
    dataset = str(data.dataset)
    if data.folder:
        name = Path(data.folder).resolve().name
    else:
        name = dataset if "/" in dataset else f"{dataset}_{data.config}"
    return passes.trained.workdir / INDEX_FOLDER / f"{re.sub('[^A-Za-z0-9]+', '_', f'{name}_{split}').strip('_')}.npz"


def network_sha256(trained: Trained) -> str:
    """The checksum of everything that features depend on but the images: architecture, parameters, how it sees."""
    recipe = trained.recipe
    seen = {name: getattr(recipe.data, name) for name in ("image_size", "bands", "resample", "mean", "std")}
    model = dataclasses.asdict(recipe.model) | {"init": None}
    digest = hashlib.sha256(json.dumps([model, seen, recipe.engine.dtype]).encode())
    for path, value in jax.tree_util.tree_leaves_with_path((trained.state.params, trained.state.statistics)):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(jax.device_get(value)).tobytes())
    return digest.hexdigest()


def _jpegs(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """The thumbnails of a source as JPEG, one after the other, and where each ends."""

    def encode(first: int) -> list[np.ndarray]:
        thumbs = pictures(source, np.arange(first, min(first + _READ_AT_ONCE, len(source))))
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        return [cv2.imencode(".jpg", thumb[..., ::-1], quality)[1] for thumb in thumbs]

    with ThreadPoolExecutor(usable_cores()) as threads:
        parts = [jpeg for some in threads.map(encode, range(0, len(source), _READ_AT_ONCE)) for jpeg in some]
    return np.concatenate(parts), np.cumsum([len(part) for part in parts], dtype=np.int64)


def _save(place: Path, index: Index) -> None:
    arrays = {field.name: getattr(index, field.name) for field in dataclasses.fields(index)}
    arrays |= {"names": np.array(index.names), "about": np.array(json.dumps(dict(index.about)))}
    with replacing(place) as stream:
        np.savez(stream, **arrays)


def _load(place: Path) -> Index | None:
    """The index in a file; None where there is none, or none that can be read."""
    try:
        # Opened here: of a damaged file `np.load` leaves its own handle open.
        with place.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            if (about := json.loads(str(arrays["about"]))).get("format") != _FORMAT:
                return None
            read = {field.name: arrays[field.name] for field in dataclasses.fields(Index)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    names = tuple(str(name) for name in read.pop("names"))
    return Index(**(read | {"names": names, "about": about}))
