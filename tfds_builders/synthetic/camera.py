"""What the camera and the mosaic make of the ground: registration, illumination, colour balance, haze, blur and noise."""

import math

import cv2
import numpy as np

from tfds_builders.synthetic.canvas import grain
from tfds_builders.synthetic.styles import Sky

_LUMA = np.array((0.299, 0.587, 0.114))
_REGISTRATION_M = 1.2  # standard deviation of the shift between the dates
_REGISTRATION_RAD = 0.006
_LIGHT_PULL, _HUE_PULL, _CONTRAST_PULL = 0.9, 0.72, 0.88  # how far a tile is drawn to the mean and contrast of its mosaic


def _hue_matrix(degrees: float, saturation: float) -> np.ndarray:
    """Returns the 3 x 3 matrix that turns hues about the grey axis and scales saturation, keeping greys."""
    angle = math.radians(degrees)
    axis = 1 / math.sqrt(3)
    cross = np.array(((0, -axis, axis), (axis, 0, -axis), (-axis, axis, 0)))
    turn = math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) / 3
    grey = np.tile(_LUMA, (3, 1))
    return ((1 - saturation) * grey + saturation * np.eye(3)) @ turn


def photograph(
    ground_hwc: np.ndarray, sky: Sky, extent_m: float, image_size: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns the uint8 RGB image (image_size, image_size, 3) of the ground under one city's sky of one date.

    `ground_hwc` is the drawn ground, uint8 RGB, at least as large. All that differs from tile to tile comes from `rng`.
    """
    size = ground_hwc.shape[0]
    shift = rng.normal(0, _REGISTRATION_M, size=2) * size / extent_m
    turn = rng.normal(0, _REGISTRATION_RAD)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), math.degrees(turn), 1.0)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(ground_hwc, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    if size != image_size:
        moved = cv2.resize(moved, (image_size, image_size), interpolation=cv2.INTER_AREA)
    blur_px = sky.blur_m * image_size / extent_m * 0.8
    if blur_px > 0.35:
        moved = cv2.GaussianBlur(moved, (0, 0), blur_px)

    # Colour balance is one affine map of RGB: hue and saturation, then the contrast of greys, then the mean.
    colour_33 = _hue_matrix(sky.hue_deg + rng.normal(0, 8), sky.saturation * rng.uniform(0.7, 1.25))
    mean_3 = colour_33 @ np.array(cv2.mean(moved)[:3])
    spread = cv2.meanStdDev(cv2.cvtColor(moved, cv2.COLOR_RGB2GRAY))[1].item() + 4.0
    gain = (sky.contrast * math.exp(rng.normal(0, 0.26)) / spread) ** _CONTRAST_PULL
    miss_3 = np.array(sky.mean_rgb) + rng.normal(0, 20) + rng.normal(0, 7, size=3) - mean_3
    light_miss = float(miss_3 @ _LUMA)
    centre_3 = mean_3 + _LIGHT_PULL * light_miss + _HUE_PULL * (miss_3 - light_miss)
    grey_33 = np.tile(_LUMA, (3, 1))
    colour_33 = (gain * grey_33 + min(gain, 1.0) ** 0.5 * (np.eye(3) - grey_33)) @ colour_33
    offset_3 = centre_3 - colour_33 @ np.array(cv2.mean(moved)[:3])
    image = cv2.transform(moved.astype(np.float32), np.column_stack((colour_33, offset_3)))

    coarse = rng.standard_normal((3, 3)).astype(np.float32)
    haze_hw = cv2.resize(coarse, (image_size, image_size), interpolation=cv2.INTER_CUBIC)
    haze_hw = np.clip(haze_hw * np.float32(0.35 * sky.haze) + np.float32(sky.haze + rng.normal(0, 0.05)), 0, 0.7)
    noise_hw = grain(rng, image_size) * np.float32(rng.uniform(1.5, 4.0))
    image *= cv2.merge((1 - haze_hw,) * 3)
    image += cv2.merge([haze_hw * np.float32(air) + noise_hw for air in sky.haze_rgb])
    tone = 255 * (np.arange(256) / 255) ** sky.gamma
    return cv2.LUT(np.clip(image, 0, 255).astype(np.uint8), np.rint(tone).astype(np.uint8))
