"""Build of BigEarthNet v1: what is stored, from made and from real archives, and what wrong patches do."""

import json
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tifffile
from bigearthnet_v1_files import PATCHES, S1_BANDS, S2_BANDS, TILE, band, s1_name, write
from built_examples import read_all

from tfds_builders import ArchiveError, BigEarthNetV1Config, build
from tfds_builders.bigearthnet.bands import BANDS, CHANNEL_SETS
from tfds_builders.bigearthnet.label_sets import LABEL_SETS
from tfds_builders.bigearthnet_v1.patch_examples import PatchExamples
from tfds_builders.bigearthnet_v1.splits import Patch
from tfds_builders.writing.records import Skipped

NAME = "S2B_MSIL2A_20180204T94161_57_38"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write(tmp_path_factory.mktemp("archive"))


def read(data_dir, config: str | BigEarthNetV1Config) -> dict[str, dict]:
    """Return patch -> its example, with the split, of all splits."""
    return {e["patch_id"].decode(): e for e in read_all("bigearthnet_v1", data_dir, config=config)}


def test_all_bands_of_both_sensors_and_what_is_said_of_them(archive, tmp_path):
    result = build("bigearthnet_v1", archive=archive, data_dir=tmp_path, config="s1_s2_43", workers=1)
    assert result.splits == {"train": 3, "validation": 1, "test": 1}
    examples = read(tmp_path, "s1_s2_43")
    for name, example in examples.items():
        for band_name in (*S2_BANDS, *S1_BANDS):
            np.testing.assert_array_equal(example[band_name], band(name, band_name))
            assert example[band_name].dtype == BANDS[band_name].dtype
        of_list, labels = PATCHES[name]
        assert {"validation": "val"}.get(example["split"], example["split"]) == of_list
        np.testing.assert_array_equal(example["labels"], LABEL_SETS["43"].multi_hot(labels))
    example = examples[NAME]
    assert (example["acquired"], example["s1_acquired"]) == (b"2018-02-04T09:42:01", b"2018-02-04T04:32:53")
    assert (example["tile"], example["s1_name"]) == (TILE.encode(), s1_name(NAME).encode())
    assert [int(example[field]) for field in ("x", "y", "ulx", "uly")] == [57, 38, 600000, 7000020]
    info = tfds.builder("bigearthnet_v1", config="s1_s2_43", data_dir=tmp_path).info
    assert info.features["country"].int2str(example["country"]) == "Finland"
    assert info.features["season"].int2str(example["season"]) == "winter"
    assert info.metadata["label_names"] == list(LABEL_SETS["43"].classes)
    assert info.metadata["band_statistics"]["VV"] == {"mean": -12.62, "std": 5.116}
    assert info.metadata["generated"] is False
    assert info.supervised_keys == (tuple(CHANNEL_SETS["s1_s2"]), "labels")


def test_sentinel_1_alone_and_clc_levels(archive, tmp_path):
    shutil.copytree(archive / "BigEarthNet-S1-v1.0", tmp_path / "s1" / "BigEarthNet-S1-v1.0")
    for path in archive.glob("*.csv"):
        shutil.copy(path, tmp_path / "s1")
    result = build("bigearthnet_v1", archive=tmp_path / "s1", data_dir=tmp_path, config="s1_19", workers=1)
    assert result.splits == {"train": 3, "validation": 1, "test": 1}
    for name, example in read(tmp_path, "s1_19").items():
        np.testing.assert_array_equal(example["VH"], band(name, "VH"))
        assert example["tile"] == TILE.encode()
    level_1 = BigEarthNetV1Config("level_1", bands=("B01",), labels="clc_level_1")
    build("bigearthnet_v1", archive=archive, data_dir=tmp_path, config=level_1, workers=1)
    (example,) = (e for e in read(tmp_path, level_1).values() if e["split"] == "test")
    assert example["labels"].tolist() == [0, 1, 0, 0, 1]


