"""Generated archives of BigEarthNet v1: counts, names, bytes, and what a linear model makes of them."""

from collections import Counter

import numpy as np
import pytest

from tfds_builders.bigearthnet.names import S1_NAME, S2_V1_NAME
from tfds_builders.bigearthnet.nomenclature import CLASS_OF_CODE
from tfds_builders.bigearthnet_v1.tables import NO_TARGET, SEASON_PATCHES, TABLE_2
from tfds_builders.reading.geotiff import read_tiff
from tfds_builders.synthetic.bigearthnet_v1 import list_counts, patches, write_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("generated")
    assert write_archive(root, scale=1e-4, seed=3, workers=1) == 60
    return root


def test_at_scale_1_the_lists_are_the_published_ones():
    assert list_counts(1) == {
        "train": 269_695,
        "validation": 123_723,
        "test": 125_866,
        "seasonal snow": 61_707,
        "cloud or shadow": 9_280,
        NO_TARGET: 55,
    }


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 0.002, 0.01])
def test_counts_are_in_proportion_and_nothing_is_empty(scale):
    made = patches(scale, seed=1)
    counts = list_counts(scale)
    assert Counter(patch.on_list for patch in made) == counts
    assert min(counts.values()) >= 1
    assert len({patch.s2_name for patch in made}) == len({patch.s1_name for patch in made}) == len(made)
    seasons = Counter(S2_V1_NAME.parse(patch.s2_name).season for patch in made)
    for season, published in SEASON_PATCHES.items():
        assert abs(seasons[season] - len(made) * published / 590_326) <= 1
    codes = Counter(code for patch in made for code in patch.codes)
    if scale >= 0.002:
        for code, published in TABLE_2.items():
            assert abs(codes[code] - max(1, len(made) * published / 590_326)) <= 1
    for patch in made:
        assert S1_NAME.parse(patch.s1_name).tile == patch.tile
        kept = [code for code in patch.codes if CLASS_OF_CODE[code].class_19]
        assert patch.codes
        assert not (patch.on_list == NO_TARGET and kept)
        assert kept or patch.on_list in (NO_TARGET, "seasonal snow")


def test_water_is_dark_in_the_infrared_and_nothing_else_is(archive):
    made = {patch.s2_name: patch for patch in patches(1e-4, seed=3)}
    shares, water = [], []
    for name, patch in made.items():
        if patch.on_list in ("train", "validation", "test"):
            (path,) = archive.glob(f"*/BigEarthNet-v1.0/{name}/{name}_B08.tif")
            shares.append(np.mean(read_tiff(path, shape=(120, 120), dtype=np.uint16) < 500))
            water.append(any(code >= 511 for code in patch.codes))
    shares_n, water_n = np.array(shares), np.array(water)
    assert shares_n[water_n].min() > shares_n[~water_n].max()
