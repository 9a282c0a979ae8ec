"""Build of `bigearthnet_v2`: configurations, both sources, bad archives, real patches."""

import shutil

import bigearthnet_v2_files as files
import numpy as np
import pytest
import tensorflow_datasets as tfds
import tifffile
from built_examples import read_all
from pyarrow import parquet

import tfds_builders
from tfds_builders.bigearthnet.countries import COUNTRIES
from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.bigearthnet_v2.bigearthnet_v2_dataset_builder import shuffled
from tfds_builders.bigearthnet_v2.config import CONFIGS, BigEarthNetV2Config
from tfds_builders.reading.archive import ArchiveError

S2_BANDS, S1_BANDS = files.S2_BANDS, files.S1_BANDS
NAME = "bigearthnet_v2"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return files.write(tmp_path_factory.mktemp("v2") / "archive")


@pytest.fixture
def own_archive(archive, tmp_path):
    return shutil.copytree(archive, tmp_path / "archive")


def _built(archive, data_dir, config="official", **options):
    return tfds_builders.build(NAME, archive=archive, data_dir=data_dir, config=config, workers=1, **options)


def _rows(data_dir, config="official"):
    """Every example by (split, patch_id)."""
    return {(e["split"], e["patch_id"].decode()): e for e in read_all(f"{NAME}/{config}", data_dir)}


def _expected(kinds=("recommended",)):
    return {
        (split, files.names(x, y)[0])
        for (x, y), (split, _, _, snow, cloud) in files.PATCHES.items()
        if ("others" if snow or cloud else "recommended") in kinds
    }


def test_official(archive, tmp_path):
    result = _built(archive, tmp_path)
    assert result.splits == {"train": 3, "validation": 2, "test": 2}
    assert result.skipped == []
    rows = _rows(tmp_path)
    assert rows.keys() == _expected()
    for x, y in list(files.PATCHES)[:7]:
        split, _, labels, _, _ = files.PATCHES[x, y]
        example = rows[split, files.names(x, y)[0]]
        for band in (*S2_BANDS, *S1_BANDS):
            expected = files.band(x, y, band)
            np.testing.assert_array_equal(example[band], expected)
            assert example[band].dtype == expected.dtype
        np.testing.assert_array_equal(example["reference_map"], files.code_map(x, y))
        assert sorted(CLASSES_19[at] for at in np.flatnonzero(example["labels"])) == labels
        total = example["class_shares"].sum() + example["unmapped_share"] + example["unlabeled_share"]
        np.testing.assert_allclose(total, 1, rtol=1e-6)
        assert COUNTRIES[example["country"]] == "Austria"
        assert (example["has_snow"], example["has_cloud_or_shadow"]) == (False, False)
    builder = tfds.builder(NAME, data_dir=tmp_path)
    assert builder.info.metadata["label_names"] == list(CLASSES_19)
    assert builder.info.metadata["generated"] is False
    assert builder.info.metadata["band_statistics"]["VV"] == {"mean": -12.644, "std": 5.133}


def test_the_engine_reads_it(archive, tmp_path):
    from mtsccd_jax.data.tfds_source import tfds_source

    _built(archive, tmp_path, "s1_s2_10m_20m")
    source = tfds_source(f"{NAME}/s1_s2_10m_20m", "test", data_dir=tmp_path)
    assert len(source) == 2
    example = source[0]
    assert {name: (example[name].shape, example[name].dtype.name) for name in ("B02", "B05", "VH", "labels")} == {
        "B02": ((120, 120), "uint16"),
        "B05": ((60, 60), "uint16"),
        "VH": ((120, 120), "float32"),
        "labels": ((19,), "uint8"),
    }
    assert source.names["labels"] == CLASSES_19
    assert {*source.fields}.isdisjoint({"B01", "B09", "reference_map"})


