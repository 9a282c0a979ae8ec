"""LMDBs as people write them: types, a single file, open elsewhere, incomplete."""

import json
import shutil

import bigearthnet_v2_files as files
import numpy as np
import pytest
from safetensors.numpy import save

from tfds_builders import ArchiveError, build
from tfds_builders.bigearthnet_v2.archive import find_patches, open_v2
from tfds_builders.bigearthnet_v2.lmdb_patches import LmdbPatches
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2

lmdb = pytest.importorskip("lmdb")
PATCH_ID, S1_NAME, _ = files.names(0, 4)


def packed(dtype, contents):
    """Return a safetensors value of contents that are bytes already, of a type that NumPy may not have."""
    header, start = {}, 0
    for name, (shape, content) in contents.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + len(content)]}
        start += len(content)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(content for _, content in contents.values())


def radar(dtype, convert):
    return packed(dtype, {name: ([120, 120], convert(files.band(0, 4, name)).tobytes()) for name in files.S1_BANDS})


def upper_half(band_hw):
    return (band_hw.view(np.uint32) >> 16).astype("<u2")


@pytest.mark.parametrize(
    ("dtype", "convert", "expected"),
    [
        ("BF16", upper_half, lambda band_hw: (band_hw.view(np.uint32) & 0xFFFF0000).view(np.float32)),
        ("F16", lambda band_hw: band_hw.astype("<f2"), lambda band_hw: band_hw.astype("<f2").astype(np.float32)),
        ("F32", lambda band_hw: band_hw, lambda band_hw: band_hw),
    ],
)
def test_radar_of_every_float_type_has_the_values_that_are_stored(tmp_path, dtype, convert, expected):
    folder = files.write_lmdb(tmp_path / "lmdb", {S1_NAME.encode(): radar(dtype, convert)})
    pixels = LmdbPatches(str(folder)).bands(S1_NAME, files.S1_BANDS)
    for name in files.S1_BANDS:
        found = np.frombuffer(pixels[name], np.float32).reshape(120, 120)
        np.testing.assert_array_equal(found, expected(files.band(0, 4, name)))


def reflectance(dtype, value=None):
    bands = {name: files.band(0, 4, name).astype(dtype) for name in files.S2_BANDS}
    if value is not None:
        bands["B02"][3, 4] = value
    return save(bands)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_reflectance_of_every_integer_type_has_the_values_that_are_stored(tmp_path, dtype):
    folder = files.write_lmdb(tmp_path / "lmdb", {PATCH_ID.encode(): reflectance(dtype)})
    pixels = LmdbPatches(str(folder)).bands(PATCH_ID, files.S2_BANDS)
    assert pixels == {name: files.band(0, 4, name).tobytes() for name in files.S2_BANDS}


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (PATCH_ID, lambda: reflectance(np.int32, -1), r"B02: -1 to \d+ are no values of uint16"),
        (PATCH_ID, lambda: reflectance(np.int64, 70_000), r"B02: \d+ to 70000 are no values of uint16"),
        (PATCH_ID, lambda: reflectance(np.float32), "B01: pixels of type float32 instead of uint16"),
        (
            PATCH_ID,
            lambda: packed("BF16", {"B01": ([20, 20], bytes(800))}),
            "B01: pixels of type bfloat16 instead of uint16",
        ),
        (
            S1_NAME,
            lambda: radar("F64", lambda band: band.astype("<f8")),
            "VV: pixels of type float64 instead of float32",
        ),
        (
            S1_NAME,
            lambda: packed("F8_E4M3", {"VV": ([120, 120], bytes(14_400))}),
            r"VV is of type F8_E4M3, and U8, I8, .* are read",
        ),
        (S1_NAME, lambda: radar("BF16", lambda band: np.full((120, 120), 0x7FC0, "<u2")), "VV: 14,400 of .*nan"),
    ],
)
def test_values_that_a_band_cannot_have_are_named(tmp_path, key, value, why):
    folder = files.write_lmdb(tmp_path / "lmdb", {key.encode(): value()})
    bands = files.S2_BANDS if key == PATCH_ID else files.S1_BANDS
    with pytest.raises(ArchiveError, match=f"'{key}'.*{why}"):
        LmdbPatches(str(folder)).bands(key, bands)


@pytest.fixture
def single(tmp_path):
    """A single file beside its tables."""
    folder = files.write_lmdb(tmp_path / "written")
    place = tmp_path / "archive"
    place.mkdir()
    shutil.move(folder / "data.mdb", place / "BENv2.lmdb")
    files.write_tables(place)
    return place / "BENv2.lmdb"


def test_a_single_file_is_an_archive_and_so_are_its_folder_and_the_one_above(single, tmp_path):
    shutil.rmtree(tmp_path / "written")
    for given in (single, single.parent, tmp_path):
        archive = open_v2(given)
        assert len(archive.metadata()) == len(files.PATCHES)
        found = find_patches(archive, (S2, S1, MAPS))
        assert {kind: len(listed) for kind, listed in found.items()} == dict.fromkeys((S2, S1, MAPS), 10)
        assert archive.patches.bands(S1_NAME, ("VH",))["VH"] == files.band(0, 4, "VH").tobytes()
    assert not list(single.parent.glob("*lock*")), "nothing is written beside the data"


def test_the_file_in_its_folder_may_be_given(tmp_path):
    folder = files.write_lmdb(tmp_path / "lmdb")
    files.write_tables(tmp_path)
    archive = open_v2(folder / "data.mdb")
    assert len(archive.metadata()) == len(find_patches(archive, (S1,))[S1]) == 10


def test_two_files_in_a_folder_are_not_chosen_from(single):
    shutil.copy(single, single.with_name("other.lmdb"))
    with pytest.raises(ArchiveError, match=r"holds BENv2\.lmdb and other\.lmdb; give one of these files"):
        open_v2(single.parent)


def test_a_file_that_is_no_lmdb(tmp_path):
    (tmp_path / "notes.lmdb").write_bytes(b"nothing of the kind")
    with pytest.raises(ArchiveError, match="not a folder and no LMDB"):
        open_v2(tmp_path / "notes.lmdb")
    with pytest.raises(ArchiveError, match="no archive of BigEarthNet v2"):
        open_v2(tmp_path)


def test_an_lmdb_may_be_open_elsewhere_and_be_written_again(tmp_path):
    folder = files.write_lmdb(tmp_path / "lmdb")
    files.write_tables(tmp_path)
    with lmdb.open(str(folder), readonly=True):
        build("bigearthnet_v2", archive=folder, data_dir=tmp_path / "data", workers=1)
    assert LmdbPatches(str(folder)).bands(S1_NAME, ("VV",))
    with lmdb.open(str(folder), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        transaction.delete(S1_NAME.encode())
    with pytest.raises(ArchiveError, match=f"no key '{S1_NAME}'"):
        LmdbPatches(str(folder)).bands(S1_NAME, ("VV",))


def test_an_lmdb_that_was_cut_off_is_refused_before_it_is_read(tmp_path):
    folder = files.write_lmdb(tmp_path / "lmdb")
    content = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").write_bytes(content[: len(content) // 2])
    with pytest.raises(ArchiveError, match=r"incomplete, [\d,]+ of [\d,]+ bytes; copy or download it again"):
        find_patches(open_v2(folder), (S2,))
