"""The data set of `scene_tiles` and trees of images, made once a session."""

from pathlib import Path

import pytest
from scene_tiles import SceneTiles, encoded

from mtsccd_jax.data.tfds_source import TfdsSource, tfds_source


@pytest.fixture(scope="session")
def tiles_dir(tmp_path_factory) -> Path:
    """Build `scene_tiles`; return its TFDS data directory."""
    place = tmp_path_factory.mktemp("tfds")
    SceneTiles(data_dir=place, file_format="array_record").download_and_prepare()
    return place


@pytest.fixture(scope="session")
def train_tiles(tiles_dir) -> TfdsSource:
    """Return the training split of `scene_tiles`."""
    return tfds_source("scene_tiles", "train", data_dir=tiles_dir)


@pytest.fixture
def class_tree(tmp_path) -> Path:
    """Write ten images of two sizes and formats into each of the folders forest and water."""
    for label, name in enumerate(("water", "forest")):
        (tmp_path / name).mkdir()
        for i in range(10):
            form, suffix = ("PNG", ".png") if i % 2 else ("JPEG", ".JPG")
            (tmp_path / name / f"{i}{suffix}").write_bytes(encoded(100 * label + i, 24 + 8 * (i % 2), form))
    return tmp_path
