import dataclasses

import numpy as np
import pytest

from tfds_builders.mtsccd.names import CITIES, CLASS_NAMES
from tfds_builders.synthetic.mtsccd import scenes
from tfds_builders.synthetic.mtsccd.styles import STYLES, tile_palette


def _pair(first: int, second: int, city: str, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return scenes.render_pair(first, second, city, size, np.random.SeedSequence((11, seed)))


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of local contrast, blind to colour and brightness."""
    grey = [image.mean(axis=2) for image in (a, b)]
    return float(np.corrcoef(grey[0].ravel(), grey[1].ravel())[0, 1])


def test_there_is_a_scene_for_every_class_and_a_style_for_every_city():
    assert tuple(scenes.DRAW) == CLASS_NAMES
    assert tuple(scenes.NEIGHBOURS) == CLASS_NAMES
    assert {name for names in scenes.NEIGHBOURS.values() for name in names} <= set(CLASS_NAMES)
    assert set(STYLES) == {city.name for city in CITIES}


def test_shares_in_styles_sum_to_one():
    for style in STYLES.values():
        for share in (style.housing, style.water, style.roads):
            assert sum(share) == pytest.approx(1)


@pytest.mark.parametrize("size", [8, 9, 31, 96, 300])
@pytest.mark.parametrize("city", sorted(STYLES))
def test_every_class_is_drawn_at_every_size(city, size):
    for label in range(10):
        for image in _pair(label, (label + 1) % 10, city, size, size + label):
            assert image.shape == (size, size, 3)
            assert image.dtype == np.uint8
            assert image.std() > 3


def test_the_same_seed_gives_the_same_tile_whatever_was_drawn_before():
    alone = _pair(4, 5, "wuhan", 48, 0)
    _pair(0, 1, "hefei", 96, 7)
    np.testing.assert_array_equal(alone, _pair(4, 5, "wuhan", 48, 0))
    assert (alone[0] != _pair(4, 5, "wuhan", 48, 1)[0]).any()


@pytest.mark.parametrize("label", range(10))
def test_dates_share_their_ground_unless_the_class_changes(label):
    cities = sorted(STYLES)
    same, changed, elsewhere = [], [], []
    for seed in range(20):
        city = cities[seed % 5]
        same.append(_likeness(*_pair(label, label, city, 64, seed)))
        changed.append(_likeness(*_pair(label, (label + 3) % 10, city, 64, seed)))
        elsewhere.append(_likeness(_pair(label, label, city, 64, seed)[0], _pair(label, label, city, 64, seed + 50)[1]))
    assert np.mean(same) > 0.5
    assert np.mean(same) > np.mean(changed) + 0.25
    assert np.mean(same) > np.mean(elsewhere) + 0.25


def test_changed_tiles_keep_part_of_the_old_land():
    def kept(seed: int) -> float:
        first, second = _pair(8, 0, "hangzhou", 96, seed)
        return _likeness(first, second)

    assert sum(kept(seed) > 0.15 for seed in range(24)) >= 3


@pytest.mark.parametrize("label", range(10))
def test_the_place_does_not_depend_on_the_date(label):
    """Drawn under one sky with other cars, boats and machines, almost every pixel is the same."""
    style = STYLES["nanjing"]
    place = scenes.Place(0.3, 5 + label, None, 0.0, 0.0, 0.0)
    drawn = [scenes._draw(place, label, style, style.skies[0], 128, np.random.default_rng(moment)) for moment in (1, 2)]
    differs = (np.abs(drawn[0].astype(int) - drawn[1]) > 25).any(axis=2)
    assert differs.mean() < 0.12


def test_palettes_of_two_dates_differ_by_season_only():
    style = STYLES["shanghai"]
    sky = style.skies[0]
    first, second = (
        tile_palette(np.random.default_rng(4), style, s) for s in (sky, dataclasses.replace(sky, green=0.0))
    )
    for name in ("soil", "water", "asphalt", "paving", "roof_n3", "hall_n3", "track"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (first.grass != second.grass).any()
    assert (first.crop_n3 != second.crop_n3).any()
