"""A quick look at pairs of images: how well one lies, whole and in any orientation, on windows of the other.

It is coarse, so that it can look at a million pairs: images of local contrast are reduced to 16 x 16 means. What it
lets pass is laid over each other with care afterwards.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float32, Int8, Int32

from mtsccd_jax.ops.calls import own_settings
from mtsccd_jax.ops.hashes import layout

SCALE = 31  # of local contrast in 8 bits
_GRID = 16


def to_int8(contrast_nhw: Float32[np.ndarray, "n 64 64"]) -> Int8[np.ndarray, "n 64 64"]:
    """Return local contrast in 8 bits, cut off at 4."""
    return np.clip(np.round(contrast_nhw * SCALE), -127, 127).astype(np.int8)


@own_settings()
def screen(
    whole_nhw: Int8[np.ndarray, "n 64 64"],
    other_nhw: Int8[np.ndarray, "n 64 64"],
    window_nk: Int32[np.ndarray, "n k"],
) -> Float32[Array, " n"]:
    """Return the best correlation of one image of each pair, whole, with k windows of the other, -1 to 1.

    Window 0 is all of the other image, and the others are the fine ones of `layout.layouts`.
    """
    best: Array = _screen(whole_nhw, other_nhw, window_nk)
    return best


@jax.jit
def _screen(whole_nhw: Array, other_nhw: Array, window_nk: Array) -> Array:
    rows, columns = _windows()
    other = other_nhw.astype(jnp.float32)
    seen = jnp.einsum("nkih,nhw,nkjw->nkij", jnp.asarray(rows)[window_nk], other, jnp.asarray(columns)[window_nk])
    step = layout.SIDE // _GRID
    whole = whole_nhw.astype(jnp.float32).reshape(-1, _GRID, step, _GRID, step).mean((2, 4))
    best: Array = jnp.einsum("nkij,ntij->nkt", _unit(seen), _turns(_unit(whole))).max((1, 2))
    return best


def _windows() -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of rows and of columns in the means of every window, each (w, _GRID, SIDE)."""
    fine = [(top, left, layout.CROP) for top in layout.FINE_STARTS for left in layout.FINE_STARTS]
    windows = [(0.0, 0.0, 1.0), *fine]
    return (
        np.stack([layout.cell_weights(top, top + size, _GRID) for top, _, size in windows]),
        np.stack([layout.cell_weights(left, left + size, _GRID) for _, left, size in windows]),
    )


def _turns(image_nhw: Array) -> Array:
    """Return images in their eight orientations, (n, 8, h, w)."""
    turns = [jnp.rot90(image_nhw, quarters, (1, 2)) for quarters in range(4)]
    return jnp.stack([*turns, *(turn[..., ::-1] for turn in turns)], 1)


def _unit(image: Array) -> Array:
    """Return images of mean 0 and length 1; those without structure are 0."""
    centred = image - image.mean((-2, -1), keepdims=True)
    length = jnp.sqrt(jnp.square(centred).sum((-2, -1), keepdims=True))
    return centred / jnp.maximum(length, 1e-6)
