"""Splits by city: who learns from what, and that a city's test scenes are the same for all."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mtsccd_jax.data.sources import cities, open_pairs, open_source, pair_splits, scene_splits
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data

CITIES = ("hangzhou", "shanghai", "wuhan", "nanjing", "hefei")
OPEN = {"scenes": (open_source, scene_splits), "pairs": (open_pairs, pair_splits)}


@pytest.fixture(scope="module")
def data(demo_run):
    return Data(data_dir=str(demo_run[0] / "tfds"), image_size=32)


def tiles(source):
    """City and tile of every row."""
    names = source.names["city"]
    columns = (source.column(field).tolist() for field in ("city", "tile_x", "tile_y"))
    return [(names[city], x, y) for city, x, y in zip(*columns, strict=True)]


@pytest.mark.parametrize("what", OPEN)
def test_every_scene_has_one_place(data, what):
    """Counted again from the splits that were built: all but the training part of the city that is left out."""
    open_split, splits = OPEN[what]
    every = sorted(tile for split in splits(data) for tile in tiles(open_split(data, split)))
    assert cities(data, what) == CITIES
    without = replace(data, leave_out="wuhan")
    names = splits(without)
    assert names == ("train", "validation", *(f"test_{city}" for city in CITIES))
    found = {name: tiles(open_split(without, name)) for name in names}
    for name, own in found.items():
        assert {city for city, _, _ in own} == (
            set(CITIES) - {"wuhan"} if name in ("train", "validation") else {name.removeprefix("test_")}
        )
    sets = [set(own) for own in found.values()]
    assert sum(map(len, sets)) == len(set().union(*sets)), "both dates of a tile lie on one side"
    kept = sorted(tile for own in found.values() for tile in own)
    known = [tile for tile in every if tile[0] != "wuhan"]
    assert [tile for tile in kept if tile[0] != "wuhan"] == known
    shares = [sum(len(found[name]) for name in ("train",)) / len(known), len(found["validation"]) / len(known)]
    np.testing.assert_allclose(shares, [0.64, 0.16], atol=0.06)


@pytest.mark.parametrize("what", OPEN)
def test_a_city_is_judged_on_the_same_scenes_by_all(data, what):
    open_split, _ = OPEN[what]
    prints = {open_split(replace(data, leave_out=city), "test_hefei").fingerprint() for city in CITIES}
    assert len(prints) == 1


def test_scenes_and_pairs_are_split_alike(data):
    without = replace(data, leave_out="nanjing")
    for split in ("train", "validation", "test_wuhan", "test_nanjing"):
        assert set(tiles(open_pairs(without, split))) <= set(tiles(open_source(without, split)))


def test_what_cannot_be_left_out_is_told(data, tmp_path):
    with pytest.raises(InputError, match=r"has no city 'wuhn', it has hangzhou, .*Did you mean 'wuhan'"):
        open_source(replace(data, leave_out="wuhn"), "train")
    with pytest.raises(InputError, match="has no split 'test_a' by city, it has train, "):
        open_source(replace(data, leave_out="wuhan"), "test_a")
    for split in ("train", "validation", "test"):
        (tmp_path / split / "class").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / "class" / "1.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="to leave a city out, scenes need the fields city, tile_x, tile_y"):
        cities(replace(data, folder=str(tmp_path), dataset=None), "scenes")
