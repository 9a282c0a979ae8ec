"""A search with one image: its nearest images in the gallery, and a picture of them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtsccd_jax.data.bands import band_names
from mtsccd_jax.data.file_source import FileSource
from mtsccd_jax.data.patch_source import patch_source
from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.evaluate import embed
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import AnyPath, replacing
from mtsccd_jax.ops.distance import nearest_neighbors
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.report.text import class_name
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.search.index import Index, open_index
from mtsccd_jax.tasks.search.photos import Search, Seen, search_sheet
from mtsccd_jax.tasks.write_row import pictures
from tfds_builders.reading.names import as_text

# Hits on the picture, which has them in one line.
SHOWN = 50
# Folder of the work directory with the pictures.
PICTURES_FOLDER = "retrieved"


@dataclass(frozen=True)
class Hit:
    """An image of the gallery: its name, its class or labels, and its distance from the query."""

    name: str
    labels: tuple[str, ...]
    distance: float


@dataclass(frozen=True)
class Retrieved:
    """The outcome of a search with one image."""

    hits: tuple[Hit, ...]  # the nearest first
    searched: int  # images in the gallery
    picture: Path  # PNG of the query and its first SHOWN hits


def retrieve(cache: FeatureCache, query: AnyPath, k: int) -> Retrieved:
    """Search the gallery for the k images nearest to an image file or a patch's folder; leave the query itself out.

    Raises:
        InputError: the query is not what the network takes, an image or a folder with its bands; or as `open_index`.
    """
    query = Path(query)
    trained, settings = cache.trained, cache.trained.recipe.retrieval
    image = query_source(query, trained.recipe.data)
    features = embed(trained, image)[0]["image"].features
    index = open_index(cache, settings.gallery)
    itself = _row_in_folder(query, cache.data, index)
    searched = min(k + (itself >= 0), len(index))
    found = nearest_neighbors(features, index.features, searched, settings.metric)
    distance, row = (np.asarray(part)[0] for part in found)
    others = np.flatnonzero(row != itself)[:k]
    distance, row = distance[others], row[others]
    hits = tuple(
        Hit(str(index.filename[one]), index.labels_of(one), float(far)) for one, far in zip(row, distance, strict=True)
    )
    shown = tuple(
        Seen(thumb, "; ".join(map(class_name, hit.labels)), hit.distance)
        for thumb, hit in zip(index.thumbs(row[:SHOWN]), hits[:SHOWN], strict=True)
    )
    place = hashlib.sha256(os.fsencode(query.resolve())).hexdigest()[:8]
    picture = trained.workdir / PICTURES_FOLDER / f"{as_text(query.stem)[:60]}-{place}.png"
    with replacing(picture) as stream:
        stream.write(search_sheet([Search(Seen(pictures(image, np.arange(1))[0], as_text(query.name)), shown)]))
    return Retrieved(hits, len(index), picture)


def query_source(query: Path, data: Data) -> Source:
    """Open one image file or, where the network sees bands, the patch in a folder, as a source of one row."""
    if bands := band_names(data):
        return patch_source(query, bands)
    if not query.is_file():
        raise InputError(f"--query {query}: no such file; give an image")
    columns = {"filename": np.array([as_text(query.name)])}
    return FileSource(str(query), "query", query.parent, {"image": [query.name]}, columns, image_size=data.image_size)


def _row_in_folder(query: Path, data: Data, index: Index) -> int:
    """Return the gallery row of the query where the gallery is a folder that it lies in; else -1."""
    folder = data.folder
    if folder is None or not query.resolve().is_relative_to(Path(folder).resolve()):
        return -1
    rows = np.flatnonzero(index.filename == as_text(query.resolve().relative_to(Path(folder).resolve()).as_posix()))
    return int(rows[0]) if len(rows) else -1
