"""The comparison with the published counts, on names and tables alone."""

import shutil

import bigearthnet_v2_files as files
import numpy as np
import pytest

from tfds_builders.bigearthnet_v2.check import check_archive, positions


@pytest.fixture
def skeleton(tmp_path):
    """An archive of empty files."""
    for x, y in files.PATCHES:
        for name in (*files.S2_BANDS, *files.S1_BANDS, "reference_map"):
            path = files.path_of(tmp_path, x, y, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    files.write_tables(tmp_path)
    return tmp_path


def test_the_official_tables_have_the_published_counts(real_data):
    report = check_archive(real_data / "bigearthnet_v2")
    assert (report.images, report.pairs, report.rows) == (2, 0, 549_488)
    # All that differs is how many patches of them are there.
    whole = "Folders or keys of patches, and products and scenes in the tables"
    assert report.differences == [
        "of 549,483 patches in the tables nothing is there, the first: "
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_27_55",
        f"{whole}: BigEarthNet-S2, count: 2 instead of 549488",
        f"{whole}: BigEarthNet-S1, count: 2 instead of 549488",
        f"{whole}: Reference_Maps, count: 1 instead of 549488",
    ]
    assert all("missing, of" in line for line in report.problems)
    # One part of each of five patches is there, in two products and three scenes: ten are missing, told by group.
    assert len(report.problems) == 2 + 3 + 1
    assert not report.strict_ok
    assert "237871     122342 119825" in report.text()
    assert "in v1's train list 125699      62089  60886" in report.text()


def test_a_small_archive(skeleton):
    done = []
    report = check_archive(skeleton, progress=lambda *counts: done.append(counts))
    assert (report.images, report.pairs, report.rows) == (10, 10, 10)
    assert report.problems == []
    assert "Patches: recommended, test: 2 instead of 119825" in report.differences
    assert done[-1] == (30, 30)


def test_problems_name_the_patch(skeleton):
    files.path_of(skeleton, 0, 4, "B8A").unlink()
    files.path_of(skeleton, 5, 50, "reference_map").unlink()
    files.path_of(skeleton, 5, 50, "reference_map").parent.rmdir()
    rows = files.rows(recommended=True)
    rows[0]["split"] = "test"
    rows[1]["s1_name"] = f"{files.SCENE}_33UUP_5_51"
    rows[2]["contains_seasonal_snow"] = True
    files.write_table(skeleton / files.RECOMMENDED, rows)
    problems = check_archive(skeleton).problems
    patches = [row["patch_id"] for row in rows]
    assert f"patch {patches[0]}: its place in the tile is not in the frame of its split" in problems
    assert f"patch {patches[1]}: its s1_name is that of another place" in problems
    assert f"patch {patches[2]}: flagged with snow, cloud or shadow, yet recommended" in problems
    said = "\n".join(problems)
    assert f"{patches[0]}_B8A.tif: missing" in said
    assert f"Reference_Maps: patch {patches[1]} is missing, of 10 in the tables" in said
    assert f"BigEarthNet-S1: patch {files.SCENE}_33UUP_5_50 is in no list" in said
    assert f"BigEarthNet-S1: patch {files.SCENE}_33UUP_5_51 is missing" in said
    assert len(problems) == 7


def test_a_part_that_is_missing_as_a_whole_is_one_difference(skeleton):
    (skeleton / "Reference_Maps").rename(skeleton / "elsewhere")
    (skeleton / files.OTHERS).unlink()
    report = check_archive(skeleton)
    assert report.differences[:2] == [f"{files.OTHERS} is missing", "Reference_Maps is missing"]
    assert report.pairs == 0
    said = "\n".join(report.problems)
    assert "BigEarthNet-S2: 3 patches" in said, "those with snow, cloud or shadow are in no list now"
    assert len(report.problems) == 2


def test_patches_of_which_nothing_is_there_are_one_difference(skeleton):
    for name in ("B02", "VV", "reference_map"):
        for x, y in ((0, 4), (45, 45)):
            shutil.rmtree(files.path_of(skeleton, x, y, name).parent)
    report = check_archive(skeleton)
    assert report.problems == []
    first = files.names(0, 4)[0]
    assert report.differences[0] == f"of 2 patches in the tables nothing is there, the first: {first}"


def test_an_lmdb(tmp_path):
    pytest.importorskip("lmdb")
    folder = files.write_lmdb(tmp_path / "lmdb", {files.PRODUCT.encode(): b"x"})
    files.write_tables(tmp_path)
    report = check_archive(folder)
    assert (report.images, report.pairs) == (10, 10)
    (problem,) = report.problems
    assert "is that of a whole tile" in problem


def test_positions_are_those_in_the_names():
    names = ["A_1_2", "BB_90_0", "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_04_57", "S1A_X_7_61"]
    x_n, y_n = positions(np.array(names, dtype=bytes))
    assert x_n.tolist() == [1, 90, 4, 7]
    assert y_n.tolist() == [2, 0, 57, 61]
    assert [part.tolist() for part in positions(np.zeros(0, "S1"))] == [[], []]
