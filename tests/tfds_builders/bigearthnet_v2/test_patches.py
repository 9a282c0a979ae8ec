"""Patches from folders and from an LMDB against tifffile and safetensors, and what can be wrong with them."""

import json
import pickle
import shutil
import zlib

import bigearthnet_v2_files as files
import numpy as np
import pytest
import tifffile
from safetensors.numpy import load, save

from tfds_builders.bigearthnet.bands import BANDS
from tfds_builders.bigearthnet.countries import COUNTRIES
from tfds_builders.bigearthnet.names import SEASONS
from tfds_builders.bigearthnet_v2.archive import find_patches, open_v2
from tfds_builders.bigearthnet_v2.metadata import Rows
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2, LmdbPatches, PatchExamples
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.writing.records import Skipped

S2_BANDS, S1_BANDS = files.S2_BANDS, files.S1_BANDS


def _array(data, band):
    return np.frombuffer(data, BANDS[band].dtype).reshape(BANDS[band].shape)


def test_every_real_patch_has_the_pixels_that_tifffile_reads(real_data):
    root = real_data / "bigearthnet_v2"
    archive = open_v2(root)
    found = find_patches(archive, (S2, S1, MAPS))
    assert {kind: len(listed) for kind, listed in found.items()} == {S2: 2, S1: 2, MAPS: 1}
    read = 0
    for kind, bands in ((S2, S2_BANDS), (S1, S1_BANDS)):
        for name in found[kind].names.tolist():
            pixels = archive.patches.bands(name.decode(), bands)
            for band in bands:
                (path,) = root.glob(f"{kind}/*/{name.decode()}/*_{band}.tif*")
                np.testing.assert_array_equal(_array(pixels[band], band), tifffile.imread(path))
                read += 1
    assert read == 28
    (patch_id,) = found[MAPS].names.tolist()
    (path,) = root.glob("Reference_Maps/*/*/*.tif")
    codes = np.frombuffer(archive.patches.reference_map(patch_id.decode()), "<u2").reshape(120, 120)
    np.testing.assert_array_equal(codes, tifffile.imread(path))


def test_the_real_lmdb_has_the_pixels_of_the_files(real_data):
    pytest.importorskip("lmdb")
    folders = open_v2(real_data / "bigearthnet_v2")
    lmdb = open_v2(real_data / "bigearthnet_v2" / "rico_hdl_lmdb")
    assert {*lmdb.tables} == {*folders.tables}, "the tables lie beside the LMDB"
    found = find_patches(lmdb, (S2, S1, MAPS))
    assert {kind: len(listed) for kind, listed in found.items()} == {S2: 1, S1: 1, MAPS: 0}
    for kind, bands in ((S2, S2_BANDS), (S1, S1_BANDS)):
        name = found[kind].names[0].decode()
        assert lmdb.patches.bands(name, bands) == folders.patches.bands(name, bands)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return files.write(tmp_path_factory.mktemp("v2") / "archive")


@pytest.fixture
def own_archive(archive, tmp_path):
    return shutil.copytree(archive, tmp_path / "archive")


def _shard(root, *, skip_bad=False, patches=None, reference_map=True):
    archive = open_v2(root)
    metadata = archive.metadata()
    rows = Rows(metadata, np.arange(len(metadata)))
    return PatchExamples(patches or archive.patches, S2_BANDS, S1_BANDS, reference_map, rows, skip_bad)


def test_a_shard_is_pickled_with_its_rows_alone(archive):
    whole = open_v2(archive).metadata()
    places = np.array([7, 2])
    rows = pickle.loads(pickle.dumps(Rows(whole, places)))
    assert len(rows) == len(rows.metadata) == 2
    np.testing.assert_array_equal(rows.metadata.patch_id_n[rows.place_n], whole.patch_id_n[places])


def test_examples(archive):
    examples = dict(_shard(archive)())
    assert len(examples) == len(files.PATCHES)
    for example, (x, y) in zip(examples.values(), files.PATCHES, strict=True):
        patch_id, s1_name, v1_name = files.names(x, y)
        assert (example["patch_id"], example["s1_name"], example["s2v1_name"]) == (patch_id, s1_name, v1_name)
        for band in (*S2_BANDS, *S1_BANDS):
            np.testing.assert_array_equal(_array(example[band], band), files.band(x, y, band))
        assert zlib.decompress(example["reference_map"]) == files.code_map(x, y).tobytes()
    sea = examples[1]
    assert sea["unmapped_share"] == 0.25
    assert sea["class_shares"][18] == 0.75
    assert np.frombuffer(zlib.decompress(sea["class_map"]), np.uint8).reshape(120, 120)[119, 0] == 254
    assert examples[2]["unlabeled_share"] == 0.25
    assert examples[9]["no_data_share"] == 0.25
    assert (examples[9]["has_snow"], examples[9]["has_cloud_or_shadow"]) == (0, 1)
    assert (sea["acquired"], sea["s1_acquired"]) == ("2017-06-13T10:10:31", "2017-06-13T16:50:43")
    assert (SEASONS[sea["season"]], COUNTRIES[sea["country"]]) == ("summer", "Austria")
    assert (sea["tile"], sea["x"], sea["y"]) == ("33UUP", 5, 50)
    assert sea["labels"].tolist() == [0] * 18 + [1]


def test_files_may_end_in_tiff(own_archive):
    path = files.path_of(own_archive, 0, 4, "B05")
    path.rename(path.with_suffix(".tiff"))
    assert len(list(_shard(own_archive)())) == len(files.PATCHES)


