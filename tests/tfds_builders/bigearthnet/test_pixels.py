"""Pixels that stand for no data, by kind of fault and by where they are read: both archives, files and LMDB."""

import bigearthnet_v1_files as v1
import bigearthnet_v2_files as v2
import numpy as np
import pytest
import tifffile
from safetensors.numpy import save

from tfds_builders import ArchiveError, build
from tfds_builders.bigearthnet.pixels import no_backscatter, not_finite
from tfds_builders.bigearthnet_v1.check import check_archive as check_v1
from tfds_builders.bigearthnet_v2.check import check_archive as check_v2

NO_BACKSCATTER = r"840 of 14,400 pixels are no backscatter in dB, the first \({}\) in row 0, column 0"
FAULTS = {
    "nan": NO_BACKSCATTER.format("nan"),
    "-inf": NO_BACKSCATTER.format("-inf"),
    "inf": NO_BACKSCATTER.format("inf"),
    "-9999": NO_BACKSCATTER.format("-9999"),
    "-32768": NO_BACKSCATTER.format("-32768"),
    "-3.4028235e38": NO_BACKSCATTER.format(r"-3\.40282e\+38"),
    "-99": NO_BACKSCATTER.format("-99"),
    "0": r"no data in its first column \(every pixel is 0\)",
}


def sound(seed=0):
    return np.random.default_rng(seed).normal(-14, 5, (120, 120)).astype(np.float32)


def bordered(value, band_hw):
    """Return a copy of a band whose first seven columns are no measurement."""
    band_hw = band_hw.copy()
    band_hw[:, :7] = np.float32(value)
    return band_hw


@pytest.mark.parametrize("value", FAULTS)
def test_pixels_without_data_are_counted_and_placed(value):
    with pytest.raises(ArchiveError, match=f"^{FAULTS[value]}$"):
        raise ArchiveError(no_backscatter(bordered(value, sound())))


@pytest.mark.parametrize("border", [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]])
def test_every_border_is_looked_at_and_single_zeros_are_sound(border):
    band_hw = sound()
    band_hw[border][::2] = 0
    assert no_backscatter(band_hw) == ""
    band_hw[border] = 0
    assert no_backscatter(band_hw).startswith("no data in its ")


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("place", [(0, 0), (119, 119), (17, 60)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_pixel_that_is_not_finite_is_found(dtype, place, value):
    band_hw = sound().astype(dtype)
    assert not_finite(band_hw) == ""
    band_hw[place] = value
    row, column = place
    expected = f"1 of 14,400 pixels are NaN or infinite, the first ({value:g}) in row {row}, column {column}"
    assert not_finite(band_hw) == expected


def test_large_values_are_finite():
    assert not_finite(np.full((120, 120), -3.4e38, np.float32)) == ""


def test_the_published_extremes_are_backscatter():
    band_hw = sound()
    band_hw[5, :2] = -75.2, 34.7
    assert no_backscatter(band_hw) == ""


def _files_v1(root):
    v1.write(root)
    name, bad = sorted(v1.PATCHES)[0], v1.s1_name(sorted(v1.PATCHES)[0])
    path = root / "BigEarthNet-S1-v1.0" / bad / f"{bad}_VH.tif"
    return path, v1.band(name, "VH"), lambda band_hw: tifffile.imwrite(path, band_hw)


def _files_v2(root):
    path = v2.path_of(v2.write(root), 0, 4, "VH")
    return path, v2.band(0, 4, "VH"), lambda band_hw: tifffile.imwrite(path, band_hw)


def _lmdb(root):
    pytest.importorskip("lmdb")
    name = v2.names(0, 4)[1]

    def write(band_hw):
        value = save({"VV": v2.band(0, 4, "VV"), "VH": band_hw})
        v2.write_tables(v2.write_lmdb(root, {name.encode(): value}))

    return f"'{name}', VH", v2.band(0, 4, "VH"), write


@pytest.mark.parametrize("value", ["nan", "-9999"])
@pytest.mark.parametrize(
    ("prepare", "check", "data_set"),
    [
        (_files_v1, check_v1, "bigearthnet_v1/s1_s2_19"),
        (_files_v2, check_v2, "bigearthnet_v2/official"),
        (_lmdb, check_v2, "bigearthnet_v2/official"),
    ],
)
def test_check_and_build_name_patch_and_band(tmp_path, prepare, check, data_set, value):
    root = tmp_path / "archive"
    where, band_hw, write = prepare(root)
    write(bordered(value, band_hw))
    (problem,) = check(root).problems
    assert str(where) in problem
    with pytest.raises(ArchiveError, match=FAULTS[value]):
        raise ArchiveError(problem)
    name, _, config = data_set.partition("/")
    with pytest.raises(ArchiveError, match=f"{FAULTS[value]}; replace .*, or build with --skip-bad"):
        build(name, archive=root, data_dir=tmp_path / "data", config=config, workers=1)
    built = build(name, archive=root, data_dir=tmp_path / "data", config=config, workers=1, skip_bad=True)
    assert [problem in line for line in built.skipped] == [True]
