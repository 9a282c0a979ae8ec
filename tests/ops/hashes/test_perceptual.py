"""The hash is that of imagehash, by its definition, and turning an image turns its frequencies."""

import numpy as np
import pytest
import scipy.fftpack

from mtsccd_jax.ops.hashes.perceptual import (
    ORIENTATIONS,
    frequencies,
    hashes,
    inverse,
    orientations,
    turned,
)

GRAY = np.random.default_rng(0).integers(0, 256, (20, 32, 32), np.uint8)
# Of the first of these images, by imagehash 4.3.2: str(imagehash.phash(PIL.Image.fromarray(GRAY[0]))).
BY_IMAGEHASH = "905df6a4c35db14a"


def by_definition(pixels: np.ndarray) -> int:
    """`imagehash.phash` of an image that has its size already."""
    dct = scipy.fftpack.dct(scipy.fftpack.dct(pixels, axis=0), axis=1)[:8, :8]
    return int("".join("01"[int(bit)] for bit in (dct > np.median(dct)).ravel()), 2)


def test_the_hash_is_that_of_imagehash():
    made = hashes(frequencies(GRAY))
    assert made.tolist() == [by_definition(pixels) for pixels in GRAY]
    assert f"{made[0]:016x}" == BY_IMAGEHASH


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_a_turned_image_has_the_turned_frequencies(orientation):
    of_turned = frequencies(np.stack([turned(pixels, orientation) for pixels in GRAY]))
    np.testing.assert_allclose(orientations(frequencies(GRAY))[:, orientation], of_turned, atol=1e-8)


def test_orientations_are_all_turns_and_flips_and_each_is_undone():
    image = np.arange(9).reshape(3, 3)
    seen = {turned(image, orientation).tobytes() for orientation in range(ORIENTATIONS)}
    assert len(seen) == 8
    for orientation in range(ORIENTATIONS):
        np.testing.assert_array_equal(turned(turned(image, orientation), inverse(orientation)), image)
