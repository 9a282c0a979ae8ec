"""The geographic split of reBEN: three nested frames of a Sentinel-2 tile, assigned by the centre of a patch.

The outermost frame of a tile, half of its area, is train; the frame within it, a quarter, is validation; what is left
in the middle, a quarter, is test (Clasen et al. 2025, section on the geographical-based split). A patch belongs to the
part that holds its centre. So neighbours in one split are many, and neighbours across splits lie along two lines only.
Every one of the 549,488 official assignments follows from the patch's place in its tile.
"""

import math

import numpy as np

from tfds_builders.bigearthnet.bands import PATCH_METRES
from tfds_builders.bigearthnet.names import PATCHES_PER_SIDE

# Patches start at the tile's upper left corner. Its right and lower edges, too narrow for a patch, are left out.
TILE_SIDE_M = 109_800.0


def frame_widths() -> tuple[float, float]:
    """Return the widths in metres of the train frame and of the validation frame within it.

    They make the areas 1/2, 1/4 and 1/4 of the tile: side (2 - sqrt 2)/4 and side (sqrt 2 - 1)/4.
    """
    return TILE_SIDE_M * (2 - math.sqrt(2)) / 4, TILE_SIDE_M * (math.sqrt(2) - 1) / 4


def split_of_patches(x_n: np.ndarray, y_n: np.ndarray) -> np.ndarray:
    """Return the place in `SPLITS` (uint8, (n,)) of patches by their column and row in the tile, from 0 to 90.

    Raises:
        ValueError: a column or row that a tile does not have.
    """
    place_2n = np.stack([np.asarray(x_n, np.int64), np.asarray(y_n, np.int64)])
    if place_2n.size and not 0 <= place_2n.min() <= place_2n.max() < PATCHES_PER_SIDE:
        raise ValueError(f"columns and rows of patches are 0 to {PATCHES_PER_SIDE - 1}")
    centre_2n = (place_2n + 0.5) * PATCH_METRES
    edge_n = np.minimum(centre_2n, TILE_SIDE_M - centre_2n).min(axis=0)
    train, validation = frame_widths()
    split_n: np.ndarray = (edge_n >= train).astype(np.uint8) + (edge_n >= train + validation)
    return split_n
