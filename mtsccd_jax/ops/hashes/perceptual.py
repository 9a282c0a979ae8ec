"""The 64-bit perceptual hash of the package `imagehash` (`phash`), of an image and of its eight turns and flips.

The hash tells which of the 64 lowest frequencies of a 32 x 32 grey image are stronger than their median. A turn or a
flip of the image transposes its block of frequencies or changes signs in it, so no image is turned for its hash.

An orientation is a number from 0 to 7: the image is turned by 90 degrees counter-clockwise `orientation % 4` times,
and from 4 on flipped left to right afterwards (`turned`).
"""

import numpy as np
from jaxtyping import Float64, Real, Shaped, UInt64

SIDE = 32  # pixels of the grey image
BLOCK = 8  # frequencies in each direction
ORIENTATIONS = 8


def frequencies(gray_nhw: Real[np.ndarray, "n 32 32"]) -> Float64[np.ndarray, "n 8 8"]:
    """Return the lowest frequencies of grey images, vertical ones first: SciPy's DCT-II without normalisation."""
    from scipy.fft import dctn

    block_nhw: np.ndarray = dctn(np.asarray(gray_nhw, np.float64), axes=(1, 2))[:, :BLOCK, :BLOCK]
    return block_nhw


def orientations(block_nhw: Float64[np.ndarray, "n 8 8"]) -> Float64[np.ndarray, "n 8 8 8"]:
    """Return the frequencies of the eight turns and flips of images, in the order of `turned`."""
    sign = (-1.0) ** np.arange(BLOCK)
    found = []
    for orientation in range(ORIENTATIONS):
        quarter, block = orientation % 4, block_nhw
        if quarter % 2:
            block = block.transpose(0, 2, 1)
        if quarter in (1, 2):
            block = block * sign[:, None]  # up for down
        if (quarter in (2, 3)) != (orientation >= 4):
            block = block * sign  # left for right
        found.append(block)
    return np.stack(found, 1)


def hashes(block: Float64[np.ndarray, "*n 8 8"]) -> UInt64[np.ndarray, "*n"]:
    """Return the hash of each block: its bits row by row, the first bit the highest, as `str` of `imagehash` reads."""
    flat = block.reshape(*block.shape[:-2], BLOCK * BLOCK)
    bits = flat > np.median(flat, axis=-1, keepdims=True)
    return np.packbits(bits, axis=-1).view(">u8")[..., 0].astype(np.uint64)


def turned(image: Shaped[np.ndarray, "h w ..."], orientation: int) -> Shaped[np.ndarray, "i j ..."]:
    """Return an image in one of the eight orientations, 0 to 7, in memory of its own."""
    quarters = np.rot90(image, orientation % 4)
    return np.ascontiguousarray(quarters[:, ::-1] if orientation >= 4 else quarters)


def inverse(orientation: int) -> int:
    """Return the orientation that undoes one: a flip undoes itself, a turn the turn the other way."""
    return orientation if orientation >= 4 else -orientation % 4
