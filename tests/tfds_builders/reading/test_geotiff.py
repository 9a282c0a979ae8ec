"""TIFF files beside tifffile, on made and on real ones."""

import contextlib

import image_files
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tfds_builders import ArchiveError
from tfds_builders.reading import geotiff
from tfds_builders.reading.geotiff import read_tiff

DTYPES = (np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64)


def noise(shape: tuple[int, int], dtype: type) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 250).astype(dtype)


def every_real_tiff(real_data):
    return sorted([*real_data.glob("bigearthnet_v*/**/*.tif"), *real_data.glob("bigearthnet_v*/**/*.tiff")])


@pytest.mark.parametrize("shape", [(120, 120), (20, 20), (1, 1), (7, 300), (61, 60)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_size_and_type_is_read(tmp_path, shape, dtype):
    array, path = noise(shape, dtype), tmp_path / "a.tif"
    for options in ({}, {"rowsperstrip": 7}, {"compression": "zlib"}):
        tifffile.imwrite(path, array, photometric="minisblack", **options)
        read = read_tiff(path, shape=shape, dtype=dtype)
        np.testing.assert_array_equal(read, array)
        assert read.dtype == dtype
        assert not read.flags.writeable


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"bigtiff": True},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 7},
        {"rowsperstrip": 1},
    ],
    ids=str,
)
def test_every_form_is_read(tmp_path, options):
    array = noise((48, 32), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    read = read_tiff(tmp_path / "a.tif", shape=(48, 32), dtype=np.uint16)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(np.uint16)


def test_strips_out_of_order_are_not_taken_for_ordered_ones(tmp_path):
    array, path = noise((120, 120), np.uint16), tmp_path / "a.tif"
    tifffile.imwrite(path, array, rowsperstrip=34)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags["StripOffsets"]
        at, (first, second, *_) = tag.valueoffset, tag.value
    data[at : at + 8] = np.array([second, first], "<u4").tobytes()
    path.write_bytes(data)
    rows = (second - first) // 240
    swapped = np.concatenate([array[rows : 2 * rows], array[:rows], array[2 * rows :]])
    np.testing.assert_array_equal(read_tiff(path, shape=(120, 120), dtype=np.uint16), swapped)


def sparse(array: np.ndarray, missing: tuple[int, ...], nodata: str = "", **options) -> bytes:
    extra = [(42113, "s", 0, nodata, True)] if nodata else []
    data = image_files.tiff(array, photometric="minisblack", extratags=extra, **options)
    return image_files.without_tiles(data, missing)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("nodata", ["", "7", "2.5", "-3.5", "nan", "1e9", "none"])
@pytest.mark.parametrize("compression", [{}, {"compression": "zlib", "predictor": True}], ids=["plain", "deflated"])
def test_what_is_not_in_the_file_is_nodata(tmp_path, dtype, nodata, compression):
    value = 0.0 if nodata in ("", "none") else float(nodata)
    if dtype == np.uint16:
        value = np.floor(np.clip(np.nan_to_num(value), 0, 65535) + 0.5)
    array, path = noise((60, 60), dtype), tmp_path / "a.tif"
    layouts = (
        ((0,), {"rowsperstrip": 60}, [np.s_[:]]),
        ((0, 2), {"rowsperstrip": 20}, [np.s_[:20], np.s_[40:]]),
        ((0, 1, 2), {"rowsperstrip": 20}, [np.s_[:]]),
        ((1, 15), {"tile": (16, 16)}, [np.s_[:16, 16:32], np.s_[48:, 48:]]),
    )
    for missing, layout, holes in layouts:
        path.write_bytes(sparse(array, missing, nodata, **layout, **(compression if dtype == np.uint16 else {})))
        expected = array.copy()
        for hole in holes:
            expected[hole] = value
        np.testing.assert_array_equal(read_tiff(path, shape=(60, 60), dtype=dtype), expected)


@pytest.mark.parametrize("compression", ["tiff_lzw", "zstd", "lzma", "packbits", "tiff_deflate"])
@pytest.mark.parametrize(
    ("dtype", "predictor"), [(np.uint16, 1), (np.uint16, 2), (np.float32, 1), (np.float32, 2), (np.float32, 3)]
)
def test_every_compression_and_predictor_is_read(tmp_path, compression, dtype, predictor):
    array = noise((60, 61), dtype)
    data = image_files.encoded("TIFF", Image.fromarray(array), compression=compression, tiffinfo={317: predictor})
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif", shape=(60, 61), dtype=dtype), array)


def test_overviews_and_masks_are_passed_over(tmp_path):
    array, path = noise((60, 60), np.uint16), tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        out.write(array, metadata=None)
        out.write(array[::2, ::2], subfiletype=1, metadata=None)
        out.write(np.ones((60, 60), bool), subfiletype=4, photometric=4, metadata=None)
    np.testing.assert_array_equal(read_tiff(path, shape=(60, 60), dtype=np.uint16), array)


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({259: 34887}, "a TIFF compressed with LERC; write it again uncompressed or with DEFLATE"),
        ({259: 4}, "a TIFF compressed with CCITT fax; write it again"),
        ({259: 999}, "a TIFF with compression 999; write it again"),
        ({317: 9, 259: 8}, "(a TIFF with predictor 9; write it again|broken or truncated TIFF)"),
        ({258: 12}, "1 band of uint12; write it again"),
        ({266: 2}, r"a TIFF whose bits are stored lowest first"),
        ({339: 5}, "1 band of complex16; write it again"),
        ({339: 2}, "pixels of type int16 instead of uint16"),
        ({279: 0}, r"truncated TIFF \(0 bytes of pixels"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, tags, what):
    array, path = noise((20, 20), np.uint16), tmp_path / "a.tif"
    path.write_bytes(image_files.with_tags(image_files.tiff(array, photometric="minisblack"), tags))
    with pytest.raises(ArchiveError, match=rf"a\.tif: {what}"):
        read_tiff(path, shape=(20, 20), dtype=np.uint16)


BANDS = {
    "plain": image_files.tiff(noise((20, 20), np.uint16), photometric="minisblack"),
    "strips": image_files.tiff(noise((20, 20), np.uint16), photometric="minisblack", rowsperstrip=7),
    "tiles": image_files.tiff(noise((20, 20), np.uint16), photometric="minisblack", tile=(16, 16), compression="zlib"),
    "big": image_files.tiff(noise((20, 20), np.uint16), photometric="minisblack", bigtiff=True, byteorder=">"),
}


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(sorted(BANDS)),
    st.lists(st.tuples(st.one_of(st.integers(0, 260), st.integers(0, 900)), st.integers(0, 255)), max_size=3),
    st.floats(0, 1),
)
def test_damage_is_an_archive_error_or_gives_a_band(tmp_path_factory, name, changes, kept):
    data = bytearray(BANDS[name])
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    path.write_bytes(data if changes else data[: int(kept * len(data))])
    with contextlib.suppress(ArchiveError):
        band = read_tiff(path, shape=(20, 20), dtype=np.uint16)
        assert (band.shape, band.dtype) == ((20, 20), np.uint16)


