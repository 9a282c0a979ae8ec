"""A patch in a folder against tifffile, and what is no patch."""

import shutil

import numpy as np
import pytest
import tifffile
from source_contract import check_source

from mtsccd_jax.data.patch_source import patch_source
from mtsccd_jax.errors import InputError
from tfds_builders.bigearthnet.bands import BANDS, S2_BANDS
from tfds_builders.reading.archive import ArchiveError

NAME = "S2A_MSIL2A_20170613T101031_12_34"


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    place = tmp_path / NAME
    place.mkdir()
    for band in S2_BANDS:
        pixels = random.integers(0, 10_000, BANDS[band].shape).astype(np.uint16)
        tifffile.imwrite(place / f"{NAME}_{band}.tif", pixels)
    (place / f"{NAME}_labels_metadata.json").write_text("{}")
    return place


def test_a_patch_is_its_files(folder):
    source = patch_source(folder, ("B8A", "B02"))
    assert source.stored_bands == tuple(sorted(S2_BANDS))
    assert (len(source), source.fields, source.band_fields) == (1, ("B8A", "B02", "filename"), ("B8A", "B02"))
    batch = source.read(np.array([0, 0]))
    for band in ("B8A", "B02"):
        expected = tifffile.imread(folder / f"{NAME}_{band}.tif")
        np.testing.assert_array_equal(batch[band], [expected, expected])
        assert batch[band].dtype == np.uint16
    assert batch["filename"].tolist() == [NAME, NAME]
    check_source(source)
    assert source.reading(["B01"])[0]["B01"].shape == (20, 20)


def test_the_fingerprint_is_of_the_bands_that_are_read(folder):
    before = patch_source(folder, ("B02",)).fingerprint()
    other = patch_source(folder, ("B03",)).fingerprint()
    shutil.copy(folder / f"{NAME}_B04.tif", folder / f"{NAME}_B03.tif")
    assert patch_source(folder, ("B02",)).fingerprint() == before
    assert patch_source(folder, ("B03",)).fingerprint() != other


def test_what_is_no_patch_is_refused(folder):
    with pytest.raises(InputError, match=r"no file `\.\.\._VV\.tif` \(2 bands missing\); the folder has B01, B02"):
        patch_source(folder, ("VV", "VH", "B02"))
    with pytest.raises(InputError, match="is not a folder"):
        patch_source(folder / "none", ("B02",))
    content = (folder / f"{NAME}_B02.tif").read_bytes()
    (folder / f"{NAME}_B02.tif").write_bytes(content[:-100])
    with pytest.raises(ArchiveError, match=r"_B02\.tif"):
        patch_source(folder, ("B02",)).read(np.array([0]))
    shutil.copy(folder / f"{NAME}_B03.tif", folder / "another_B03.tif")
    with pytest.raises(InputError, match="are both of band B03; keep one patch"):
        patch_source(folder, ("B02",))


def test_a_real_patch_of_each_sensor(real_data):
    for pattern, bands in (("BigEarthNet-v1.0/S2*", S2_BANDS), ("BigEarthNet-S1-v1.0/S1*", ("VV", "VH"))):
        place = next((real_data / "bigearthnet_v1").glob(pattern))
        batch = patch_source(place, bands).read(np.array([0]))
        for band in bands:
            np.testing.assert_array_equal(batch[band][0], tifffile.imread(place / f"{place.name}_{band}.tif"))
