"""What is found in an archive of BigEarthNet v1, and which patches go to which split."""

import bz2
import shutil

import pytest
from archive_files import pack
from bigearthnet_v1_files import PATCHES, s1_name, write

from tfds_builders import ArchiveError
from tfds_builders.bigearthnet.names import SPLITS
from tfds_builders.bigearthnet_v1.archive import archive_names, list_archive
from tfds_builders.bigearthnet_v1.splits import select_patches
from tfds_builders.bigearthnet_v1.tables import CLOUD, NO_TARGET, SNOW

NAMES = sorted(PATCHES)
OFFICIAL = {
    "use_s2": True,
    "use_s1": False,
    "official": True,
    "keep_snow_and_cloud": False,
    "keep_no_target": False,
    "seed": 0,
}
RANDOM = OFFICIAL | {"official": False}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def archive(tmp_path):
    """Folders and lists only: what a listing looks at."""
    for name in PATCHES:
        (tmp_path / "BigEarthNet-v1.0" / name).mkdir(parents=True)
    for of_list in ("train", "val", "test", *{found for found, _ in PATCHES.values()}):
        lines = [f"{name}\n" for name, (found, _) in PATCHES.items() if found == of_list]
        (tmp_path / f"{of_list}.csv").write_text("".join(lines))
    return tmp_path


def names_of(selection):
    return {split: {patch.name for patch in patches} for split, patches in selection.splits.items()}


def test_patches_and_lists_are_found_wherever_they_lie(whole, tmp_path):
    listing = list_archive(whole, tmp_path)
    assert sorted(listing.s2) == NAMES
    assert sorted(listing.s1) == sorted(map(s1_name, NAMES))
    assert len(listing.lists.files) == 6
    assert not listing.lists.missing(*SPLITS, SNOW, CLOUD, NO_TARGET)
    moved = tmp_path / "a" / "b"
    shutil.copytree(whole / "BigEarthNet-v1.0", moved / "patches")
    (moved / "lists").mkdir()
    for path in whole.glob("*.csv"):
        (moved / "lists" / f"{path.name}.bz2").write_bytes(bz2.compress(path.read_bytes()))
    again = list_archive(tmp_path / "a", tmp_path / "none")
    assert (again.s2.keys(), again.lists.split_of) == (listing.s2.keys(), listing.lists.split_of)
    assert again.lists.flagged == listing.lists.flagged
    assert again.s1 == {}
    assert not again.generated


def test_packed_files_are_unpacked_unless_their_content_lies_beside_them(whole, tmp_path):
    place, scratch = tmp_path / "place", tmp_path / "scratch"
    place.mkdir()
    packed = pack(whole, place / "BigEarthNet-S2-v1.0.zip", "*_B01.tif")
    assert sorted(list_archive(place, scratch).s2) == NAMES
    assert sorted(list_archive(packed, scratch / "alone").s2) == NAMES
    before = list(archive_names(place))
    (place / "BigEarthNet-v1.0" / NAMES[0]).mkdir(parents=True)
    assert sorted(list_archive(place, tmp_path / "other").s2) == NAMES[:1]
    assert not (tmp_path / "other").exists()
    assert list(archive_names(place)) != before


def test_official_lists_decide(archive, tmp_path):
    selection = select_patches(list_archive(archive, tmp_path), **OFFICIAL)
    assert names_of(selection) == {
        "train": {name for name, (found, _) in PATCHES.items() if found == "train"},
        "validation": {"S2B_MSIL2A_20180204T94161_57_38"},
        "test": {"S2B_MSIL2A_20170924T93020_69_24"},
    }
    assert selection.left_out == {SNOW: 1, CLOUD: 1, NO_TARGET: 1}
    assert (selection.absent, selection.bad) == ([], [])


def test_a_patch_that_is_not_there_is_counted(archive, tmp_path):
    (archive / "BigEarthNet-v1.0" / NAMES[0]).rmdir()
    assert select_patches(list_archive(archive, tmp_path), **OFFICIAL).absent == [NAMES[0]]


def test_a_patch_in_no_list_or_in_two_is_bad(archive, tmp_path):
    (archive / "val.csv").write_text("S2B_MSIL2A_20170924T93020_70_24\n")
    selection = select_patches(list_archive(archive, tmp_path), **OFFICIAL)
    assert selection.bad[0].startswith(
        "patch S2B_MSIL2A_20180204T94161_57_38: in none of the lists (train.csv, val.csv"
    )
    snow = archive / "patches_with_seasonal_snow.csv"
    assert selection.bad[1:] == [f"patch S2B_MSIL2A_20170924T93020_70_24: in {archive / 'val.csv'} and in {snow}"]


