"""Decode images to 8-bit RGB at the recipe's size, on the host."""

import functools

import cv2
import numpy as np

from mtsccd_jax.data.buffer_pool import BATCHES
from mtsccd_jax.errors import InputError

try:
    import simplejpeg
except ImportError:  # Pillow gives the same pixels, only slower
    simplejpeg = None

# Area averaging, antialiased when shrinking: the only filter between a file and the size of the network input.
RESIZE_FILTER = cv2.INTER_AREA

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"})

_JPEG_START = b"\xff\xd8\xff"
_LARGE = 1 << 26  # values
_SIMPLE_COLOURS = ("Gray", "YCbCr", "RGB")

# Orientation tags are ignored, as in PIL and TensorFlow: the pixels stay as the file has them.
_AS_STORED = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


@functools.cache
def _quiet_single_threaded() -> None:
    """Keep OpenCV in the calling thread (each batch has its own thread), and its messages off standard error."""
    cv2.setNumThreads(0)
    # OpenCV 5 moved the function; 0 is silent in both.
    silence = cv2.utils.logging.setLogLevel if hasattr(cv2.utils, "logging") else cv2.setLogLevel  # type: ignore
    silence(0)


def decode_rgb(encoded: bytes, where: str) -> np.ndarray:
    """Decode an image to uint8 (height, width, 3), red first, by the rule of `tfds_builders.reading.images`.

    Pixels equal those of PIL and of `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")` bit for bit.

    Args:
        encoded: The bytes of a JPEG, PNG, BMP, TIFF or WebP file.
        where: The name of the image in errors: a path or a record.

    Raises:
        InputError: The bytes are empty, not an image, cut off, or hold other than 8-bit values.
    """
    _quiet_single_threaded()
    shape = _jpeg_shape(encoded)
    if shape is not None:
        image_hwc = np.empty(shape, np.uint8)
        if _decode_jpeg_into(encoded, image_hwc):
            return image_hwc
    return _decode_by_header(encoded, where)


def _decode_by_header(encoded: bytes, where: str) -> np.ndarray:
    """Decode any image but a plain JPEG, after a look at its header."""
    from tfds_builders.reading.image_headers import UnsupportedImage
    from tfds_builders.reading.images import decode_image, has_plain_pixels

    try:
        image_hwc = _opencv(encoded) if has_plain_pixels(encoded) else None
        return decode_image(encoded) if image_hwc is None else image_hwc
    except UnsupportedImage as error:
        raise InputError(f"{where} holds {error}; {error.advice}") from error
    except ValueError as error:
        raise InputError(f"{where} is {error}; replace or remove it") from error


def _opencv(encoded: bytes) -> np.ndarray | None:
    """Return the image that OpenCV decodes, faster than Pillow, or None where it meets anything unexpected."""
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), _AS_STORED)
    except cv2.error:
        return None
    if image is None or image.dtype != np.uint8:
        return None
    to_rgb = _TO_RGB.get(1 if image.ndim == 2 else image.shape[2])
    return None if to_rgb is None else cv2.cvtColor(image, to_rgb)


class ImageBatch:
    """Images decoded one after the other into one uint8 array (batch, height, width, 3).

    Args:
        image_size: Side in pixels that images of another size are resized to. With None all images must have the size
            of the first.
    """

    def __init__(self, batch: int, image_size: int | None):
        _quiet_single_threaded()
        self._image_size = image_size
        self._first = ""
        self._scratch_hwc: np.ndarray | None = None
        self._float_hwc: np.ndarray | None = None
        self.image_bhwc = BATCHES.empty((batch, image_size or 0, image_size or 0, 3), np.uint8)

    def decode(self, position: int, encoded: bytes, where: str) -> None:
        """Decode an image into `image_bhwc[position]`.

        Raises:
            InputError: It cannot be decoded, or its size is not that of the first image and `image_size` is None.
        """
        shape = _jpeg_shape(encoded)
        if shape is None:
            self._place(position, _decode_by_header(encoded, where), where)
            return
        if self._image_size is None and not self._first:
            self._start(shape, where)
        if shape == self.image_bhwc.shape[1:]:
            if not _decode_jpeg_into(encoded, self.image_bhwc[position]):
                self.image_bhwc[position] = _decode_by_header(encoded, where)
            return
        if self._scratch_hwc is None or self._scratch_hwc.shape != shape:
            self._scratch_hwc = np.empty(shape, np.uint8)
        decoded = _decode_jpeg_into(encoded, self._scratch_hwc)
        self._place(position, self._scratch_hwc if decoded else _decode_by_header(encoded, where), where)

    def _start(self, shape: tuple[int, ...], where: str) -> None:
        """Let the first image set the size of all where `image_size` is None."""
        self.image_bhwc = BATCHES.empty((len(self.image_bhwc), *shape), np.uint8)
        self._first = where

    def _place(self, position: int, image_hwc: np.ndarray, where: str) -> None:
        """Copy or resize a decoded image into its place."""
        if self._image_size is None and not self._first:
            self._start(image_hwc.shape, where)
        if image_hwc.shape == self.image_bhwc.shape[1:]:
            self.image_bhwc[position] = image_hwc
        elif self._image_size is not None:
            self._resize(image_hwc, self.image_bhwc[position])
        else:
            height, width = self.image_bhwc.shape[1:3]
            raise InputError(
                f"{where} is {image_hwc.shape[1]}x{image_hwc.shape[0]} pixels, but {self._first} is {width}x{height}; "
                "set data.image_size to resize them"
            )

    def _resize(self, image_hwc: np.ndarray, resized_hwc: np.ndarray) -> None:
        """Resize an image into `resized_hwc`.

        In float32 this takes three quarters of the time of OpenCV's 8-bit path, and rounds to the same values. A large
        image is not copied, four times as large, for that.
        """
        size = resized_hwc.shape[1], resized_hwc.shape[0]
        if image_hwc.size > _LARGE:
            np.copyto(resized_hwc, cv2.resize(image_hwc, size, interpolation=RESIZE_FILTER))
            return
        if self._float_hwc is None or self._float_hwc.shape != image_hwc.shape:
            self._float_hwc = np.empty(image_hwc.shape, np.float32)
        np.copyto(self._float_hwc, image_hwc)
        cv2.convertScaleAbs(cv2.resize(self._float_hwc, size, interpolation=RESIZE_FILTER), dst=resized_hwc)


def _jpeg_shape(encoded: bytes) -> tuple[int, int, int] | None:
    """Return the shape of a JPEG that `_decode_jpeg_into` can decode, or None for anything else."""
    if simplejpeg is None or not encoded.startswith(_JPEG_START):
        return None
    from tfds_builders.reading.limits import has_too_many_scans, most_pixels

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(encoded)
        pixels = height * width
        simple = colours in _SIMPLE_COLOURS and pixels <= most_pixels(len(encoded))
        simple = simple and not has_too_many_scans(encoded, pixels)
    except (ValueError, KeyError):  # KeyError: colours subsampled in a way that it does not know
        return None
    return (height, width, 3) if simple else None


def _decode_jpeg_into(encoded: bytes, image_hwc: np.ndarray) -> bool:
    """Decode a JPEG in place, a fifth faster than decoding and copying; return whether it succeeded.

    False where libjpeg reports any problem: the header and Pillow then decide whether the image is usable.
    """
    try:
        simplejpeg.decode_jpeg(encoded, colorspace="RGB", buffer=image_hwc)
    except ValueError:
        return False
    return True
