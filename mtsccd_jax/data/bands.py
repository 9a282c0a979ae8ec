"""Network input from a stored example: its image, or its bands, resampled to one size and stacked.

Bands stay as they are stored until they are on the device. There each band is resampled to the image size, and all
bands are stacked and normalised by the statistics of their archive.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from mtsccd_jax.data.data_set_name import parse
from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.recipes.config import Data

if TYPE_CHECKING:
    from mtsccd_jax.data.sources import Source

# Natural colours, red first, and radar.
RGB, RADAR = ("B04", "B03", "B02"), ("VV", "VH")
# Coefficient of Keys' cubic convolution (IEEE Trans. ASSP 29(6), 1981), the value of torch and OpenCV.
_CUBIC = -0.75
# No band has larger values, reflectance x 10,000 and backscatter in dB among them.
_LARGEST = 1e6


def known_bands() -> ModuleType:
    """Return the builders' tables of bands, channel sets and statistics, imported only where a recipe names bands.

    The builders write the metadata of a data set from the same tables. The engine needs them before a data set is open,
    and for trained networks whose data set has moved.
    """
    from tfds_builders import bands

    return bands


def band_names(data: Data) -> tuple[str, ...]:
    """Return the bands that a network sees, in the order of its channels; empty where it sees images.

    Raises:
        InputError: A name is given twice, or is neither a band nor a set of channels.
    """
    if not data.bands:
        return ()
    known, sets = known_bands().BANDS, known_bands().CHANNEL_SETS
    if len(data.bands) == 1 and data.bands[0] in sets:
        names: tuple[str, ...] = sets[data.bands[0]]
        return names
    for name in data.bands:
        if name not in known:
            raise InputError(
                f"data.bands: no band '{name}'.{nearest(name, (*known, *sets))} There are {', '.join(known)}, and "
                f"alone one of the sets {', '.join(sets)}"
            )
    if len(set(data.bands)) < len(data.bands):
        raise InputError(f"data.bands={','.join(data.bands)}: give each band once")
    return data.bands


def channels(data: Data) -> int:
    """Return the number of channels of a network's images."""
    return len(band_names(data)) or 3