def test_flags_tell_snow_and_cloud(archive, tmp_path):
    build("bigearthnet_v1", archive=archive, data_dir=tmp_path, config="all_patches_s2_43", workers=1)
    examples = read(tmp_path, "all_patches_s2_43")
    assert examples.keys() == PATCHES.keys()
    for name, (of_list, _) in PATCHES.items():
        assert examples[name]["has_snow"] == of_list.endswith("snow")
        assert examples[name]["has_cloud_or_shadow"] == of_list.endswith("shadow")


def test_wrong_configurations_are_refused():
    for wrong in ({"bands": ("B10",)}, {"bands": ()}, {"bands": ("B02", "B02")}, {"labels": "20"}, {"split": "mine"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BigEarthNetV1Config("wrong", **wrong)
    with pytest.raises(ValueError, match="keep_snow_and_cloud"):
        BigEarthNetV1Config("wrong", keep_snow_and_cloud=True)


# Wrong patches


@pytest.fixture
def patch_folder(archive, tmp_path):
    """The folder of one patch, to be damaged, and a copy of the archive around it."""
    shutil.copytree(archive, tmp_path / "archive")
    return tmp_path / "archive" / "BigEarthNet-v1.0" / NAME


def examples_of(folder, *, skip_bad=False, label_set="19"):
    """Return what a shard of that one patch yields."""
    s1_folder = str(folder.parents[1] / "BigEarthNet-S1-v1.0")
    patch = Patch(NAME, str(folder.parent), s1_name(NAME), s1_folder, False, False)
    return list(PatchExamples((patch,), (*S2_BANDS, *S1_BANDS), label_set, skip_bad, "/none", "/none")())


TIFF, JSON = f"BigEarthNet-v1.0/{NAME}/{NAME}_B08.tif", f"BigEarthNet-v1.0/{NAME}/{NAME}_labels_metadata.json"
S1_JSON = f"BigEarthNet-S1-v1.0/{s1_name(NAME)}/{s1_name(NAME)}_labels_metadata.json"


def saying(**changes):
    """Return a function that changes what a JSON file says."""
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "damage", "why"),
    [
        (TIFF, lambda path: path.unlink(), "missing"),
        (TIFF, lambda path: tifffile.imwrite(path, np.zeros((60, 60), np.uint16)), "size 60x60 instead of 120x120"),
        (
            TIFF,
            lambda path: tifffile.imwrite(path, np.zeros((120, 120), np.float32)),
            "pixels of type float32 instead of uint16",
        ),
        (TIFF, lambda path: path.write_bytes(path.read_bytes()[:20000]), "truncated TIFF"),
        (JSON, lambda path: path.unlink(), "missing"),
        (JSON, lambda path: path.write_text(path.read_text()[:-5]), "broken JSON"),
        (JSON, saying(labels=["Mixed forest", "Rainforest"]), "label 'Rainforest' is not in the nomenclature"),
        (JSON, saying(labels=[]), "has no label"),
        (JSON, saying(coordinates={}), "lacks what it should say of the patch"),
        (JSON, saying(tile_source="S2A_T32TMT_"), f"tile 32TMT, but its Sentinel-1 patch is {s1_name(NAME)}"),
        (S1_JSON, saying(labels=["Pastures"]), f"labels unlike those of {NAME}"),
        (
            S1_JSON,
            saying(corresponding_s2_patch="S2A_MSIL2A_20170701T093031_0_0"),
            f"belongs to patch S2A_MSIL2A_20170701T093031_0_0, not to {NAME}",
        ),
    ],
    ids=["no band", "size", "type", "cut", "no json", "json", "label", "no label", "corner", "tile", "labels", "pair"],
)
def test_a_wrong_patch_is_named_or_skipped(patch_folder, file, damage, why):
    path = patch_folder.parents[1] / file
    damage(path)
    if "Rainforest" in why:  # both halves must agree before a label is looked up
        damage(patch_folder.parents[1] / S1_JSON)
    expected = f"{path}: {why}"
    with pytest.raises(ArchiveError) as error:
        examples_of(patch_folder)
    assert str(error.value).startswith(expected)
    assert NAME in str(error.value)
    assert str(error.value).endswith("replace or remove the patch, or build with --skip-bad")
    ((_, skipped),) = examples_of(patch_folder, skip_bad=True)
    assert isinstance(skipped, Skipped)
    assert skipped.reason.startswith(expected)