def _truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "damage", "why"),
    [
        ("B05", lambda path: path.unlink(), r"_B05\.tif: missing"),
        ("VH", lambda path: path.unlink(), r"_VH\.tif: missing"),
        ("B02", lambda path: tifffile.imwrite(path, np.zeros((60, 60), np.uint16)), "size 60x60 instead of 120x120"),
        ("B11", lambda path: tifffile.imwrite(path, np.zeros((60, 60), np.float32)), "float32 instead of uint16"),
        ("VV", lambda path: tifffile.imwrite(path, np.zeros((120, 120), np.int32)), "int32 instead of float32"),
        ("B08", _truncated, "truncated"),
        ("reference_map", _truncated, "truncated"),
        (
            "reference_map",
            lambda path: tifffile.imwrite(path, np.full((120, 120), 777, np.uint16)),
            "code 777 is not in the CLC nomenclature",
        ),
    ],
)
def test_a_bad_file_names_the_patch(own_archive, name, damage, why):
    damage(files.path_of(own_archive, 26, 57, name))
    patch_id = files.names(26, 57)[0]
    with pytest.raises(ArchiveError, match=rf"patch {patch_id}: .*{why}.*; replace the file, or build with --skip-bad"):
        list(_shard(own_archive)())
    skipped = [example for _, example in _shard(own_archive, skip_bad=True)() if isinstance(example, Skipped)]
    assert len(skipped) == 1
    assert patch_id in skipped[0].reason


def _tensor(**entry):
    """A safetensors value with this for its B01, 800 bytes long."""
    header = json.dumps({"B01": {"dtype": "U16"} | entry}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(800)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (pickle.dumps([1]), "is not in the safetensors format"),
        (b"x", "is not in the safetensors format"),
        (save({"B01": np.zeros((20, 20), np.uint16)})[:-1], "is not in the safetensors format .* bytes instead of"),
        (b"\2\0\0\0\0\0\0\0[]", "is not in the safetensors format"),
        (b"\xff" * 8 + b"{}", "is not in the safetensors format"),
        (_tensor(shape=[20, 20], data_offsets=[0, 100]), "B01 is not where its header says"),
        (_tensor(shape=[-20, -20], data_offsets=[-800, 0]), "B01 is not where its header says"),
        (_tensor(shape="20x20", data_offsets=[0, 800]), "is not in the safetensors format"),
        (_tensor(shape=[20, 20]), "is not in the safetensors format"),
        (save({"B01": np.zeros((20, 20), np.uint16)}), "has no B02; it has B01"),
        (
            save({band: np.zeros((30, 30), np.uint16) for band in S2_BANDS}),
            "B01: size 30x30 instead of 20x20",
        ),
        (
            save({band: files.band(0, 4, band).astype(np.float32) for band in S2_BANDS}),
            "B01: pixels of type float32 instead of uint16",
        ),
    ],
)
def test_a_bad_value_in_an_lmdb_names_the_patch(tmp_path, value, why):
    pytest.importorskip("lmdb")
    patch_id = files.names(0, 4)[0]
    folder = files.write_lmdb(tmp_path / "lmdb", {patch_id.encode(): value})
    with pytest.raises(ArchiveError, match=f"'{patch_id}'.*{why}"):
        LmdbPatches(str(folder)).bands(patch_id, S2_BANDS)


def test_a_pickle_is_never_loaded(tmp_path):
    pytest.importorskip("lmdb")

    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    patch_id = files.names(0, 4)[0]
    folder = files.write_lmdb(tmp_path / "lmdb", {patch_id.encode(): pickle.dumps(Trap())})
    with pytest.raises(ArchiveError, match="pickled patches of other programs are not read"):
        LmdbPatches(str(folder)).bands(patch_id, S2_BANDS)
    assert not (tmp_path / "sprung").exists()


def test_the_key_of_a_tile_in_an_lmdb(tmp_path):
    pytest.importorskip("lmdb")
    folder = files.write_lmdb(tmp_path / "lmdb", {files.PRODUCT.encode(): b"x", b"notes": b"x"})
    listed = find_patches(open_v2(folder), (S2, S1))[S2]
    assert len(listed) == 10
    tile, other = sorted(listed.bad)
    assert f"key '{files.PRODUCT}' is that of a whole tile, not of a patch" in tile
    assert "key 'notes' is not the name of a patch" in other
    with pytest.raises(ArchiveError, match=f"no key '{files.PRODUCT}'"):
        LmdbPatches(str(files.write_lmdb(tmp_path / "other"))).bands(files.PRODUCT, S2_BANDS)


def test_no_lmdb(tmp_path):
    pytest.importorskip("lmdb")
    (tmp_path / "data.mdb").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(ArchiveError, match="no LMDB, a damaged one, or of another version; copy or"):
        find_patches(open_v2(tmp_path), (S2,))


def test_every_header_that_the_library_writes_is_understood(tmp_path):
    pytest.importorskip("lmdb")
    patch_id, s1_name, _ = files.names(0, 4)
    shuffled = {name: files.band(0, 4, name) for name in reversed(S2_BANDS)} | {"extra": np.zeros(3, np.int64)}
    value = save(shuffled, metadata={"made": "by a test"})
    folder = files.write_lmdb(tmp_path / "lmdb", {patch_id.encode(): value})
    pixels = LmdbPatches(str(folder)).bands(patch_id, S2_BANDS)
    for name in S2_BANDS:
        np.testing.assert_array_equal(_array(pixels[name], name), load(value)[name])
    assert LmdbPatches(str(folder)).bands(s1_name, ("VH",))["VH"] == files.band(0, 4, "VH").tobytes()