def statistics(data: Data) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of every channel, in [0, 1] units for images or in the units of bands.

    Empty `data.mean` and `data.std` stand for the published statistics of the data set's bands.

    Raises:
        InputError: Their number is not that of the channels, they are empty and the data set publishes none, they are
            not positive, or they are those of images where the network sees bands.
    """
    names, expected = band_names(data), channels(data)
    if names and not data.mean and not data.std:
        tables = known_bands().STATISTICS
        known = tables.get(parse(data.dataset).name if data.dataset else "")
        if known is None:
            raise InputError(
                f"data.mean and data.std are empty, and the bands' statistics are known of {', '.join(tables)} alone; "
                f"give {expected} values of each"
            )
        return tuple(known[name].mean for name in names), tuple(known[name].std for name in names)
    hint = "; leave data.mean= and data.std= empty for those of the archive" if names else ""
    for key, values in (("mean", data.mean), ("std", data.std)):
        if len(values) != expected:
            raise InputError(f"data.{key} has {len(values)} values for {expected} channels{hint}")
    if names and (data.mean, data.std) == (Data.mean, Data.std):
        raise InputError(f"data.mean and data.std are those of images in [0, 1], and not in the units of bands{hint}")
    if not all(value > 0 for value in data.std):
        raise InputError(f"data.std={','.join(map(str, data.std))}: must be positive")
    return data.mean, data.std


def images_of(batch: Mapping[str, jax.Array], data: Data) -> dict[str, jax.Array]:
    """Return the images of a batch by name, (b, h, w, c): as stored, or made of bands, float32 in their units."""
    if data.bands:
        return {"image": stack_bands(batch, data)}
    return {name: array for name, array in batch.items() if array.ndim == 4}


def seen(batch: Mapping[str, jax.Array], data: Data) -> jax.Array:
    """Return the network input of each example outside training: its normalised image, (b, h, w, c) float32."""
    return normalize(stack_bands(batch, data) if data.bands else batch["image"], data)


def normalize(image_bhwc: jax.Array, data: Data) -> jax.Array:
    """Normalise images for a network: (image - mean) / std of each channel, float32.

    `image_bhwc` is in [0, 255], uint8 or float, and divided by 255 first; or it is in the units of the bands.
    """
    mean, std = statistics(data)
    unit = 1 if data.bands else 255
    offset_c = np.asarray(mean, np.float32) * np.float32(unit)
    scale_c = np.float32(1 / unit) / np.asarray(std, np.float32)
    return (image_bhwc.astype(jnp.float32) - offset_c) * scale_c


def stack_bands(batch: Mapping[str, jax.Array], data: Data) -> jax.Array:
    """Stack the bands of the recipe, in its order, as one image (b, size, size, c) float32 in their units."""
    size = data.image_size
    return jnp.stack([resample(batch[name], size, data.resample) for name in band_names(data)], axis=-1)


def check_finite(band_hw: np.ndarray, where: str, remedy: str) -> None:
    """Raise InputError, from `where` to `remedy`, where a band has pixels that are NaN or infinite."""
    if band_hw.dtype.kind == "f" and not np.isfinite(band_hw).all():
        raise InputError(f"{where}: {known_bands().not_finite(band_hw)}; {remedy}")


def unusable_band(source: "Source", row_b: np.ndarray) -> str:
    """Return which band of some rows no network can see, and its worst value; "" where there is none.

    That is NaN, an infinity, or a fill value such as -3.4e38, which becomes one of them in the network.
    """
    try:
        batch = source.read(row_b)
    except InputError as error:
        return str(error)
    for field in source.band_fields:
        for at, row in enumerate(row_b.tolist()):
            pixels = batch[field][at].astype(np.float64).ravel()
            worst = pixels[np.where(np.isnan(pixels), np.inf, np.abs(pixels)).argmax()]
            if not abs(worst) <= _LARGEST:
                patch = f" (patch {batch['patch_id'][at]})" if "patch_id" in batch else ""
                return f"{field} of row {row}{patch} of {source.name}, split {source.split}, holds {worst:g}"
    return ""


def picture_bands(known: Sequence[str]) -> tuple[str, ...]:
    """Return the bands that make a picture for people: natural colours if `known` has them, else radar, else one."""
    for names in (RGB, RADAR):
        if set(names) <= set(known):
            return names
    return tuple(known[:1])


def picture(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """Render bands of one size, each (n, h, w), for people: (n, h, w, 3) uint8, red first.

    Natural colours map reflectance 0 to 0.2 to the full range. Radar shows VV, VH and VV - VH, from -25 to 0, -30 to -5
    and 0 to 15 dB. Any other single band is grey, from its lowest to its highest value.
    """
    if set(RGB) <= set(bands):
        layers = [bands[name] / np.float32(2000) for name in RGB]
    elif set(RADAR) <= set(bands):
        vv, vh = (bands[name] for name in RADAR)
        layers = [(vv + 25) / 25, (vh + 30) / 25, (vv - vh) / 15]
    else:
        (band,) = bands.values()
        band = band.astype(np.float32)
        low, high = band.min(), band.max()
        layers = [(band - low) / max(high - low, np.finfo(np.float32).tiny)] * 3
    return (np.clip(np.stack(layers, -1), 0, 1) * 255).round().astype(np.uint8)


def resample(band_bhw: jax.Array, size: int, method: str) -> jax.Array:
    """Resample a band to `size` pixels a side, (b, size, size) float32; a band of this size keeps its values.

    Pixels are areas, so that the borders of the old and the new image coincide; values beyond the border repeat the
    last pixel. This equals torch's `interpolate` without antialiasing and aligned corners, and OpenCV's `resize`.
    """
    _, height, width = band_bhw.shape
    band_bhw = band_bhw.astype(jnp.float32)
    if (height, width) == (size, size):
        return band_bhw
    if method == "nearest":
        rows, columns = (np.arange(size) * length // size for length in (height, width))
        return band_bhw[:, rows][:, :, columns]
    # A product with a small matrix on each side suits accelerators, and serves every method.
    product = jax.lax.Precision.HIGHEST
    rows_ph, columns_pw = (interpolation_matrix(length, size, method) for length in (height, width))
    return jnp.einsum("ph,bhw,qw->bpq", rows_ph, band_bhw, columns_pw, precision=product)


def interpolation_matrix(length: int, size: int, method: str) -> np.ndarray:
    """Return the weights (size, length) float32 of `length` old pixels in `size` new ones; rows sum to 1."""
    position = (np.arange(size) + 0.5) * length / size - 0.5
    first = np.floor(position).astype(np.int64)
    matrix = np.zeros((size, length))
    for offset in (0, 1) if method == "bilinear" else (-1, 0, 1, 2):
        distance = np.abs(position - first - offset)
        weight = 1 - distance if method == "bilinear" else _cubic(distance)
        np.add.at(matrix, (np.arange(size), np.clip(first + offset, 0, length - 1)), weight)
    return matrix.astype(np.float32)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Return Keys' kernel at distances below two pixels."""
    near = (_CUBIC + 2) * x**3 - (_CUBIC + 3) * x**2 + 1
    far = _CUBIC * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, far)
