"""TIFF files beside tifffile, on made and on real ones."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile

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


def test_a_plain_band_is_read_without_tifffile(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((120, 120), np.uint16), rowsperstrip=34)
    code = (
        "import sys, numpy; from tfds_builders.reading.geotiff import read_tiff\n"
        "read_tiff(sys.argv[1], shape=(120, 120), dtype=numpy.uint16); assert 'tifffile' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.tif")], check=True)


def test_real_files_are_read_as_tifffile_reads_them(real_data):
    paths = every_real_tiff(real_data)
    assert len(paths) >= 186
    for path in paths:
        expected = tifffile.imread(path)
        read = read_tiff(path, shape=expected.shape, dtype=expected.dtype)
        np.testing.assert_array_equal(read, expected)
        plain = geotiff._uncompressed(path.read_bytes())
        assert (plain is None) == path.stem.endswith("_reference_map")
