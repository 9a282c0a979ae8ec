"""Pairs are laid over each other: orientation, size and side of a crop are found, and chance stays below copies."""

import itertools

import cv2
import numpy as np
import pytest
from scenery import scene

from mtsccd_jax.ops.hashes.layout import local_contrast
from mtsccd_jax.ops.hashes.perceptual import ORIENTATIONS, turned
from mtsccd_jax.tasks.leaks import planted
from mtsccd_jax.tasks.leaks.images import thumbnail
from mtsccd_jax.tasks.leaks.registration import described, needed, overlay


def contrast(*images: np.ndarray) -> np.ndarray:
    gray = np.stack([cv2.cvtColor(thumbnail(image), cv2.COLOR_RGB2GRAY) for image in images])
    return np.asarray(local_contrast(gray))


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_a_turn_is_named_as_it_was_made(orientation):
    first, second = contrast(scene(0), turned(scene(0), orientation))
    found = overlay(first, second)
    assert found.correlation > 0.999
    assert (found.crop, found.size) == (0, 1.0)
    np.testing.assert_array_equal(turned(turned(scene(0), orientation), found.orientation), scene(0))
    words = described(found)
    assert (f"turned {90 * (orientation % 4)}°" in words) == (orientation % 4 > 0)
    assert ("flipped" in words) == (orientation >= 4)


@pytest.mark.parametrize("size", [0.8, 0.9])
def test_a_crop_is_found_from_either_side(size):
    image, side = scene(1, 120), round(120 * size)
    whole, part = contrast(image, turned(image[9 : 9 + side, 5 : 5 + side], 3))
    found, mirrored = overlay(whole, part), overlay(part, whole)
    assert (found.crop, mirrored.crop) == (2, 1)
    for one in (found, mirrored):
        assert one.correlation > 0.9
        assert abs(one.size - size) <= 0.05
    assert found.reversed().crop == 1
    assert described(found).startswith("turned 270°, crop of ")
    assert "the first is a crop of" in described(mirrored)


def test_copies_are_above_what_is_needed_and_others_below():
    generator = np.random.default_rng(0)
    images = [scene(seed) for seed in range(8)]
    for kind, make in planted.KINDS.items():
        for image in images:
            first, second = contrast(image, make(image, generator))
            structure = float((np.square(first).mean() + np.square(second).mean()) / 2)
            assert overlay(first, second).correlation > needed(structure), kind
    different = [overlay(*contrast(a, b)).correlation for a, b in itertools.pairwise(images)]
    assert max(different) < 0.6


def test_less_is_needed_where_there_is_less_structure_within_bounds():
    values = [needed(structure) for structure in np.linspace(0, 1, 21)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (0.7, 0.85)
