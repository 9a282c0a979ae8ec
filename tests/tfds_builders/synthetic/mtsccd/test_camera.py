import dataclasses

import numpy as np
import pytest

from tfds_builders.synthetic.mtsccd import camera
from tfds_builders.synthetic.mtsccd.styles import STYLES

SKY = STYLES["hangzhou"].skies[0]
PLAIN = camera.Tone(0.0, np.zeros(3), 0.0, 0.0, 0.0, 0.0)


def _ground(seed: int = 0, size: int = 90) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 200, size=(size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("image_size", [8, 60, 90])
def test_images_are_bytes_of_the_size_asked_for(image_size):
    image = camera.photograph(_ground(), SKY, PLAIN, 300.0, image_size, np.random.default_rng(0))
    assert image.shape == (image_size, image_size, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(
        image, camera.photograph(_ground(), SKY, PLAIN, 300.0, image_size, np.random.default_rng(0))
    )


def test_the_mosaic_pulls_every_tile_towards_one_tone():
    dark, bright = (_ground() // 3), (_ground() // 3 + 150).astype(np.uint8)
    tones = [
        [camera.photograph(ground, SKY, PLAIN, 300.0, 60, np.random.default_rng(seed)).mean() for seed in range(12)]
        for ground in (dark, bright)
    ]
    assert np.mean(tones[1]) - np.mean(tones[0]) < 0.25 * 150


def test_haze_takes_contrast():
    clear, hazy = (dataclasses.replace(SKY, haze=haze) for haze in (0.0, 0.6))
    ground = np.repeat(np.repeat(_ground(size=10), 9, axis=0), 9, axis=1)
    spread = [
        np.mean([camera.photograph(ground, sky, PLAIN, 300.0, 90, np.random.default_rng(s)).std() for s in range(6)])
        for sky in (clear, hazy)
    ]
    assert spread[1] < 0.7 * spread[0]


@pytest.mark.parametrize("light", [-1.5, 0.0, 1.5])
def test_a_balanced_tile_has_the_mean_and_contrast_of_its_sky(light):
    ground = np.repeat(np.repeat(_ground(size=30), 3, axis=0), 3, axis=1)
    matrix = camera._balance(ground, SKY, dataclasses.replace(PLAIN, light=light))
    balanced = ground @ matrix[:, :3].T + matrix[:, 3]
    luma = np.array((0.299, 0.587, 0.114))
    assert (balanced @ luma).mean() == pytest.approx(np.array(SKY.mean_rgb) @ luma + 19 * light, abs=1)
    assert (balanced @ luma).std() == pytest.approx(SKY.contrast, rel=0.2)


def test_dates_of_a_place_share_half_of_their_tone():
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(3000):
        shared = camera.draw_tone(rng)
        tones = [camera.draw_tone(rng, shared) for _ in range(2)]
        pairs.append([(t.light, t.tint[0], t.contrast, t.chroma, t.hue, t.curve) for t in tones])
    first, second = np.array(pairs).transpose(1, 2, 0)
    for one, other in zip(first, second, strict=True):
        assert one.std() == pytest.approx(1, abs=0.06)
        assert np.corrcoef(one, other)[0, 1] == pytest.approx(0.5, abs=0.06)


def test_turning_hues_keeps_greys():
    grey = np.full(3, 0.7)
    for degrees in (-30, 0, 50):
        np.testing.assert_allclose(camera._hue_turn(degrees) @ grey, grey, atol=1e-12)
    np.testing.assert_allclose(camera._hue_turn(0), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(camera._hue_turn(120) @ np.array((1.0, 0.0, 0.0)), (0.0, 1.0, 0.0), atol=1e-12)
