import io
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scene_tiles import CLASSES, ROWS, SIDE, encoded

import tfds_builders
from mtsccd_jax.data.sources import open_pairs, open_source, pair_splits, scene_splits
from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data
from tfds_builders.mtsccd import CLASS_NAMES
from tfds_builders.synthetic import write_archive


def test_rows_are_what_was_written(tiles_dir):
    source = tfds_source("scene_tiles", "train", data_dir=tiles_dir)
    assert len(source) == ROWS["train"]
    assert source.name == "scene_tiles"
    assert source.class_names == CLASSES
    assert source.image_fields == ("image", "image_t2")
    assert set(source.fields) == set(source[0])
    for row, example in enumerate(source):
        assert example["label"] == row % len(CLASSES)
        assert example["label"].dtype == np.int32
        assert str(example["filename"]) == f"hz_202009_{row}_0_1.jpg"
        assert example["ground_m"] == np.float32(1.2)
        for field, data in (("image", encoded(row)), ("image_t2", encoded(row + 1000, form="PNG"))):
            np.testing.assert_array_equal(example[field], np.asarray(Image.open(io.BytesIO(data))))


def test_a_batch_is_its_rows_stacked_at_the_size_asked_for(tiles_dir):
    source = tfds_source("scene_tiles", "train", data_dir=tiles_dir, image_size=12)
    rows = np.array([5, 0, 0, 36])
    batch = source.read(rows)
    assert batch["image"].shape == (4, 12, 12, 3)
    for position, row in enumerate(rows):
        for field, value in source[int(row)].items():
            np.testing.assert_array_equal(batch[field][position], value)
    with pytest.raises(IndexError):
        source[37]


def test_encoded_images_are_the_files_that_were_built(tiles_dir):
    source = tfds_source("scene_tiles", "train", data_dir=tiles_dir, image_size=12)
    expected = [encoded(row) for row in (5, 0)] + [encoded(row + 1000, form="PNG") for row in (5, 0)]
    assert source.encoded(np.array([5, 0])) == expected
    with pytest.raises(IndexError):
        source.encoded(np.array([37]))


def test_columns_hold_every_row_and_no_image(tiles_dir):
    source = tfds_source("scene_tiles", "train", data_dir=tiles_dir)
    everything = source.read(np.arange(len(source)))
    for field in ("label", "city", "phase", "date", "filename"):
        np.testing.assert_array_equal(source.column(field), everything[field])
    with pytest.raises(KeyError, match="no column 'image'"):
        source.column("image")


def test_the_splits_of_a_data_set_are_those_that_it_was_built_with(tiles_dir):
    data = Data(dataset="scene_tiles", pair_dataset="scene_tiles", config="", data_dir=str(tiles_dir))
    assert scene_splits(data) == pair_splits(data) == tuple(ROWS)
    assert not open_source(data, "train").generated, "taken for real unless the archive says otherwise"


def test_slices_are_splits_too(tiles_dir):
    part = tfds_source("scene_tiles", "train[10:15]", data_dir=tiles_dir)
    assert part.column("filename").tolist() == [f"hz_202009_{row}_0_1.jpg" for row in range(10, 15)]


def test_fingerprint_tells_splits_apart_and_survives_pickling(tiles_dir):
    source = tfds_source("scene_tiles", "train", data_dir=tiles_dir)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.fingerprint() == source.fingerprint()
    np.testing.assert_array_equal(copy[3]["image"], source[3]["image"])
    others = {
        tfds_source("scene_tiles", split, data_dir=tiles_dir).fingerprint()
        for split in ("train", "test_a", "train[:5]", "train[5:10]")
    }
    assert len(others) == 4


def test_damaged_and_missing_files_are_named(tiles_dir, tmp_path):
    place = shutil.copytree(tiles_dir, tmp_path / "copy")
    source = tfds_source("scene_tiles", "train", data_dir=place)
    file = next((place / "scene_tiles" / "1.0.0").glob("*train.array_record*"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"^{file} is damaged \(.*\); build the data set again$"):
        source.read(np.arange(4))
    file.unlink()
    with pytest.raises(InputError, match=rf"^{file} is missing; build the data set again$"):
        tfds_source("scene_tiles", "train", data_dir=place).column("label")


def test_several_threads_read_at_once(tiles_dir):
    source = tfds_source("scene_tiles", "train", data_dir=tiles_dir)
    expected = source.read(np.arange(37))["image"]
    orders = [np.random.default_rng(seed).permutation(37) for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        for order, batch in zip(orders, threads.map(source.read, orders), strict=True):
            np.testing.assert_array_equal(batch["image"], expected[order])


def test_what_is_not_built_says_how_to_build_it(tiles_dir, tmp_path):
    with pytest.raises(
        InputError, match=r"'mtsccd_lusc/official' is not in .*, which holds scene_tiles; build it with: "
    ):
        tfds_source("mtsccd_lusc/official", "train", data_dir=tiles_dir)
    command = f"mtsccd-jax data build mtsccd_lusc/official --archive DIR --data-dir {tmp_path / 'none'}"
    with pytest.raises(InputError, match=f"which holds nothing; build it with: {command}$"):
        tfds_source("mtsccd_lusc/official", "train", data_dir=tmp_path / "none")


def test_unknown_and_empty_splits_list_the_others(tiles_dir):
    with pytest.raises(
        InputError, match=r"scene_tiles has no split 'tset_a'; it has train, test_a. Did you mean 'test_a'"
    ):
        tfds_source("scene_tiles", "tset_a", data_dir=tiles_dir)
    with pytest.raises(
        InputError, match=r"split 'train\[5:5\]' of scene_tiles in .* is empty; choose one of train, test_a$"
    ):
        tfds_source("scene_tiles", "train[5:5]", data_dir=tiles_dir)


def test_tensorflow_is_never_imported(tiles_dir):
    program = (
        "import sys, numpy as np; from mtsccd_jax.data.tfds_source import tfds_source;"
        f"source = tfds_source('scene_tiles', 'train', data_dir={str(tiles_dir)!r});"
        "source.read(np.arange(4)); source.column('label'); source.fingerprint();"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_open_source_picks_what_the_recipe_names(tiles_dir, class_tree, tmp_path):
    tiles = Data(dataset="scene_tiles", config="", pair_dataset="scene_tiles", data_dir=str(tiles_dir), image_size=16)
    assert open_source(tiles, "train").read(np.arange(2))["image"].shape == (2, 16, 16, 3)
    assert len(open_pairs(tiles, "test_a")) == ROWS["test_a"]
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
    with pytest.raises(InputError, match=r"give --folder DIR, --dataset NAME or --pairs DIR$"):
        open_source(Data(dataset=None), "train")
    with pytest.raises(InputError, match=r"give one of data.pair_dataset and data.pairs$"):
        open_pairs(Data(pair_dataset=None), "train")
    with pytest.raises(InputError, match="no input is named"):
        scene_splits(Data(dataset=None))
    with pytest.raises(InputError, match="no pairs are named"):
        pair_splits(Data(pair_dataset=None))
    with pytest.raises(InputError, match=r"not in .*, which holds nothing; build it with"):
        pair_splits(Data(data_dir=str(tmp_path)))


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
