"""Whole builds of MLRSNet: what is stored, and what wrong input does."""

import logging

import numpy as np
import pytest
import tensorflow_datasets as tfds
from built_examples import read_splits
from mlrsnet_files import CATEGORIES, LABELS, filename, labels_of, rows, write_csv, write_mlrsnet
from PIL import Image

from mtsccd_jax.data.tfds_source import tfds_source
from tfds_builders import ArchiveError, build


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_mlrsnet(tmp_path_factory.mktemp("archive"), corrected="labels_corrected")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, archive):
    folder = tmp_path_factory.mktemp("data")
    for config in ("official", "corrected", "official_20_10_70"):
        build("mlrsnet", archive=archive, data_dir=folder, config=config, workers=1)
    return folder


def examples(config: str, data_dir) -> dict[str, list[dict]]:
    return read_splits(f"mlrsnet/{config}", data_dir)


@pytest.mark.parametrize("config", ["official", "corrected"])
def test_examples_are_the_files_with_their_labels(archive, data_dir, config):
    found = examples(config, data_dir)
    assert {split: len(of_split) for split, of_split in found.items()} == {"train": 16, "validation": 4, "test": 20}
    by_name = {e["filename"].decode(): e for of_split in found.values() for e in of_split}
    assert len(by_name) == 40
    info = tfds.builder("mlrsnet", data_dir=data_dir).info
    for category in CATEGORIES:
        for number in range(8):
            example = by_name[filename(category, number)]
            assert info.features["category"].int2str(example["category"]) == category
            assert example["labels"].dtype == np.uint8
            assert example["labels"].tolist() == labels_of(category, number, config == "corrected")
            with Image.open(archive / "Images" / category / filename(category, number)) as image:
                np.testing.assert_array_equal(example["image"], np.asarray(image))


def test_the_info_says_what_the_labels_are_and_what_is_wrong_with_them(data_dir):
    info = tfds.builder("mlrsnet", data_dir=data_dir).info
    assert info.metadata["label_names"] == LABELS
    assert info.metadata["damage"] == {
        "airport": {"without_labels": 1, "above_13": 0},
        "park": {"without_labels": 0, "above_13": 1},
    }
    assert info.metadata["splits_from"] == "40 % train and 10 % validation of every category, seed 0"
    assert info.metadata["generated"] is False
    assert info.supervised_keys == ("image", "labels")
    corrected = tfds.builder("mlrsnet/corrected", data_dir=data_dir).info
    assert list(corrected.metadata["damage"]) == ["airport"]


def test_splits_do_not_depend_on_the_labels(data_dir):
    official, corrected = (
        {split: [e["filename"] for e in of_split] for split, of_split in examples(config, data_dir).items()}
        for config in ("official", "corrected")
    )
    assert official == corrected
    counts = {split: len(of_split) for split, of_split in examples("official_20_10_70", data_dir).items()}
    assert counts == {"train": 8, "validation": 4, "test": 28}


def test_supervised_examples_are_image_and_labels(data_dir):
    image, labels = next(iter(tfds.load("mlrsnet", split="train", data_dir=data_dir, as_supervised=True)))
    assert (image.shape, labels.shape) == ((8, 8, 3), (60,))


def test_a_source_gives_images_labels_and_their_names(data_dir):
    source = tfds_source("mlrsnet", "train", data_dir=data_dir)
    assert len(source) == 16
    assert source.names["labels"] == tuple(LABELS)
    assert source.names["category"][6] == "bridge"
    batch = source.read(np.array([3, 0]))
    assert batch["image"].shape == (2, 8, 8, 3)
    assert (batch["labels"].shape, batch["labels"].dtype) == ((2, 60), np.uint8)
    np.testing.assert_array_equal(batch["labels"][0], source[3]["labels"])
    assert source.column("labels").shape == (16, 60)


def test_the_log_says_what_is_wrong_with_the_labels(tmp_path, archive, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("tfds_builders"), "propagate", True)  # the command line keeps it to itself
    build("mlrsnet", archive=archive, data_dir=tmp_path, workers=1)
    assert "official labels, park: of 8 images 1 have more than 13 labels" in caplog.text
    assert "the corrected labels differ from the official ones in 1 images" in caplog.text


# Wrong input


def test_fewer_images_than_labels_is_an_error_or_counted(tmp_path, archive, data_dir):
    root = write_mlrsnet(tmp_path / "archive")
    lost = [root / "Images" / "park" / filename("park", number) for number in (1, 5)]
    for path in lost:
        path.unlink()
    with pytest.raises(
        ArchiveError, match=rf"{filename('park', 1)}: no such image.* \(and 1 more\); or build with --skip-bad"
    ):
        build("mlrsnet", archive=root, data_dir=tmp_path / "data", workers=1)
    assert not list((tmp_path / "data").rglob("1.0.0*"))
    result = build("mlrsnet", archive=root, data_dir=tmp_path / "data", workers=1, skip_bad=True)
    assert len(result.skipped) == 2
    assert sum(result.splits.values()) == 38
    gone = {path.name.encode() for path in lost}
    for split, of_split in examples("official", tmp_path / "data").items():  # the others stay where they were
        whole = [e["filename"] for e in examples("official", data_dir)[split]]
        assert [e["filename"] for e in of_split] == [name for name in whole if name not in gone]


def test_a_bad_row_is_named_or_skipped_and_other_columns_always_stop(tmp_path):
    root = write_mlrsnet(tmp_path / "archive")
    cells = rows("park", 8)
    cells[2][9] = "yes"
    write_csv(root / "labels" / "park.csv", cells)
    with pytest.raises(ArchiveError, match=rf"line 3: {filename('park', 1)}: the value 'yes' is neither 0 nor 1"):
        build("mlrsnet", archive=root, data_dir=tmp_path / "data", workers=1)
    result = build("mlrsnet", archive=root, data_dir=tmp_path / "data", workers=1, skip_bad=True)
    assert (len(result.skipped), sum(result.splits.values())) == (1, 39)
    write_csv(root / "labels" / "park.csv", [row[:-1] for row in cells])
    with pytest.raises(ArchiveError, match="label 'wind turbine' is missing"):
        build("mlrsnet", archive=root, data_dir=tmp_path / "more", workers=1, skip_bad=True)