def test_wrong_files_are_named(tmp_path):
    array = noise((20, 20), np.uint16)
    path = tmp_path / "a.tif"

    def error(**options) -> str:
        with pytest.raises(ArchiveError) as caught:
            read_tiff(path, **({"shape": (20, 20), "dtype": np.uint16} | options))
        return str(caught.value)

    assert error() == f"{path}: missing"
    path.write_bytes(b"")
    assert error() == f"{path}: empty file"
    path.write_bytes(b"GIF89a" + bytes(100))
    assert error() == f"{path}: not a TIFF file"
    tifffile.imwrite(path, array)
    assert error(shape=(60, 120)) == f"{path}: size 20x20 instead of 120x60"
    assert error(dtype=np.float32) == f"{path}: pixels of type uint16 instead of float32"
    assert error(dtype=np.int16, shown_path="in.zip/a.tif") == "in.zip/a.tif: pixels of type uint16 instead of int16"
    tifffile.imwrite(path, np.stack([array] * 3), photometric="rgb", planarconfig="separate")
    assert error() == f"{path}: 3 bands instead of a single one"
    tifffile.imwrite(path, np.stack([array] * 2), photometric="minisblack")
    assert error() == f"{path}: 2 images instead of a single one"
    path.unlink()
    path.mkdir()
    assert error().startswith(f"{path}: cannot be read (")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}], ids=["plain", "deflated"])
def test_a_file_cut_anywhere_is_an_error_and_nothing_else(tmp_path, options):
    array, path = noise((60, 60), np.uint16), tmp_path / "a.tif"
    tifffile.imwrite(path, array, metadata=None, **options)
    whole = path.read_bytes()
    for length in [*range(1, 400, 7), len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=r"truncated|not a TIFF|broken"):
            read_tiff(path, shape=(60, 60), dtype=np.uint16)


def test_a_plain_band_takes_the_short_way(tmp_path, monkeypatch):
    array, path = noise((120, 120), np.uint16), tmp_path / "a.tif"
    monkeypatch.setattr(geotiff, "read_tiff_header", None)
    for rows in (34, 120):
        tifffile.imwrite(path, array, rowsperstrip=rows)
        np.testing.assert_array_equal(read_tiff(path, shape=(120, 120), dtype=np.uint16), array)


def test_real_files_are_read_as_tifffile_reads_them(real_data):
    paths = every_real_tiff(real_data)
    assert len(paths) >= 186
    for path in paths:
        expected = tifffile.imread(path)
        read = read_tiff(path, shape=expected.shape, dtype=expected.dtype)
        np.testing.assert_array_equal(read, expected)
        plain = geotiff._uncompressed(path.read_bytes())
        assert (plain is None) == path.stem.endswith("_reference_map")
