"""Names of data sets as people write them."""

import pytest

from mtsccd_jax.data.data_set_name import parse
from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.errors import InputError


@pytest.mark.parametrize(
    ("text", "with_config"),
    [
        ("mtsccd_lusc", "mtsccd_lusc/official"),
        ("mtsccd_lusc:1.0.0", "mtsccd_lusc/official:1.0.0"),
        ("mtsccd_lusc:*.*.*", "mtsccd_lusc/official:*.*.*"),
        ("mtsccd_lusc/paired", "mtsccd_lusc/paired"),
        ("mtsccd_lusc/paired:1.*.*", "mtsccd_lusc/paired:1.*.*"),
        ("MtsccdLusc", "MtsccdLusc/official"),
        ("imagenet_resized/64x64", "imagenet_resized/64x64"),
        ("diabetic_retinopathy_detection/btgraham-300:3.0.0", "diabetic_retinopathy_detection/btgraham-300:3.0.0"),
    ],
)
def test_a_configuration_goes_before_the_version(text, with_config):
    assert str(parse(text)) == text
    assert str(parse(text).or_config("official")) == with_config
    assert parse(text).or_config("") == parse(text)


WRONG = (
    "mtsccd-lusc",
    "mtsccd_lusc/official/1.0.0",
    "mtsccd_lusc:1.0",
    "mtsccd_lusc:latest",
    "mtsccd_lusc/",
    "",
    "a b",
)


@pytest.mark.parametrize("text", [*WRONG, "mtsccd_lusc/a=1", "/tmp/x", "gs://b/x", "\udcff"])
def test_other_forms_are_refused_with_the_right_one(text):
    with pytest.raises(InputError, match=r"is no name of a data set: write NAME, NAME/CONFIG or NAME/CONFIG:1.0.0"):
        parse(text)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scene_tiles:2.0.0", r"scene_tiles:2.0.0 is not in .*, which has version 1.0.0; leave :2.0.0 out"),
        ("Scene_tile", r"which holds scene_tiles. Did you mean 'scene_tiles'\? Or build it with: "),
        ("other:1.0.0", r"'other:1.0.0' is not in .*; build it with: mtsccd-jax data build other --archive DIR"),
    ],
)
def test_what_is_not_built_is_told_from_a_wrong_version(tiles_dir, name, message):
    with pytest.raises(InputError, match=message):
        tfds_source(name, "train", data_dir=tiles_dir)


def test_versions_and_camel_case_are_understood(tiles_dir):
    for name in ("scene_tiles:1.0.0", "scene_tiles:*.*.*", "SceneTiles", "SCENE_TILES"):
        assert tfds_source(name, "train", data_dir=tiles_dir).dataset == "scene_tiles"


@pytest.mark.parametrize("split", ["train[:999]", "train[5", "train[:10%]+nothing"])
def test_a_wrong_slice_names_the_forms(tiles_dir, split):
    with pytest.raises(InputError, match=r"write train\[:10%\] or train\[10:20\]; train has 37 examples"):
        tfds_source("scene_tiles", split, data_dir=tiles_dir)


def test_a_torn_build_is_named(tiles_dir, tmp_path):
    place = tmp_path / "scene_tiles" / "1.0.0"
    place.mkdir(parents=True)
    (place / "features.json").write_text('{"pythonClassName":')
    (place / "dataset_info.json").write_text("{")
    with pytest.raises(InputError, match=r"features\.json: damaged \(.+\); remove the data set and build it again$"):
        tfds_source("scene_tiles", "train", data_dir=tmp_path)
    with pytest.raises(InputError, match="is a file; name the folder"):
        tfds_source("scene_tiles", "train", data_dir=place / "features.json")