def test_a_patch_without_any_of_the_19_classes_must_be_on_the_list(patch_folder):
    for place in (patch_folder, patch_folder.parents[1] / "BigEarthNet-S1-v1.0" / s1_name(NAME)):
        (path,) = place.glob("*.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": ["Airports"]}))
    with pytest.raises(ArchiveError, match="none of its labels is among the 19 classes"):
        examples_of(patch_folder)
    assert len(examples_of(patch_folder, label_set="43")) == 1


def test_what_is_skipped_is_counted_and_reported(patch_folder, tmp_path):
    archive = patch_folder.parents[1]
    bad = "S2A_MSIL2A_20170701T093031_0_0"
    (archive / "BigEarthNet-v1.0" / bad / f"{bad}_B01.tif").unlink()
    unlisted = archive / "BigEarthNet-v1.0" / "S2A_MSIL2A_20170701T093031_5_5"
    unlisted.mkdir()
    strange = archive / "BigEarthNet-v1.0" / "S2A_patch"
    strange.mkdir()
    (strange / "S2A_patch_labels_metadata.json").touch()
    options = {"archive": archive, "data_dir": tmp_path / "data", "workers": 1}
    with pytest.raises(ArchiveError, match=r"S2A_patch: not the name of a patch.* \(and 1 more\); or build with"):
        build("bigearthnet_v1", **options)
    result = build("bigearthnet_v1", skip_bad=True, **options)
    assert result.splits == {"train": 2, "validation": 1, "test": 1}
    assert [line.partition(": ")[0].rpartition("/")[2] for line in result.skipped[:1]] == ["S2A_patch"]
    assert "S2A_MSIL2A_20170701T093031_5_5: in none of the lists" in result.skipped[1]
    assert result.skipped[2].endswith(f"{bad}_B01.tif: missing")
    assert len(result.skipped) == 3


def test_patches_of_which_nothing_is_there_are_counted(archive, tmp_path, caplog):
    shutil.copytree(archive, tmp_path / "archive")
    gone = "S2A_MSIL2A_20170701T093031_17_4"
    options = {"archive": tmp_path / "archive", "workers": 1}
    shutil.rmtree(tmp_path / "archive" / "BigEarthNet-v1.0" / gone)
    result = build("bigearthnet_v1", data_dir=tmp_path / "data", **options)
    assert result.splits == {"train": 2, "validation": 1, "test": 1}
    assert (result.skipped, result.absent) == ([], 1)
    (line,) = [record.getMessage() for record in caplog.records if "not in the archive" in record.getMessage()]
    said = f"1 of the 5 patches in the split lists are not in the archive, the first: {gone}"
    assert line == f"{tmp_path / 'archive'}: {said}"
    assert tfds.builder("bigearthnet_v1", data_dir=tmp_path / "data").info.metadata["absent"] == 1
    # Half a patch is none that is absent.
    with pytest.raises(ArchiveError, match=f"{s1_name(gone)}: the Sentinel-2 patch {gone} is not there"):
        build("bigearthnet_v1", data_dir=tmp_path / "both", config="s1_s2_19", **options)
    shutil.rmtree(tmp_path / "archive" / "BigEarthNet-S1-v1.0" / s1_name(gone))
    assert build("bigearthnet_v1", data_dir=tmp_path / "both", config="s1_s2_19", **options).absent == 1
    assert build("bigearthnet_v1", data_dir=tmp_path / "radar", config="s1_19", **options).absent == 1


