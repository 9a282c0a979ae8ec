"""Layouts are those of all turns and flips, local contrast is its definition, and a quick look sees windows."""

import cv2
import numpy as np
import pytest
from scenery import plain, scene
from scipy.ndimage import gaussian_filter

from mtsccd_jax.ops.hashes import layout
from mtsccd_jax.ops.hashes.perceptual import ORIENTATIONS, turned
from mtsccd_jax.ops.hashes.screen import SCALE, screen, to_int8

IMAGES = np.stack([scene(seed, layout.SIDE) for seed in range(6)])
GRAY = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in IMAGES])


@pytest.mark.parametrize("orientation", range(1, ORIENTATIONS))
def test_a_layout_is_that_of_the_turned_image(orientation):
    whole = np.asarray(layout.layouts(IMAGES))
    of_turned = np.asarray(layout.layouts(np.stack([turned(image, orientation) for image in IMAGES])))
    np.testing.assert_allclose(of_turned[:, layout.WHOLE], whole[:, layout.WHOLE], atol=2e-4)
    # Windows change places, but each is there.
    for part in (layout.COARSE, layout.FINE):
        distance = np.abs(of_turned[:, part, None] - whole[:, None, part]).max(-1)
        assert distance.min(2).max() < 2e-3


def test_a_layout_is_its_definition():
    image = IMAGES[0].astype(np.float64)
    gray = image @ (0.299, 0.587, 0.114)
    cells = gray.reshape(4, 16, 4, 16).mean((1, 3))
    deviation = np.sqrt(gray.var() + 2**2)
    corners = np.sort((cells[[0, 0, 3, 3], [0, 3, 0, 3]] - gray.mean()) / deviation)
    red_green = (image[..., 0] - image[..., 1]).reshape(4, 16, 4, 16).mean((1, 3))
    inner = np.sort(red_green[1:3, 1:3].ravel() / (gray.mean() + 8))
    made = np.asarray(layout.layouts(IMAGES[:1]))[0, 0]
    np.testing.assert_allclose(made[:4], corners, atol=1e-4)
    np.testing.assert_allclose(made[16 + 12 : 16 + 16], inner, atol=1e-4)
    np.testing.assert_allclose(made[-1], np.log(deviation / (gray.mean() + 8)), atol=1e-4)


def test_windows_cover_what_they_say():
    for start, stop in ((0.0, 1.0), (0.05, 0.85), (0.175, 0.975)):
        weights = layout.cell_weights(start, stop, 4)
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
        centre = weights @ (np.arange(64) + 0.5) / 64
        np.testing.assert_allclose(centre, start + (stop - start) * (np.arange(4) + 0.5) / 4, atol=2e-4)


def test_local_contrast_is_its_definition():
    for gray, made in zip(GRAY, np.asarray(layout.local_contrast(GRAY)), strict=True):
        smooth = gaussian_filter(gray.astype(np.float64), 1, mode="reflect")
        detail = smooth - gaussian_filter(smooth, 8, mode="reflect")
        expected = detail / np.sqrt(gaussian_filter(detail**2, 4, mode="reflect") + 2**2)
        np.testing.assert_allclose(made, expected, atol=2e-3)


def test_structure_is_told_from_noise():
    water = np.stack([plain(seed, layout.SIDE)[..., 1] for seed in range(4)])
    structured, calm = (np.square(layout.local_contrast(gray)).mean((1, 2)) for gray in (GRAY, water))
    assert structured.min() > 0.4
    assert calm.max() < 0.1


def test_a_quick_look_finds_windows_in_all_orientations_and_nothing_else():
    contrast = to_int8(np.asarray(layout.local_contrast(GRAY)))
    assert np.abs(contrast / SCALE - layout.local_contrast(GRAY)).max() < 0.6 / SCALE
    everywhere = np.tile(np.arange(17, dtype=np.int32), (len(GRAY), 1))
    whole = everywhere[:, :1]
    same = np.stack([turned(image, k + 1) for k, image in enumerate(contrast)])
    np.testing.assert_allclose(screen(same, contrast, whole), 1, atol=1e-3)
    edge = round(0.8 * 64)
    crops = np.stack([cv2.resize(turned(gray[5 : 5 + edge, 8 : 8 + edge], 6), (64, 64)) for gray in GRAY])
    cropped = to_int8(np.asarray(layout.local_contrast(crops)))
    assert np.min(screen(cropped, contrast, everywhere)) > 0.7
    assert np.max(screen(np.roll(contrast, 1, 0), contrast, everywhere)) < 0.45
