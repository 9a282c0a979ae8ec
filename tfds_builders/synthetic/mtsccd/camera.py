"""What the camera and the mosaic make of the ground: registration, blur, colour balance, haze and noise."""

import dataclasses
import math

import cv2
import numpy as np

from tfds_builders.synthetic.mtsccd.canvas import grain
from tfds_builders.synthetic.mtsccd.styles import Sky

_LUMA = np.array((0.299, 0.587, 0.114))
_REGISTRATION_M = 1.2  # standard deviation of the shift between the dates
_REGISTRATION_RAD = 0.006
_BLUR_FROM = 0.35  # pixels; less blur is not worth its time
# How far a tile is drawn to its mosaic's brightness, hue, contrast and colourfulness: 0 not at all, 1 all the way.
_LIGHT_PULL, _HUE_PULL, _CONTRAST_PULL, _CHROMA_PULL = 1.00, 0.68, 1.00, 0.90
_HUE_LIMIT = 34.0  # grey levels; more would turn grey roofs in a green tile purple
_CHROMA_GAIN = (0.4, 1.8)


@dataclasses.dataclass(frozen=True)
class Tone:
    """How one tile departs from the tone of its mosaic; every figure in standard deviations."""

    light: float
    tint: np.ndarray  # (3,)
    contrast: float
    chroma: float
    hue: float
    curve: float


def draw_tone(rng: np.random.Generator, shared: Tone | None = None) -> Tone:
    """Return a tile's tone; with `shared`, one that is correlated (0.5) with it, as two dates of a place are."""
    own = Tone(rng.normal(), rng.normal(size=3), rng.normal(), rng.normal(), rng.normal(), rng.normal())
    if shared is None:
        return own
    names = (field.name for field in dataclasses.fields(Tone))
    return Tone(*(math.sqrt(0.5) * (getattr(own, name) + getattr(shared, name)) for name in names))


def photograph(
    ground_hwc: np.ndarray, sky: Sky, tone: Tone, extent_m: float, image_size: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the uint8 RGB image (image_size, image_size, 3) of the ground under one city's sky of one date.

    `ground_hwc` is the drawn ground, uint8 RGB, at least as large; `rng` draws registration, haze and noise.
    """
    seen = _registered(ground_hwc, extent_m, image_size, rng)
    blur_px = 0.6 * sky.blur_m * image_size / extent_m
    if blur_px > _BLUR_FROM:
        seen = cv2.GaussianBlur(seen, (0, 0), blur_px)
    image = cv2.transform(seen.astype(np.float32), _balance(seen, sky, tone))
    coarse = rng.standard_normal((3, 3)).astype(np.float32)
    haze_hw = cv2.resize(coarse, (image_size, image_size), interpolation=cv2.INTER_CUBIC)
    haze_hw = np.clip(haze_hw * np.float32(0.35 * sky.haze) + np.float32(sky.haze + rng.normal(0, 0.05)), 0, 0.7)
    noise_hw = grain(rng, image_size) * np.float32(rng.uniform(1.5, 4.0))
    image *= cv2.merge((1 - haze_hw,) * 3)
    image += cv2.merge([haze_hw * np.float32(air) + noise_hw for air in sky.haze_rgb])
    curve = 255 * (np.arange(256) / 255) ** (sky.gamma * math.exp(0.16 * tone.curve))
    return cv2.LUT(np.clip(image, 0, 255).astype(np.uint8), np.rint(curve).astype(np.uint8))


def _registered(ground_hwc: np.ndarray, extent_m: float, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the ground at the image's size, shifted and turned by the registration error."""
    size = ground_hwc.shape[0]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), math.degrees(rng.normal(0, _REGISTRATION_RAD)), 1.0)
    matrix[:, 2] += rng.normal(0, _REGISTRATION_M, size=2) * size / extent_m
    moved = cv2.warpAffine(ground_hwc, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return moved if size == image_size else cv2.resize(moved, (image_size, image_size), interpolation=cv2.INTER_AREA)


def _balance(image_hwc: np.ndarray, sky: Sky, tone: Tone) -> np.ndarray:
    """Return the affine map of RGB (3, 4) that balances a tile with its mosaic.

    Providers tone their mosaics so that neighbouring tiles match: brightness, hue, contrast and colourfulness of every
    tile are drawn most of the way to those of the mosaic. What is left says little about the land use.
    """
    mean_3, spread_3 = (statistic[:, 0] for statistic in cv2.meanStdDev(cv2.cvtColor(image_hwc, cv2.COLOR_RGB2YCrCb)))
    contrast_gain = (sky.contrast * math.exp(0.25 * tone.contrast) / (spread_3[0] + 3.0)) ** _CONTRAST_PULL
    chroma = 9.0 * sky.saturation * math.exp(0.30 * tone.chroma)
    chroma_gain = float(np.clip((chroma / (np.hypot(*spread_3[1:]) + 1.5)) ** _CHROMA_PULL, *_CHROMA_GAIN))
    grey_33 = np.tile(_LUMA, (3, 1))
    colour_33 = (contrast_gain * grey_33 + chroma_gain * (np.eye(3) - grey_33)) @ _hue_turn(sky.hue_deg + 7 * tone.hue)

    mean_3 = np.array(cv2.mean(image_hwc)[:3])
    miss_3 = np.array(sky.mean_rgb) + 19 * tone.light + 6 * tone.tint - mean_3
    light_miss = float(miss_3 @ _LUMA)
    hue_shift_3 = _HUE_LIMIT * np.tanh(_HUE_PULL * (miss_3 - light_miss) / _HUE_LIMIT)
    centre_3 = mean_3 + _LIGHT_PULL * light_miss + hue_shift_3
    return np.column_stack((colour_33, centre_3 - colour_33 @ mean_3))


def _hue_turn(degrees: float) -> np.ndarray:
    """Return the 3 x 3 matrix that turns hues about the grey axis and keeps greys."""
    angle = math.radians(degrees)
    axis = 1 / math.sqrt(3)
    cross = np.array(((0, -axis, axis), (axis, 0, -axis), (-axis, axis, 0)))
    return math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) / 3
