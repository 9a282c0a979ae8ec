"""The saved index of a gallery: all that a search needs of a split, so that no image goes through the network twice.

An index is a file in the folder `index` of the work directory, one for each split. It holds features, names, labels and
thumbnails of the images, and the checksums of their data and of the network. It is used where both checksums fit, and
made again where they do not. It answers queries also where the data set is no longer there.
"""

import dataclasses
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np

from mtsccd_jax import processes
from mtsccd_jax.data.decode import decode_rgb
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import usable_cores
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import read_bytes, replacing
from mtsccd_jax.report.arrays import read_arrays
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.labels.source import check_labels, names_of
from mtsccd_jax.tasks.scenes.source import check_scenes
from mtsccd_jax.tasks.write_row import THUMB, pictures

logger = logging.getLogger(__name__)

INDEX_FOLDER = "index"
# Version of the file's layout; a file of another version is made again.
_FORMAT = 1
# Images whose thumbnails each thread has in memory at once.
_READ_AT_ONCE = 256
_JPEG_QUALITY = 92


@dataclass(frozen=True, eq=False)
class Index:
    """The index of n images."""

    features: np.ndarray  # (n, d) float32
    filename: np.ndarray  # (n,) str
    label: np.ndarray  # (n,) int32, the class; or (n, k) uint8, the labels
    names: tuple[str, ...]
    about: Mapping[str, Any]  # format, dataset, split, folder (None of TFDS data), checksums `data` and `network`
    jpeg: np.ndarray  # uint8, the thumbnails, one after the other
    jpeg_end: np.ndarray  # (n,) int64, where each ends

    def __len__(self) -> int:
        return len(self.features)

    def thumbs(self, row_n: np.ndarray) -> np.ndarray:
        """Decode the thumbnails of some rows, (n, THUMB, THUMB, 3) uint8, red first; black for the row -1."""
        thumbs = np.zeros((len(row_n), THUMB, THUMB, 3), np.uint8)
        for place, row in enumerate(row_n):
            if row >= 0:
                start = self.jpeg_end[row - 1] if row else 0
                thumbs[place] = decode_rgb(self.jpeg[start : self.jpeg_end[row]].tobytes(), f"thumbnail {row}")
        return thumbs

    def labels_of(self, row: int) -> tuple[str, ...]:
        """Return the class or the labels of an image, by name."""
        return label_names(self.label[row], self.names)


def label_names(label: np.ndarray, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the name of a class number, or the names of the labels that are 1."""
    return tuple(names[place] for place in ([int(label)] if label.ndim == 0 else np.flatnonzero(label)))


def search_source(cache: FeatureCache, split: str) -> Source:
    """Open the images of a split that have a class or labels; these need not be the network's own."""
    source = cache.scenes(split)
    (check_labels if "labels" in source.names else check_scenes)(source)
    return source


def relevance(source: Source) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return `(label, names)` that tell which images are alike: the labels of each, or else its class."""
    field = "labels" if "labels" in source.names else "label"
    return source.column(field), tuple(source.names[field])


def open_index(cache: FeatureCache, split: str) -> Index:
    """Open the index of a split of the evaluated data once: the saved one where it fits, else a new one, saved then."""
    return cache.once(("index", split), lambda: _open_index(cache, split))


def _open_index(cache: FeatureCache, split: str) -> Index:
    trained, place = cache.trained, index_path(cache, split)
    network, saved = network_sha256(trained), _load(place)
    folder = str(Path(cache.data.folder).resolve()) if cache.data.folder else None
    asked = {"format": _FORMAT, "folder": folder, "split": split, "network": network}
    known = saved is not None and asked.items() <= saved.about.items()
    source: Source | None
    try:
        source = search_source(cache, split)
    except InputError as error:
        if saved is None or not known:
            raise
        logger.info(f"{error}; searching {place.name}, saved when it was there")
        source, about = None, dict(saved.about)
    else:
        about = {**asked, "dataset": source.dataset, "data": source.fingerprint()}
    seen = [source is None, saved is not None and dict(saved.about) == about]
    if processes.from_first(seen) != seen:
        raise RunError(f"{place}: the processes see other data or another index; run the same command again")
    if saved is not None and seen[1]:
        if source is not None:
            logger.info(f"{place.name}: {len(saved):,} images, the saved index fits")
        return saved
    assert source is not None
    label, names = relevance(source)
    features = cache.features(source).values["image"].features
    made = Index(features, names_of(source), label, names, about, *_jpegs(source))
    _save(place, made)
    why = "index built" if saved is None else "index built anew: the data or the network are others"
    logger.info(f"{place.name}: {len(made):,} images, {why}")
    return made


def index_path(cache: FeatureCache, split: str) -> Path:
    """Return the file of a split's index. Its name tells the data roughly; `about` in the file tells them exactly."""
    data = cache.data
    dataset = str(data.dataset)
    if data.folder:
        name = Path(data.folder).resolve().name
    else:
        name = dataset if "/" in dataset else f"{dataset}_{data.config}"
    return cache.trained.workdir / INDEX_FOLDER / f"{re.sub('[^A-Za-z0-9]+', '_', f'{name}_{split}').strip('_')}.npz"


def network_sha256(trained: Trained) -> str:
    """Return the checksum of all that features depend on beside the images: architecture, parameters, preprocessing."""
    recipe = trained.recipe
    seen = {name: getattr(recipe.data, name) for name in ("image_size", "bands", "resample", "mean", "std")}
    model = dataclasses.asdict(recipe.model) | {"init": None}
    digest = hashlib.sha256(json.dumps([model, seen, recipe.engine.dtype]).encode())
    for path, value in jax.tree_util.tree_leaves_with_path((trained.state.params, trained.state.statistics)):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(jax.device_get(value)).tobytes())
    return digest.hexdigest()


def _jpegs(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return the thumbnails of a source as JPEG, one after the other, and where each ends."""

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
    """Read the index in a file; return None where there is none, one of another version, or a damaged one."""
    if not place.exists():
        return None
    try:
        arrays = read_arrays(read_bytes(place), place)
        if (about := json.loads(str(arrays["about"]))).get("format") != _FORMAT:
            return None
        read: dict[str, Any] = {field.name: arrays[field.name] for field in dataclasses.fields(Index)}
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        logger.warning(f"{place}: damaged ({error}), made again")
        return None
    names = tuple(str(name) for name in read.pop("names"))
    return Index(**(read | {"names": names, "about": about}))
