import dataclasses

import numpy as np
import pytest

from tfds_builders.synthetic import camera
from tfds_builders.synthetic.styles import STYLES

SKY = STYLES["hangzhou"].skies[0]


def _ground(seed: int = 0, size: int = 90) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 200, size=(size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("image_size", [8, 60, 90])
def test_images_are_bytes_of_the_size_asked_for(image_size):
    image = camera.photograph(_ground(), SKY, 300.0, image_size, np.random.default_rng(0))
    assert image.shape == (image_size, image_size, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, camera.photograph(_ground(), SKY, 300.0, image_size, np.random.default_rng(0)))


def test_the_mosaic_pulls_every_tile_towards_one_tone():
    dark, bright = (_ground() // 3), (_ground() // 3 + 150).astype(np.uint8)
    tones = [
        [camera.photograph(ground, SKY, 300.0, 60, np.random.default_rng(seed)).mean() for seed in range(12)]
        for ground in (dark, bright)
    ]
    assert np.mean(tones[1]) - np.mean(tones[0]) < 0.25 * 150


def test_haze_takes_contrast():
    clear, hazy = (dataclasses.replace(SKY, haze=haze) for haze in (0.0, 0.6))
    ground = np.repeat(np.repeat(_ground(size=10), 9, axis=0), 9, axis=1)
    spread = [
        np.mean([camera.photograph(ground, sky, 300.0, 90, np.random.default_rng(s)).std() for s in range(6)])
        for sky in (clear, hazy)
    ]
    assert spread[1] < 0.7 * spread[0]


def test_the_hue_matrix_keeps_greys_and_saturation_zero_makes_them():
    grey = np.full(3, 0.7)
    for degrees in (-30, 0, 50):
        matrix = camera._hue_matrix(degrees, 1.3)
        np.testing.assert_allclose(matrix @ grey, grey, atol=1e-12)
    np.testing.assert_allclose(camera._hue_matrix(0, 1.0), np.eye(3), atol=1e-12)
    coloured = camera._hue_matrix(20, 0.0) @ np.array((0.9, 0.2, 0.4))
    np.testing.assert_allclose(coloured, coloured[0])