def test_the_random_split_is_60_20_20_of_what_is_kept(archive, tmp_path):
    for number in range(90):
        (archive / "BigEarthNet-v1.0" / f"S2A_MSIL2A_20170701T093031_1_{number}").mkdir()
    listing = list_archive(archive, tmp_path)
    selection = select_patches(listing, **RANDOM)
    assert [len(patches) for patches in selection.splits.values()] == [57, 19, 19]
    assert select_patches(listing, **RANDOM).splits == selection.splits
    other = select_patches(listing, **RANDOM | {"seed": 1})
    assert names_of(other) != names_of(selection)
    everything = select_patches(listing, **RANDOM | {"keep_snow_and_cloud": True, "keep_no_target": True})
    patches = [patch for split in everything.splits.values() for patch in split]
    assert len({patch.name for patch in patches}) == len(patches) == 98
    assert sum(patch.has_snow for patch in patches) == sum(patch.has_cloud_or_shadow for patch in patches) == 1
    assert not everything.left_out
    assert selection.left_out == {SNOW: 1, CLOUD: 1, NO_TARGET: 1}


def test_no_random_split_is_empty(archive, tmp_path):
    for name in NAMES[3:]:
        (archive / "BigEarthNet-v1.0" / name).rmdir()
    listing = list_archive(archive, tmp_path)
    options = RANDOM | {"keep_snow_and_cloud": True, "keep_no_target": True}
    assert [len(patches) for patches in select_patches(listing, **options).splits.values()] == [1, 1, 1]
    listing.s2.popitem()
    with pytest.raises(ArchiveError, match="2 patches are too few for three splits"):
        select_patches(listing, **options)


def test_sentinel_1_is_paired_by_its_json_files_or_by_the_lists(whole, tmp_path):
    listing = list_archive(whole, tmp_path)
    both = select_patches(listing, **OFFICIAL | {"use_s1": True})
    alone = select_patches(listing, **OFFICIAL | {"use_s1": True, "use_s2": False})
    for selection in (both, alone):
        assert not selection.bad
        assert all(patch.s1_name == s1_name(patch.name) for patches in selection.splits.values() for patch in patches)
    assert names_of(both) == names_of(alone)
    assert not any(patch.s2_folder for patches in alone.splits.values() for patch in patches)
    listing.lists.s1_of = {name: s1_name(name) for name in listing.lists.split_of}
    assert names_of(select_patches(listing, **OFFICIAL | {"use_s1": True})) == names_of(both)


def test_a_half_that_is_missing_is_bad(whole, tmp_path):
    listing = list_archive(whole, tmp_path)
    first, second, *_ = NAMES
    del listing.s1[s1_name(first)], listing.s2[second]
    selection = select_patches(listing, **OFFICIAL | {"use_s1": True})
    assert selection.bad == [
        f"{whole}/BigEarthNet-v1.0/{first}: no Sentinel-1 patch belongs to it",
        f"{whole}/BigEarthNet-S1-v1.0/{s1_name(second)}: the Sentinel-2 patch {second} is not there",
    ]


def test_lists_with_a_second_column_and_odd_lines(archive, tmp_path):
    name = "S2A_MSIL2A_20170701T093031_0_0"
    (archive / "train.csv").write_text(f"\r\n{name},{s1_name(name)}\r\n")
    lists = list_archive(archive, tmp_path).lists
    assert lists.s1_of == {name: s1_name(name)}
    for line in ("name,labels", f"{name},3", f"{name},{s1_name(name)},x", "S2A_MSIL2A_20170701T093031_N9999_R1_T1_1_1"):
        (archive / "train.csv").write_text(f"{name}\n{line}\n")
        with pytest.raises(ArchiveError, match=rf"train.csv, line 2: '{line}' is neither"):
            list_archive(archive, tmp_path)


def test_wrong_lists_and_folders_are_named(archive, tmp_path):
    (archive / "test.csv").write_text(f"{NAMES[0]}\n")
    with pytest.raises(ArchiveError, match=rf"test.csv: patch {NAMES[0]} is also in .*train.csv"):
        list_archive(archive, tmp_path)
    (archive / "test.csv").unlink()
    with pytest.raises(ArchiveError, match=r"the list test.csv is missing"):
        select_patches(list_archive(archive, tmp_path), **OFFICIAL)
    (archive / "train.csv.bz2").write_bytes(bz2.compress(b"x")[:-3])
    with pytest.raises(ArchiveError, match="two lists of the same kind"):
        list_archive(archive, tmp_path)
    (archive / "train.csv").unlink()
    with pytest.raises(ArchiveError, match=r"train.csv.bz2: broken or incomplete"):
        list_archive(archive, tmp_path)
    (archive / "train.csv.bz2").unlink()
    (archive / "patches_with_seasonal_snow.csv").unlink()
    with pytest.raises(ArchiveError, match=r"the list patches_with_seasonal_snow.csv is missing"):
        select_patches(list_archive(archive, tmp_path), **RANDOM)
    (archive / "copy" / NAMES[0]).mkdir(parents=True)
    with pytest.raises(ArchiveError, match=f"patch {NAMES[0]} is there twice"):
        list_archive(archive, tmp_path)


def test_no_archive(tmp_path):
    with pytest.raises(ArchiveError, match="no such archive; download BigEarthNet"):
        list_archive(tmp_path / "none", tmp_path)
    with pytest.raises(ArchiveError, match="holds no patch of BigEarthNet v1"):
        list_archive(tmp_path, tmp_path / "scratch")
    (tmp_path / "a.tif").write_bytes(b"II*")
    with pytest.raises(ArchiveError, match="neither a folder nor a zip or tar file"):
        list_archive(tmp_path / "a.tif", tmp_path)