@pytest.mark.parametrize("config", [config.name for config in CONFIGS])
def test_every_configuration(archive, tmp_path, config):
    """The bands that it names and no others, and the patches that it names."""
    kinds = ("others",) if "snow_and_cloud" in config else ("recommended",)
    kinds += ("recommended",) if "with_snow_and_cloud" in config else ()
    _built(archive, tmp_path, config)
    rows = _rows(tmp_path, config)
    assert rows.keys() == _expected(kinds)
    example = next(iter(rows.values()))
    bands = {
        "s2": {*S2_BANDS},
        "s1": {*S1_BANDS},
        "rgb": {"B02", "B03", "B04"},
        "maps": set(),
        "s2_10m": {"B02", "B03", "B04", "B08"},
        "s2_10m_20m": {*S2_BANDS} - {"B01", "B09"},
        "s1_s2_10m_20m": {*S1_BANDS, *S2_BANDS} - {"B01", "B09"},
        "s2_with_snow_and_cloud": {*S2_BANDS},
        "s1_with_snow_and_cloud": {*S1_BANDS},
    }.get(config, {*S1_BANDS, *S2_BANDS})
    assert {name for name in example if name in (*S1_BANDS, *S2_BANDS)} == bands
    has_map = config in ("official", "maps", "with_snow_and_cloud", "snow_and_cloud")
    assert ("reference_map" in example) == has_map


def test_a_configuration_reads_only_its_own_part_of_the_archive(own_archive, tmp_path):
    shutil.rmtree(own_archive / "BigEarthNet-S2")
    shutil.rmtree(own_archive / "Reference_Maps")
    (own_archive / files.OTHERS).unlink()
    for x, y in list(files.PATCHES)[7:]:
        _drop(own_archive, x, y, "VV")
    assert _built(own_archive, tmp_path / "data", "s1").splits == {"train": 3, "validation": 2, "test": 2}
    for skip_bad in (False, True):
        with pytest.raises(ArchiveError, match=r"archive: holds no patch of BigEarthNet-S2; download .* without it$"):
            _built(own_archive, tmp_path / "data", "s2", skip_bad=skip_bad)
    with pytest.raises(ArchiveError, match=f"no {files.OTHERS}"):
        _built(own_archive, tmp_path / "data", "s1_with_snow_and_cloud")


def test_an_lmdb_gives_the_same_files(archive, tmp_path):
    pytest.importorskip("lmdb")
    folder = files.write_lmdb(tmp_path / "encoded" / "lmdb")
    files.write_tables(folder.parent)
    _built(archive, tmp_path / "a")
    assert _built(folder, tmp_path / "b").splits == {"train": 3, "validation": 2, "test": 2}
    made = sorted((tmp_path / "a").rglob("*record-*"))
    assert len(made) == 6
    for path in made:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def _drop(root, x, y, name):
    shutil.rmtree(files.path_of(root, x, y, name).parent)


def _add_unlisted(root):
    (root / "BigEarthNet-S2" / files.PRODUCT / f"{files.PRODUCT}_90_90").mkdir()


def _foreign_label(root):
    rows = files.rows(recommended=True)
    rows[4]["labels"] = ["Unicorn pasture"]
    files.write_table(root / files.RECOMMENDED, rows)


