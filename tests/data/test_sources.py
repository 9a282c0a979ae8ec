"""Data that a recipe names are opened from a folder, a pair list or a TFDS data set."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scene_tiles import ROWS, SIDE, encoded

import tfds_builders
from mtsccd_jax.data.sources import open_pairs, open_source, pair_splits, scene_splits
from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data
from tfds_builders.mtsccd.names import CLASS_NAMES
from tfds_builders.synthetic import write_archive


def test_open_source_picks_what_the_recipe_names(tiles_dir, class_tree, tmp_path):
    tiles = Data(dataset="scene_tiles", config="", pair_dataset="scene_tiles", data_dir=str(tiles_dir), image_size=16)
    assert open_source(tiles, "train").read(np.arange(2))["image"].shape == (2, 16, 16, 3)
    assert len(open_pairs(tiles, "test_a")) == ROWS["test_a"]
    assert scene_splits(tiles) == pair_splits(tiles) == tuple(ROWS)
    folder = Data(folder=str(class_tree), image_size=16)
    assert open_source(folder, "all").class_names == ("forest", "water")
    for side in "AB":
        (tmp_path / side).mkdir()
        (tmp_path / side / "0.jpg").write_bytes(encoded(1, SIDE))
    (tmp_path / "pairs.csv").write_text("A,B,changed_fraction\n0.jpg,0.jpg,0.3\n")
    pairs = Data(dataset=None, pairs=str(tmp_path), changed_above=0.5, image_size=16)
    for opened in (open_source(pairs, "all"), open_pairs(pairs, "all")):
        assert opened.column("changed").tolist() == [0]
    beside = replace(pairs, dataset="scene_tiles", config="", data_dir=str(tiles_dir))
    assert open_source(beside, "train").name == "scene_tiles", "scenes of a data set, pairs of a list"
    assert scene_splits(beside) == tuple(ROWS)
    assert pair_splits(beside) == ("all",)
    with pytest.raises(InputError, match=r"not in .*, which holds nothing; build it with"):
        pair_splits(Data(data_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("call", "data", "message"),
    [
        (lambda data: open_source(data, "train"), Data(dataset=None), "--folder DIR, --dataset NAME or --pairs DIR$"),
        (scene_splits, Data(dataset=None), "no input is named"),
        (lambda data: open_pairs(data, "train"), Data(pair_dataset=None), "one of data.pair_dataset and data.pairs$"),
        (pair_splits, Data(pair_dataset=None), "no pairs are named"),
    ],
)
def test_data_without_a_name_are_refused(call, data, message):
    with pytest.raises(InputError, match=message):
        call(data)


def test_the_published_data_sets_are_read_as_they_are_built(tmp_path):
    write_archive(tmp_path / "archive", scale=0.005, image_size=32, workers=1)
    for name in ("mtsccd_lusc", "mtsccd_lucd"):
        tfds_builders.build(name, archive=tmp_path / "archive", data_dir=tmp_path / "tfds", workers=1)
    data = Data(data_dir=str(tmp_path / "tfds"), image_size=24)
    images = {
        path.name: np.asarray(Image.open(io.BytesIO(path.read_bytes())))
        for path in (tmp_path / "archive").rglob("*.jpg")
    }
    scenes = tfds_source("mtsccd_lusc/official", "train", data_dir=tmp_path / "tfds")
    pairs = open_pairs(data, "test_a")
    assert open_source(data, "train").fingerprint() == scenes.fingerprint()
    assert scenes.name == scenes.dataset == "mtsccd_lusc/official"
    assert scenes.generated
    assert pairs.generated
    assert scene_splits(data) == pair_splits(data) == ("train", "validation", "test_a", "test_b")
    assert pairs.image_fields == ("image_t1", "image_t2")
    assert scenes.class_names == pairs.class_names == CLASS_NAMES
    assert scenes.names["city"][:2] == ("hangzhou", "shanghai")
    assert pairs.names["changed"] == ("unchanged", "changed")
    for example in scenes:
        np.testing.assert_array_equal(example["image"], images[str(example["filename"])])
    batch = pairs.read(np.arange(len(pairs)))
    assert batch["image_t1"].shape == batch["image_t2"].shape == (len(pairs), 24, 24, 3)
    np.testing.assert_array_equal(batch["changed"], batch["label_t1"] != batch["label_t2"])
    np.testing.assert_array_equal(batch["changed"], pairs.column("changed"))