@pytest.mark.parametrize(("folder", "number"), [("BigEarthNet-v1.0", 2), ("BigEarthNet-S1-v1.0", 1)])
def test_a_sensor_of_which_nothing_is_there_is_an_error(archive, tmp_path, folder, number):
    shutil.copytree(archive, tmp_path / "archive")
    shutil.rmtree(tmp_path / "archive" / folder)
    with pytest.raises(ArchiveError, match=f"holds no Sentinel-{number} patch; download .* without it$"):
        build("bigearthnet_v1", archive=tmp_path / "archive", data_dir=tmp_path / "data", config="s1_s2_19")


# Real patches


def check_pixels(real_data, examples: dict[str, dict], bands: tuple[str, ...]) -> None:
    root = real_data / "bigearthnet_v1"
    for name, example in examples.items():
        for band_name in bands:
            own = name if band_name in S2_BANDS else example["s1_name"].decode()
            (path,) = root.glob(f"*/{own}/{own}_{band_name}.tif")
            pixels = tifffile.imread(path)
            np.testing.assert_array_equal(example[band_name], pixels)
            assert example[band_name].dtype == pixels.dtype
            said = json.loads((path.parent / f"{own}_labels_metadata.json").read_text())
        np.testing.assert_array_equal(example["labels"], LABEL_SETS["19"].multi_hot(said["labels"]))


def test_every_real_sentinel_2_patch_by_the_official_lists(real_data, tmp_path):
    result = build("bigearthnet_v1", archive=real_data / "bigearthnet_v1", data_dir=tmp_path, workers=1)
    assert result.splits == {"train": 7, "validation": 3, "test": 3}
    assert not result.skipped
    examples = read(tmp_path, "official")
    check_pixels(real_data, examples, S2_BANDS)
    split_of = {name: example["split"] for name, example in examples.items()}
    assert split_of["S2A_MSIL2A_20170613T101031_87_48"] == "test"
    assert split_of["S2B_MSIL2A_20180421T114349_47_56"] == "validation"
    info = tfds.builder("bigearthnet_v1", config="official", data_dir=tmp_path).info
    assert info.metadata["left_out"] == {"seasonal snow": 1}  # S2B_MSIL2A_20180204T94161_57_38
    assert info.metadata["absent"] == result.absent == 519_284 - 13
    named = info.features["country"].int2str
    assert {named(example["country"]) for example in examples.values()} == {
        *("Austria", "Finland", "Ireland", "Lithuania", "Portugal", "Serbia")
    }


def test_every_real_sentinel_1_patch(real_data, tmp_path):
    options = {"archive": real_data / "bigearthnet_v1", "data_dir": tmp_path, "workers": 1}
    every = BigEarthNetV1Config("s1_every", bands=S1_BANDS, split="random", keep_snow_and_cloud=True)
    result = build("bigearthnet_v1", config=every, **options)
    assert sum(result.splits.values()) == 9
    examples = read(tmp_path, every)
    check_pixels(real_data, examples, S1_BANDS)
    assert sum(example["has_snow"] for example in examples.values()) == 1


def test_real_pairs_of_both_sensors(real_data, tmp_path):
    paired = BigEarthNetV1Config("paired", bands=CHANNEL_SETS["s1_s2"], split="random", keep_snow_and_cloud=True)
    options = {"archive": real_data / "bigearthnet_v1", "data_dir": tmp_path, "workers": 1, "config": paired}
    with pytest.raises(ArchiveError, match=r"no Sentinel-1 patch belongs to it \(and 10 more\)"):
        build("bigearthnet_v1", **options)
    result = build("bigearthnet_v1", skip_bad=True, **options)
    assert sum(result.splits.values()) == 6
    assert len(result.skipped) == 11  # 8 of Sentinel-2 and 3 of Sentinel-1 are alone
    check_pixels(real_data, read(tmp_path, paired), CHANNEL_SETS["s1_s2"])