@pytest.mark.parametrize(
    ("damage", "why", "left"),
    [
        (lambda root: files.path_of(root, 75, 43, "B09").unlink(), r"_75_43: .*_B09\.tif: missing", 1),
        (lambda root: _drop(root, 75, 43, "B02"), "BigEarthNet-S2: patch .*_75_43 is missing", 1),
        (lambda root: _drop(root, 75, 43, "VV"), "BigEarthNet-S1: patch .*_75_43 is missing", 1),
        (lambda root: _drop(root, 75, 43, "reference_map"), "Reference_Maps: patch .*_75_43 is missing", 1),
        (_add_unlisted, "BigEarthNet-S2: patch .*_90_90 is in no list", 2),
        (_foreign_label, "patch .*_75_43: label 'Unicorn pasture' is not in the nomenclature", 1),
    ],
)
def test_a_bad_patch_is_an_error_or_a_counted_skip(own_archive, tmp_path, damage, why, left):
    damage(own_archive)
    with pytest.raises(ArchiveError, match=why):
        _built(own_archive, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*record*")), "nothing half-written is left"
    result = _built(own_archive, tmp_path / "data", skip_bad=True)
    assert result.splits == {"train": 3, "validation": left, "test": 2}
    said = "\n".join(result.skipped)
    with pytest.raises(ArchiveError, match=why):
        raise ArchiveError(said)


def test_patches_of_which_nothing_is_there_are_counted(own_archive, tmp_path, caplog):
    assert _built(own_archive, tmp_path / "whole", "s1").absent == 0
    for name in ("B02", "VV", "reference_map"):
        _drop(own_archive, 0, 4, name)
        _drop(own_archive, 75, 43, name)
    result = _built(own_archive, tmp_path / "data")
    assert result.splits == {"train": 2, "validation": 1, "test": 2}
    assert (result.skipped, result.absent) == ([], 2)
    (line,) = [record.getMessage() for record in caplog.records if "not in the archive" in record.getMessage()]
    first = files.names(0, 4)[0]
    assert line == f"{own_archive}: 2 of the 7 patches in the tables are not in the archive, the first: {first}"
    assert tfds.builder(NAME, data_dir=tmp_path / "data").info.metadata["absent"] == 2
    assert _built(own_archive, tmp_path / "data").absent == 2, "also where the data are there already"


def test_an_unknown_band_or_set_of_patches():
    with pytest.raises(ValueError, match="unknown band 'B10'"):
        BigEarthNetV2Config(name="mine", s2_bands=("B10",))
    with pytest.raises(ValueError, match="give one of recommended, all, snow_and_cloud"):
        BigEarthNetV2Config(name="mine", patches="some")


def test_the_order_is_a_shuffle_that_no_listing_order_changes():
    names = np.array([f"patch_{at}".encode() for at in range(200)])
    stored = names[shuffled(names)]
    assert sorted(stored.tolist()) == sorted(names.tolist())
    assert stored.tolist() != sorted(names.tolist())
    np.testing.assert_array_equal(names[::-1][shuffled(names[::-1])], stored)


def test_real_radar_patches_with_the_complete_tables(real_data, tmp_path):
    """Sentinel-1 patches are the same in v1 and v2; together the samples fill all three splits."""
    root = tmp_path / "archive"
    sources = [*(real_data / "bigearthnet_v1" / "BigEarthNet-S1-v1.0").iterdir()]
    sources += (real_data / "bigearthnet_v2" / "BigEarthNet-S1").glob("*/*")
    for source in sources:
        shutil.copytree(source, root / "BigEarthNet-S1" / source.name.rsplit("_", 3)[0] / source.name)
    for table in (files.RECOMMENDED, files.OTHERS):
        shutil.copy(real_data / "bigearthnet_v2" / table, root)
    result = _built(root, tmp_path / "data", "s1")
    assert result.splits == {"train": 3, "validation": 2, "test": 2}
    assert (result.skipped, result.absent) == ([], 480_038 - 7)
    rows = _rows(tmp_path / "data", "s1")
    for example in rows.values():
        name = example["s1_name"].decode()
        for band in S1_BANDS:
            (path,) = root.glob(f"*/*/{name}/{name}_{band}.tif")
            np.testing.assert_array_equal(example[band], tifffile.imread(path))


def test_real_patches_among_others(real_data, own_archive, tmp_path):
    """The real Sentinel-2 patches (both are of the validation split) fill an archive together with generated ones."""
    real = real_data / "bigearthnet_v2"
    found = {path.name: path for path in (real / "BigEarthNet-S2").glob("*/*")}
    table = parquet.read_table(real / files.RECOMMENDED)
    rows = [row for row in files.rows(recommended=True) if row["patch_id"] not in found]
    rows += table.filter(parquet.filters_to_expression([("patch_id", "in", [*found])])).to_pylist()
    files.write_table(own_archive / files.RECOMMENDED, rows)
    for name, path in found.items():
        shutil.copytree(path, own_archive / "BigEarthNet-S2" / path.parent.name / name, dirs_exist_ok=True)
    _built(own_archive, tmp_path / "data", "s2")
    built = _rows(tmp_path / "data", "s2")
    for name, path in found.items():
        example = built["validation", name]
        for band in S2_BANDS:
            (file,) = path.glob(f"*_{band}.tif*")
            np.testing.assert_array_equal(example[band], tifffile.imread(file))
    assert built["validation", f"{files.PRODUCT}_75_43"]["s1_name"].endswith(b"33UUP_75_43")
