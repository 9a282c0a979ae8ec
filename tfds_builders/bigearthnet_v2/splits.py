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


def frame_widths(side_m: float = TILE_SIDE_M) -> tuple[float, float]:
    """Return the widths in metres of the train frame and of the validation frame within it.

    They make the areas 1/2, 1/4 and 1/4 of a square tile: side (2 - sqrt 2)/4 and side (sqrt 2 - 1)/4.
    """
    return side_m * (2 - math.sqrt(2)) / 4, side_m * (math.sqrt(2) - 1) / 4


def split_of_points(east_n: np.ndarray, south_n: np.ndarray, *, side_m: float = TILE_SIDE_M) -> np.ndarray:
    """Return the place in `SPLITS` (uint8, (n,)) of points given in metres east and south of the tile's corner.

    Raises:
        ValueError: a point lies outside the tile.
    """
    east_n, south_n = np.asarray(east_n, np.float64), np.asarray(south_n, np.float64)
    edge_n = np.minimum(np.minimum(east_n, side_m - east_n), np.minimum(south_n, side_m - south_n))
    if not np.all(edge_n >= 0):  # NaN too
        at = int(np.argmin(np.nan_to_num(edge_n, nan=-np.inf)))
        raise ValueError(f"({east_n[at]:g} m, {south_n[at]:g} m) is outside a tile of {side_m:g} m")
    train, validation = frame_widths(side_m)
    return (edge_n >= train).astype(np.uint8) + (edge_n >= train + validation)


def split_of_patches(x_n: np.ndarray, y_n: np.ndarray) -> np.ndarray:
    """Return the place in `SPLITS` (uint8, (n,)) of patches by their column and row in the tile, from 0 to 90.

    Raises:
        ValueError: a column or row that a tile does not have.
    """
    x_n, y_n = np.asarray(x_n, np.int64), np.asarray(y_n, np.int64)
    for index_n in (x_n, y_n):
        if index_n.size and not 0 <= index_n.min() <= index_n.max() < PATCHES_PER_SIDE:
            raise ValueError(f"columns and rows of patches are 0 to {PATCHES_PER_SIDE - 1}")
    return split_of_points((x_n + 0.5) * PATCH_METRES, (y_n + 0.5) * PATCH_METRES)
