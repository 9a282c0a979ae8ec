"""The data set of `scene_tiles` and trees of images, made once a session."""

from pathlib import Path

import pytest
from scene_tiles import SceneTiles, encoded


@pytest.fixture(scope="session")
def tiles_dir(tmp_path_factory) -> Path:
    """The TFDS data directory of `scene_tiles`."""
    place = tmp_path_factory.mktemp("tfds")
    SceneTiles(data_dir=place, file_format="array_record").download_and_prepare()
    return place


@pytest.fixture
def class_tree(tmp_path) -> Path:
    """Ten images in each of the folders forest and water, of two sizes and formats."""
    for label, name in enumerate(("water", "forest")):
        (tmp_path / name).mkdir()
        for i in range(10):
            form, suffix = ("PNG", ".png") if i % 2 else ("JPEG", ".JPG")
            (tmp_path / name / f"{i}{suffix}").write_bytes(encoded(100 * label + i, 24 + 8 * (i % 2), form))
    return tmp_path
