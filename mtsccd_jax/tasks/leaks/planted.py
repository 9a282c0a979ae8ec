"""Planted copies: what people do to images, done to some of the audited ones, to calibrate and measure the search."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from mtsccd_jax.ops.hashes import layout, perceptual

Image = np.ndarray  # (h, w, 3) uint8
Plant = Callable[[Image, np.random.Generator], Image]


def turn(image: Image, generator: np.random.Generator) -> Image:
    """Turn or flip an image in one of the seven ways that change it."""
    return perceptual.turned(image, int(generator.integers(1, perceptual.ORIENTATIONS)))


def crop(image: Image, generator: np.random.Generator) -> Image:
    """Cut out a window with 80 % of the sides, anywhere."""
    height, width = image.shape[:2]
    rows, columns = round(height * layout.CROP), round(width * layout.CROP)
    top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
    return np.ascontiguousarray(image[top : top + rows, left : left + columns])


def brightness(image: Image, generator: np.random.Generator) -> Image:
    """Make an image 20 % brighter or darker; what is too bright is clipped."""
    factor = generator.choice([0.8, 1.2])
    changed: Image = np.clip(image * factor, 0, 255).round().astype(np.uint8)
    return changed


def jpeg(image: Image, generator: np.random.Generator, quality: int = 50) -> Image:
    """Encode an image as JPEG of quality 50, and decode it."""
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])


def half(image: Image, generator: np.random.Generator) -> Image:
    """Shrink an image to half its sides."""
    height, width = (max(1, length // 2) for length in image.shape[:2])
    shrunk: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return shrunk


def everything(image: Image, generator: np.random.Generator) -> Image:
    """Crop, turn, brighten or darken an image, and encode it as JPEG of quality 75."""
    return jpeg(brightness(turn(crop(image, generator), generator), generator), generator, 75)


KINDS: Mapping[str, Plant] = {
    "turn or flip": turn,
    "crop of 80 %": crop,
    "brightness": brightness,
    "JPEG 50": jpeg,
    "half size": half,
    "all together": everything,
}
