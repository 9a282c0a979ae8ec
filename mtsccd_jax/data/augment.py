"""Random crops, flips, turns and colours on the device: pure functions of a key, a row number and an image.

The change of an example depends on the key and its row alone, not on its batch, its place there, or the layout of the
batch over devices. The two dates of a pair, given the same key and rows, change in the same way.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mtsccd_jax.recipes.config import Data


def augment(key: jax.Array, row_b: jax.Array, image_bhwc: jax.Array, data: Data) -> jax.Array:
    """Crop, flip, turn and recolour images at random; return float32 (b, h, w, c) in their own units.

    Args:
        key: The key of this step.
        row_b: Rows of the data set, int32; folded into the key for each example.
        image_bhwc: Images uint8, or stacked bands float32.
        data: `crop_padding` reflects that many pixels around the image and crops its own size again; `flip` mirrors
            left and right; `turn` makes 0 to 3 quarter turns; `color_jitter` j scales brightness and contrast each
            by a factor in [1 - j, 1 + j], contrast about the mean of the image.

    Raises:
        ValueError: Quarter turns of images that are not square, or a padding not smaller than the image.
    """
    _, height, width, _ = image_bhwc.shape
    padding = data.crop_padding
    if data.turn and height != width:
        raise ValueError(f"quarter turns need square images, got {width}x{height}; set data.turn=false")
    if not 0 <= padding < min(height, width):
        raise ValueError(f"crop_padding must be in [0, {min(height, width)}), got {padding}; lower data.crop_padding")

    word_b6 = jax.vmap(lambda row: jax.random.bits(jax.random.fold_in(key, row), (6,), jnp.uint32))(row_b)
    if padding:
        offset_b2 = (word_b6[:, :2] % (2 * padding + 1)).astype(jnp.int32)
        image_bhwc = _crop(image_bhwc, offset_b2, padding)
    flip_b = (word_b6[:, 2] & 1).astype(bool) if data.flip else jnp.zeros(len(row_b), bool)
    turns_b = word_b6[:, 3] & 3 if data.turn else jnp.zeros(len(row_b), jnp.uint32)
    if data.turn:
        image_bhwc = _where(turns_b & 1, image_bhwc.swapaxes(1, 2), image_bhwc)
        image_bhwc = _where((turns_b == 1) | (turns_b == 2), image_bhwc[:, ::-1], image_bhwc)
    if data.flip or data.turn:
        image_bhwc = _where((turns_b >= 2) ^ flip_b, image_bhwc[:, :, ::-1], image_bhwc)
    if data.color_jitter:
        unit_b2 = (word_b6[:, 4:] >> 8).astype(jnp.float32) / (1 << 24)
        factor_b2 = 1 + data.color_jitter * (2 * unit_b2 - 1)
        return _recolor(image_bhwc, factor_b2[:, 0], factor_b2[:, 1])
    return image_bhwc.astype(jnp.float32)


def _crop(image_bhwc: jax.Array, offset_b2: jax.Array, padding: int) -> jax.Array:
    """Crop windows of the images' own size at `offset_b2` (down, right) in the images with a reflected border."""
    around = (padding, padding)
    padded_bhwc = jnp.pad(image_bhwc, ((0, 0), around, around, (0, 0)), mode="reflect")

    def window(padded_hwc: jax.Array, offset_2: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(padded_hwc, (offset_2[0], offset_2[1], 0), image_bhwc.shape[1:])

    return jax.vmap(window)(padded_bhwc, offset_b2)


def _recolor(image_bhwc: jax.Array, brightness_b: jax.Array, contrast_b: jax.Array) -> jax.Array:
    """Scale brightness and contrast; return float32 clipped to [0, 255]."""
    # An integer sum has one value whatever the order of addition, so it cannot depend on the layout of the batch.
    # Unsigned 32 bits hold the sum of an image of up to 2,300 pixels a side.
    sum_b = jnp.sum(image_bhwc, axis=(1, 2, 3), dtype=jnp.uint32)
    mean_b = sum_b.astype(jnp.float32) / int(np.prod(image_bhwc.shape[1:]))
    scale_b = brightness_b * contrast_b
    shift_b = brightness_b * mean_b - scale_b * mean_b
    return jnp.clip(_column(scale_b) * image_bhwc.astype(jnp.float32) + _column(shift_b), 0, 255)


def _where(choose_b: jax.Array, then_bhwc: jax.Array, else_bhwc: jax.Array) -> jax.Array:
    return jnp.where(_column(choose_b.astype(bool)), then_bhwc, else_bhwc)


def _column(value_b: jax.Array) -> jax.Array:
    """Reshape per-example values to broadcast over height, width and channels."""
    return value_b[:, None, None, None]
