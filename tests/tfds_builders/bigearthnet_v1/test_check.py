"""The report on an archive beside the published counts."""

import json

import pytest
from archive_files import pack
from bigearthnet_v1_files import PATCHES, s1_name, write

from tfds_builders.bigearthnet.nomenclature import CLASS_OF_CODE
from tfds_builders.bigearthnet_v1 import tables
from tfds_builders.bigearthnet_v1.check import check_archive


@pytest.fixture
def archive(tmp_path):
    return write(tmp_path / "archive")


def table(report, title):
    return next(t for t in report.tables if t.title.startswith(title))


def counts(found) -> dict[str, int]:
    return {row: values[0] for row, values in zip(found.rows, found.found, strict=True) if values[0]}


def test_the_published_counts_agree_with_one_another():
    assert sum(tables.SEASON_PATCHES.values()) == tables.PATCHES
    assert tables.LIST_PATCHES[tables.SNOW] + tables.LIST_PATCHES[tables.CLOUD] == 70_987
    listed = sum(tables.LIST_PATCHES.values())
    assert listed == tables.PATCHES + 2  # two patches are on two lists
    assert sum(tables.TABLE_2.values()) == 1_750_577


def test_a_sound_archive(archive):
    report = check_archive(archive)
    assert (report.images, report.pairs, report.problems) == (8, 8, [])
    assert report.seasons == {"winter": 2, "spring": 0, "summer": 2, "autumn": 4}
    assert report.countries == {"Finland": 8}
    assert counts(table(report, "Patches of the archive")) == {
        "train": 3,
        "validation": 1,
        "test": 1,
        "seasonal snow": 1,
        "cloud or shadow": 1,
        "no class of the 19": 1,
    }
    labels = [label for _, labels in PATCHES.values() for label in labels]
    assert counts(table(report, "Table 2")) == {
        f"{code} {entry.name}": labels.count(entry.name)
        for code, entry in CLASS_OF_CODE.items()
        if entry.name in labels
    }
    assert "Patches: Sentinel-2: 8" not in report.differences
    assert "Patches: Sentinel-2, patches: 8 instead of 590326" in report.differences
    assert "Patches per season: summer, patches: 2 instead of 128951" in report.differences
    assert not report.strict_ok
    assert "Finland 8" in report.text()


def test_problems_are_named(archive):
    first, second, third, *_ = sorted(PATCHES)
    s2, s1 = archive / "BigEarthNet-v1.0", archive / "BigEarthNet-S1-v1.0"
    (s2 / first / f"{first}_B8A.tif").unlink()
    (s1 / s1_name(first) / f"{s1_name(first)}_VH.tif").unlink()
    said = s2 / second / f"{second}_labels_metadata.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"labels": ["Glaciers and perpetual snow"]}))
    (s2 / third / f"{third}_labels_metadata.json").write_text("{")
    (s2 / "S2A_MSIL2A_20170701T093031_99_1").mkdir()
    report = check_archive(archive)
    problems = "\n".join(report.problems)
    for line in (
        f"{s2 / first / first}_B8A.tif: missing",
        f"{s1 / s1_name(first) / s1_name(first)}_VH.tif: missing",
        f"{said}: label 'Glaciers and perpetual snow' is not in the nomenclature (43)",
        f"{s2 / third / third}_labels_metadata.json: broken JSON",
        "S2A_MSIL2A_20170701T093031_99_1: patch 99, 1 lies outside its tile",
        "patch S2A_MSIL2A_20170701T093031_99_1: in none of the lists (",
    ):
        assert line in problems
    assert len(report.problems) == 6


def test_missing_lists_and_halves_are_differences(archive):
    first, second, *_ = sorted(PATCHES)
    (archive / "val.csv").unlink()
    for path in (archive / "BigEarthNet-v1.0" / first, archive / "BigEarthNet-S1-v1.0" / s1_name(second)):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    report = check_archive(archive)
    assert (report.images, report.pairs) == (7, 6)
    for line in (
        "the list val.csv is missing",
        f"1 Sentinel-2 patches have no Sentinel-1 patch, the first: {second}",
        f"1 Sentinel-1 patches have no Sentinel-2 patch, the first: {s1_name(first)}",
    ):
        assert line in report.differences


def test_a_packed_archive_is_checked_under_its_own_name(archive, tmp_path):
    packed = pack(archive, tmp_path / "BigEarthNet.zip", "*[!V].*")
    report = check_archive(packed)
    assert (report.images, report.pairs) == (8, 8)
    assert len(report.problems) == 8
    assert all(line.startswith(f"{packed}/") and line.endswith("_VV.tif: missing") for line in report.problems)


def test_the_real_lists_and_patches(real_data):
    report = check_archive(real_data / "bigearthnet_v1")
    assert (report.images, report.pairs, report.problems) == (14, 6, [])
    assert table(report, "Lines of the official lists").differences() == []
    assert report.countries == {
        "Austria": 1,
        "Finland": 5,
        "Ireland": 4,
        "Lithuania": 1,
        "Portugal": 1,
        "Serbia": 2,
    }
    assert counts(table(report, "Patches of the archive")) == {
        "train": 7,
        "validation": 3,
        "test": 3,
        "seasonal snow": 1,
    }
