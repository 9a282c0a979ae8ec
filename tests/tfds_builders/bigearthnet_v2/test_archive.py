"""Where an archive is found, and which patches it holds."""

import bigearthnet_v2_files as files
import numpy as np
import pytest

from tfds_builders.bigearthnet_v2.archive import find_patches, missing, open_v2, unlisted
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2, FolderPatches, LmdbPatches
from tfds_builders.reading.archive import ArchiveError


def _skeleton(root):
    """The folders of an archive without a file in them, and its tables."""
    for x, y in files.PATCHES:
        for name in ("B02", "VV", "reference_map"):
            files.path_of(root, x, y, name).parent.mkdir(parents=True)
    files.write_tables(root)
    return root


def test_found_in_the_folder_or_one_below_it(tmp_path):
    root = _skeleton(tmp_path / "download" / "BigEarthNet-v2.0")
    for path in (root, root.parent):
        archive = open_v2(path)
        assert archive.path == root
        assert archive.patches == FolderPatches(str(root))
        assert [*archive.tables] == [files.RECOMMENDED, files.OTHERS]
        assert not archive.generated
    (root / "GENERATED.md").touch()
    assert open_v2(root).generated


def test_tables_of_an_lmdb_lie_in_it_or_beside_it(tmp_path):
    folder = tmp_path / "archive" / "encoded"
    folder.mkdir(parents=True)
    (folder / "data.mdb").touch()
    assert open_v2(folder).tables == {}
    files.write_tables(folder.parent)
    for path in (folder, folder.parent):
        assert open_v2(path).patches == LmdbPatches(str(folder))
        assert open_v2(path).tables[files.OTHERS] == folder.parent / files.OTHERS
    files.write_tables(folder)
    assert open_v2(folder).tables[files.OTHERS] == folder / files.OTHERS


def test_no_archive(tmp_path):
    with pytest.raises(ArchiveError, match=r"no such archive; download BigEarthNet v2\.0"):
        open_v2(tmp_path / "nothing")
    with pytest.raises(ArchiveError, match=r"no archive of BigEarthNet v2; download"):
        open_v2(tmp_path)
    (tmp_path / "BigEarthNet-S2.tar.zst").touch()
    with pytest.raises(ArchiveError, match=r"BigEarthNet-S2\.tar\.zst is not unpacked"):
        open_v2(tmp_path)
    with pytest.raises(ArchiveError, match="not a folder"):
        open_v2(tmp_path / "BigEarthNet-S2.tar.zst")
    for name in "ab":
        (tmp_path / name / "BigEarthNet-S1").mkdir(parents=True)
    with pytest.raises(ArchiveError, match="holds 2 archives, a and b; give one"):
        open_v2(tmp_path)


def test_no_table(tmp_path):
    (tmp_path / "BigEarthNet-S2").mkdir()
    with pytest.raises(ArchiveError, match=r"no metadata\.parquet"):
        open_v2(tmp_path).metadata()


def test_patches_by_kind(tmp_path):
    archive = open_v2(_skeleton(tmp_path))
    found = find_patches(archive, (S2, S1, MAPS))
    expected = sorted(files.names(x, y)[0].encode() for x, y in files.PATCHES)
    assert found[S2].names.tolist() == found[MAPS].names.tolist() == expected
    assert found[S1].names.tolist() == sorted(files.names(x, y)[1].encode() for x, y in files.PATCHES)
    assert {kind: listed.bad for kind, listed in found.items()} == {S2: (), S1: (), MAPS: ()}
    assert list(find_patches(archive, (MAPS,))) == [MAPS]


def test_what_is_no_patch(tmp_path):
    root = _skeleton(tmp_path)
    other = files.PRODUCT.replace("R022", "R023")
    (root / S2 / files.PRODUCT / "thumbnails").mkdir()
    (root / S2 / files.PRODUCT / f"{other}_01_02").mkdir()
    (root / S2 / files.PRODUCT / "notes.txt").touch()
    (root / S2 / files.PRODUCT / ".DS_Store").touch()
    found = find_patches(open_v2(root), (S2, S1))
    assert len(found[S2]) == len(files.PATCHES)
    said = "\n".join(found[S2].bad)
    assert "thumbnails: not the name of a patch" in said
    assert f"{other}_01_02: lies in the folder of another product" in said
    assert "notes.txt: a file among the folders of patches" in said
    assert len(found[S2].bad) == 3
    assert found[S1].bad == ()


def test_missing_and_unlisted_patches_are_named_by_product(tmp_path):
    root = _skeleton(tmp_path)
    archive = open_v2(root)
    metadata = archive.metadata()
    gone = [files.path_of(root, x, y, "B02").parent for x, y in ((45, 45), (0, 4))]
    for folder in gone:
        folder.rmdir()
    (root / S2 / files.PRODUCT / f"{files.PRODUCT}_90_90").mkdir()
    found = find_patches(archive, (S2,), metadata)[S2]
    assert len(found) == len(files.PATCHES) - 1
    np.testing.assert_array_equal(found.names, find_patches(archive, (S2,))[S2].names)
    (line,) = missing(archive, S2, metadata.patch_id_n[~found.there_n], metadata.patch_id_n)
    assert f"2 patches of {files.PRODUCT}, the first {files.PRODUCT}_00_04, are missing, of 10 in the tables" in line
    (line,) = unlisted(archive, S2, found.other_m)
    assert f"patch {files.PRODUCT}_90_90 is in no list (metadata.parquet or metadata_for_patches" in line
