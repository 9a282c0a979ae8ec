"""Scenes and pairs of a TFDS data set, read from its array_record files."""

import io
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scene_tiles import CLASSES, ROWS, encoded
from source_contract import check_source

from mtsccd_jax.data.tfds_source import built_splits, tfds_source
from mtsccd_jax.errors import InputError


def test_rows_are_what_was_written(train_tiles):
    assert len(train_tiles) == ROWS["train"]
    assert train_tiles.name == "scene_tiles"
    assert train_tiles.class_names == CLASSES
    assert train_tiles.image_fields == ("image", "image_t2")
    assert not train_tiles.generated, "taken for real unless the archive says otherwise"
    for row, example in enumerate(train_tiles):
        assert example["label"] == row % len(CLASSES)
        assert example["label"].dtype == np.int32
        assert str(example["filename"]) == f"hz_202009_{row}_0_1.jpg"
        assert example["ground_m"] == np.float32(1.2)
        for field, data in (("image", encoded(row)), ("image_t2", encoded(row + 1000, form="PNG"))):
            np.testing.assert_array_equal(example[field], np.asarray(Image.open(io.BytesIO(data))))


def test_batches_have_the_size_asked_for_and_encoded_images_are_as_built(tiles_dir):
    source = tfds_source("scene_tiles", "train", data_dir=tiles_dir, image_size=12)
    check_source(source)
    assert source[36]["image"].shape == (12, 12, 3)
    expected = [encoded(row) for row in (5, 0)] + [encoded(row + 1000, form="PNG") for row in (5, 0)]
    assert source.encoded(np.array([5, 0])) == expected
    with pytest.raises(IndexError):
        source.encoded(np.array([37]))


def test_splits_are_those_of_the_build_and_slices_of_them(tiles_dir):
    assert built_splits("scene_tiles", tiles_dir) == tuple(ROWS)
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


def test_what_is_not_built_says_how_to_build_it(tiles_dir, tmp_path):
    with pytest.raises(
        InputError, match=r"'mtsccd_lusc/official' is not in .*, which holds scene_tiles; build it with: "
    ):
        tfds_source("mtsccd_lusc/official", "train", data_dir=tiles_dir)
    command = f"mtsccd-jax data build mtsccd_lusc/official --archive DIR --data-dir {tmp_path / 'none'}"
    with pytest.raises(InputError, match=f"which holds nothing; build it with: {command}$"):
        tfds_source("mtsccd_lusc/official", "train", data_dir=tmp_path / "none")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("tset_a", r"scene_tiles has no split 'tset_a'; it has train, test_a. Did you mean 'test_a'"),
        ("train[5:5]", r"split 'train\[5:5\]' of scene_tiles in .* is empty; choose one of train, test_a$"),
    ],
)
def test_unknown_and_empty_splits_list_the_others(tiles_dir, split, message):
    with pytest.raises(InputError, match=message):
        tfds_source("scene_tiles", split, data_dir=tiles_dir)


def test_tensorflow_is_never_imported(tiles_dir):
    program = (
        "import sys, numpy as np; from mtsccd_jax.data.tfds_source import tfds_source;"
        f"source = tfds_source('scene_tiles', 'train', data_dir={str(tiles_dir)!r});"
        "source.read(np.arange(4)); source.column('label'); source.fingerprint();"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
