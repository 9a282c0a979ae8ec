"""Bands that are not finite, where they are read and where a loss tells of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tifffile

from mtsccd_jax.data.bands import unusable_band
from mtsccd_jax.data.patch_source import patch_source
from mtsccd_jax.data.stream import stream
from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.engine.loop import check_finite
from mtsccd_jax.errors import InputError, RunError

SIDE, ROWS, BAD_ROW = 8, 6, 4
FAULTS = (np.nan, np.inf, -np.inf)


class RadarTiles(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Radar of which each fault is in a split of its own, in one pixel of one row."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        of = tfds.features.Tensor
        features = {
            "VV": of(shape=(SIDE, SIDE), dtype=np.float32, encoding="bytes"),
            "B02": of(shape=(SIDE, SIDE), dtype=np.uint16, encoding="bytes"),
            "patch_id": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {f"fault_{at}": self._generate_examples(value) for at, value in enumerate(FAULTS)}

    def _generate_examples(self, value):
        for row in range(ROWS):
            radar = np.full((SIDE, SIDE), -12.5, np.float32)
            if row == BAD_ROW:
                radar[3, 5] = value
            yield row, {"VV": radar, "B02": np.zeros((SIDE, SIDE), np.uint16), "patch_id": f"patch_{row}"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("radar")
    RadarTiles(data_dir=place, file_format="array_record").download_and_prepare()
    return place


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_a_built_band_is_refused_by_row_patch_and_band(place, fault):
    source = tfds_source("radar_tiles", f"fault_{fault}", data_dir=place, bands=("VV", "B02"))
    sound = np.delete(np.arange(ROWS), BAD_ROW)
    assert source.read(sound)["VV"].shape == (ROWS - 1, SIDE, SIDE)
    why = rf"VV of row 4 of radar_tiles, split fault_{fault}, patch patch_4: 1 of 64 pixels are NaN or infinite"
    with pytest.raises(InputError, match=rf"^{why}.* in row 3, column 5; replace its file and build"):
        source.read(np.arange(ROWS))
    with stream(source, np.arange(ROWS)[None]) as batches, pytest.raises(InputError, match=why):
        next(batches)
    assert unusable_band(source, np.arange(ROWS)).startswith("VV of row 4 ")
    assert source.reading(("B02",)).read(np.arange(ROWS))["B02"].shape == (ROWS, SIDE, SIDE)


@pytest.mark.parametrize("value", FAULTS)
def test_a_patch_in_a_folder_is_refused_by_file(tmp_path, value):
    pixels = np.full((120, 120), -12.5, np.float32)
    for band in ("VV", "VH"):
        tifffile.imwrite(tmp_path / f"patch_{band}.tif", pixels)
    source = patch_source(tmp_path, ("VV", "VH"))
    assert source[0]["VH"][0, 0] == -12.5
    pixels[7, 9] = value
    tifffile.imwrite(tmp_path / "patch_VH.tif", pixels)
    with pytest.raises(InputError, match=r"patch_VH\.tif: 1 of 14,400 .* in row 7, column 9; give another patch"):
        source[0]


def band_source(value):
    """Return a source that checks nothing, of which the second of three rows holds `value` in its second band."""
    bands = {name: np.full((3, 4, 4), -10, np.float32) for name in ("VV", "VH")}
    bands["VH"][1, 2, 2] = value

    def read(row_b):
        return {name: band[row_b] for name, band in bands.items()}

    return SimpleNamespace(name="set", split="train", band_fields=tuple(bands), read=read)


@pytest.mark.parametrize("value", [*FAULTS, -3.4e38, 1e7])
def test_a_loss_that_is_not_finite_names_the_band_before_the_learning_rate(value):
    source = band_source(value)
    assert unusable_band(source, np.array([0, 2])) == ""
    cause = unusable_band(source, np.array([2, 1]))
    assert cause == f"VH of row 1 of set, split train, holds {value:g}"
    with pytest.raises(RunError, match=r"^step 3: loss is nan; VH of row 1 of set, .*; build the data set without it"):
        check_finite(3, {"loss": float("nan")}, lambda step: cause)
    with pytest.raises(RunError, match=r"^step 3: loss is nan; lower optim\.learning_rate"):
        check_finite(3, {"loss": float("nan")}, lambda step: unusable_band(source, np.array([0])))


def test_a_finite_step_looks_for_no_cause():
    check_finite(3, {"loss": 0.5}, lambda step: pytest.fail("read the batch again"))
