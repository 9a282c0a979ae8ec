"""The last word on a pair: does one image lie on the other, in some orientation, whole or as a crop of it?

Two images of local contrast (`ops.hashes.layout`) are laid over each other in all eight orientations, in several sizes
and at all positions, and their normalised cross-correlation is measured. Local contrast makes it a vote of the whole
area: one bright corner on dark water does not decide, and neither do light or contrast. What has no structure cannot
vote, and a pair with too little is called too plain to tell.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mtsccd_jax.ops.hashes import layout, perceptual

# First at half the size, in all orientations and few sizes; then at full size, in sizes near the best one.
_COARSE = layout.SIDE // 2
_SIZES, _NEAR_SIZES = (0.9, 0.8), (-0.05, 0.0, 0.05)
# No pair below this at half the size is a copy; measured copies are above 0.7 there.
_HOPELESS = 0.5

# Below this share of structure, the mean of both images, a pair is too plain to tell.
LEAST_STRUCTURE = 0.2
# A copy's correlation falls with structure, as noise takes its part; that of different pairs falls faster. Measured on
# EuroSAT: different pairs stay below 0.55 up to a structure of 0.5, and beyond it below 0.85.
_PLAIN, _FULL = 0.7, 0.85


@dataclass(frozen=True)
class Overlay:
    """How the second image of a pair lies on the first.

    Attributes:
        correlation: Normalised cross-correlation of local contrast, -1 to 1.
        orientation: The second image was turned this way, as in `ops.hashes.perceptual.turned`.
        size: Side of the smaller window as a share of the larger image's side: 1.0 is the whole image.
        crop: Which image is a crop of the other: 0 neither, 1 the first of the second, 2 the second of the first.
    """

    correlation: float
    orientation: int
    size: float
    crop: int

    def reversed(self) -> "Overlay":
        """Return how the first image lies on the second."""
        return Overlay(self.correlation, perceptual.inverse(self.orientation), self.size, {0: 0, 1: 2, 2: 1}[self.crop])


def needed(structure: float) -> float:
    """Return the correlation from which a pair with this structure is a pair of copies."""
    return float(np.clip(0.6 + 0.5 * structure, _PLAIN, _FULL))


def overlay(first_hw: np.ndarray, second_hw: np.ndarray) -> Overlay:
    """Return the best way in which two images of local contrast, 64 pixels a side, lie on each other."""
    coarse = _best_coarse(_resized(first_hw, _COARSE), _resized(second_hw, _COARSE))
    if coarse.correlation < _HOPELESS:
        return coarse
    second_hw = perceptual.turned(second_hw, coarse.orientation)
    sizes = {1.0, 0.95} if coarse.crop == 0 else {round(coarse.size + step, 2) for step in _NEAR_SIZES}
    found = [
        _at_size(first_hw, second_hw, coarse.orientation, size, crop)
        for size in sizes
        for crop in ((0,) if size == 1 else (1, 2) if coarse.crop == 0 else (coarse.crop,))
    ]
    return max(found, key=lambda one: one.correlation)


def _best_coarse(first_hw: np.ndarray, second_hw: np.ndarray) -> Overlay:
    found = []
    smaller = {size: _resized(first_hw, round(_COARSE * size)) for size in _SIZES}
    for orientation in range(perceptual.ORIENTATIONS):
        turned = perceptual.turned(second_hw, orientation)
        found.append(_at_size(first_hw, turned, orientation, 1.0, 0))
        for size in _SIZES:
            found.append(_at_size(first_hw, turned, orientation, size, 2))
            found.append(Overlay(_correlation(turned, smaller[size]), orientation, size, 1))
    return max(found, key=lambda one: one.correlation)


def _at_size(first_hw: np.ndarray, turned_hw: np.ndarray, orientation: int, size: float, crop: int) -> Overlay:
    larger, smaller = (turned_hw, first_hw) if crop == 1 else (first_hw, turned_hw)
    if crop:
        smaller = _resized(smaller, round(len(larger) * size))
    return Overlay(_correlation(larger, smaller), orientation, size if crop else 1.0, crop)


def _correlation(larger_hw: np.ndarray, smaller_hw: np.ndarray) -> float:
    """Return the largest correlation of the smaller image with any window of the larger one."""
    found = cv2.matchTemplate(larger_hw, smaller_hw, cv2.TM_CCOEFF_NORMED)
    best = float(found.max())
    return best if np.isfinite(best) else -1.0


def _resized(image_hw: np.ndarray, side: int) -> np.ndarray:
    small: np.ndarray = cv2.resize(image_hw, (side, side), interpolation=cv2.INTER_AREA)
    return small


def described(found: Overlay) -> str:
    """Return in words how the second image of a pair was made from the first."""
    orientation = perceptual.inverse(found.orientation)
    turn = f"turned {90 * (orientation % 4)}°" if orientation % 4 else ""
    flip = "flipped left to right" if orientation >= 4 else ""
    crop = {0: "", 1: f"larger: the first is a crop of {found.size:.0%} of its side", 2: f"crop of {found.size:.0%}"}
    return ", ".join(filter(None, (turn, flip, crop[found.crop]))) or "same frame"
