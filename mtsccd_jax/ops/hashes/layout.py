"""Descriptors that an image shares with its copies: its layout, and its local contrast.

Layout: what lies where, but in which of the eight orientations. Brightness, two colour differences and two strengths of
edges are averaged over 4 x 4 cells. A turn or a flip permutes the four corner cells, the four inner ones and the eight
at the sides among themselves, so within each of these groups the values are sorted. Light, contrast and their changes
cancel, since values are relative to the window's mean and deviation.

Local contrast: grey values relative to their surroundings, divided by the deviation there. It is about 1 in size where
there is structure, however faint, and near 0 where there is only noise.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float32, UInt8

from mtsccd_jax.ops.calls import own_settings

SIDE = 64  # pixels of the images that descriptors are made from
CELLS = 4
# Side of a window as a share of the image's side, and where windows begin. Any window of this size is within 5 % of the
# image's side of a coarse one, and within 2.5 % of a fine one.
CROP = 0.8
COARSE_STARTS, FINE_STARTS = (0.05, 0.15), (0.025, 0.075, 0.125, 0.175)
# The windows of `layouts`, in this order: the whole image, the coarse ones, the fine ones.
WHOLE, COARSE, FINE = slice(0, 1), slice(1, 5), slice(5, 21)

_GREY = (0.299, 0.587, 0.114)
_CORNERS, _SIDES, _INNER = (0, 3, 12, 15), (1, 2, 4, 7, 8, 11, 13, 14), (5, 6, 9, 10)
_THIN, _BROAD = 1.0, 3.0  # deviations of the blurs before edges, in pixels
_SURROUNDINGS, _NEAR = 8.0, 4.0  # of local contrast
# Grey values: deviations below these are noise, and a mean below this is black.
_NOISE, _DARK = 2.0, 8.0


@own_settings()
def layouts(image_nhwc: UInt8[np.ndarray, "n 64 64 3"]) -> Float32[Array, "n w d"]:
    """Return the layout of every window of images, red first; its windows are those of `WHOLE`, `COARSE` and `FINE`."""
    found: Array = _layouts(image_nhwc)
    return found


@own_settings()
def local_contrast(gray_nhw: UInt8[np.ndarray, "n 64 64"]) -> Float32[Array, "n 64 64"]:
    """Return the local contrast of grey images; the mean of its square is the share of an image with structure."""
    contrast: Array = _local_contrast(gray_nhw)
    return contrast


@jax.jit
def _layouts(image_nhwc: Array) -> Array:
    image = image_nhwc.astype(jnp.float32)
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    gray = image @ jnp.asarray(_GREY, jnp.float32)
    planes = jnp.stack(
        [
            gray,
            jnp.square(gray),
            red - green,
            (red + green) / 2 - blue,
            _edges(_both(_blur(_THIN), gray)),
            _edges(_both(_blur(_BROAD), gray)),
        ],
        1,
    )
    whole = _relative(_means(planes, (0.0,), 1.0))
    return jnp.concatenate(
        [whole, *(_relative(_means(planes, starts, CROP)) for starts in (COARSE_STARTS, FINE_STARTS))], 1
    )


def _means(planes_nphw: Array, starts: tuple[float, ...], size: float) -> Array:
    """Return the means of the cells of the windows that begin at all pairs of `starts`, (n, w, p, cells)."""
    weights = np.stack([cell_weights(start, start + size, CELLS) for start in starts])
    means = jnp.einsum("aih,nphw->npaiw", weights, planes_nphw, precision="highest")
    means = jnp.einsum("npaiw,bjw->nabpij", means, weights, precision="highest")
    n, rows, columns, planes, *_ = means.shape
    return means.reshape(n, rows * columns, planes, CELLS * CELLS)


def _relative(means_nwpc: Array) -> Array:
    """Return the layout of each window from the means of its cells, (n, w, d)."""
    gray, square, red_green, yellow_blue, thin, broad = jnp.moveaxis(means_nwpc, 2, 0)
    mean = gray.mean(-1, keepdims=True)
    deviation = jnp.sqrt(jnp.maximum(square.mean(-1, keepdims=True) - mean**2, 0) + _NOISE**2)
    light = mean + _DARK
    parts = [(gray - mean) / deviation, red_green / light, yellow_blue / light, thin / deviation, broad / deviation]
    groups = [jnp.sort(part[..., jnp.asarray(group)], -1) for part in parts for group in (_CORNERS, _SIDES, _INNER)]
    return jnp.concatenate([*groups, jnp.log(deviation / light)], -1)


@jax.jit
def _local_contrast(gray_nhw: Array) -> Array:
    smooth = _both(_blur(_THIN), gray_nhw.astype(jnp.float32))
    detail = smooth - _both(_blur(_SURROUNDINGS), smooth)
    energy = _both(_blur(_NEAR), jnp.square(detail))
    contrast: Array = detail / jnp.sqrt(jnp.maximum(energy, 0) + _NOISE**2)
    return contrast


def _both(matrix: np.ndarray, x_nhw: Array) -> Array:
    """Apply a matrix along both axes of images."""
    return jnp.einsum("ih,nhw,jw->nij", matrix, x_nhw, matrix, precision="highest")


def _edges(gray_nhw: Array) -> Array:
    """Return the length of the gradient by central differences."""
    down, right = jnp.gradient(gray_nhw, axis=(1, 2))
    return jnp.hypot(down, right)


@cache
def _blur(deviation: float) -> np.ndarray:
    """Return the matrix of a Gaussian blur along one axis, mirrored at the borders, (SIDE, SIDE)."""
    from scipy.ndimage import gaussian_filter1d

    matrix: np.ndarray = gaussian_filter1d(np.eye(SIDE), deviation, axis=0, mode="reflect").astype(np.float32)
    return matrix


@cache
def cell_weights(start: float, stop: float, cells: int) -> Float32[np.ndarray, "k 64"]:
    """Return the weights of pixels in the means of cells along one axis, from `start` to `stop`, shares of the side."""
    edge = np.linspace(start, stop, cells + 1)[:, None] * SIDE
    pixel = np.arange(SIDE)
    covered = np.clip(np.minimum(edge[1:], pixel + 1) - np.maximum(edge[:-1], pixel), 0, None)
    matrix: np.ndarray = (covered / covered.sum(1, keepdims=True)).astype(np.float32)
    return matrix
