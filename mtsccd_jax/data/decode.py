"""Decode images to 8-bit RGB at the recipe's size, on the host."""

import functools

import cv2
import numpy as np

from mtsccd_jax.data.buffer_pool import BATCHES
from mtsccd_jax.errors import InputError

try:
    import simplejpeg
except ImportError:  # OpenCV gives the same pixels, only slower
    simplejpeg = None

# Area averaging, antialiased when shrinking: the only filter between a file and the size of the network input.
RESIZE_FILTER = cv2.INTER_AREA

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"})

_JPEG_START = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_MAX_PIXELS = 1 << 30  # the limit of OpenCV: larger headers are damaged

# Orientation tags are ignored, as in PIL and TensorFlow: the pixels stay as the file has them.
_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
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
    """Decode an image to uint8 (height, width, 3), red first.

    Grey images get three equal channels, an alpha channel is dropped, palettes are expanded. Pixels equal those of PIL
    and of `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")` bit for bit.

    Args:
        encoded: The bytes of a JPEG, PNG, BMP, TIFF or WebP file.
        where: The name of the image in errors: a path or a record.

    Raises:
        InputError: The bytes are empty, not an image, cut off, or hold other than 8-bit values.
    """
    _quiet_single_threaded()
    if not encoded:
        raise InputError(f"{where} is empty; replace or remove it")
    if encoded.startswith(_JPEG_START):
        # Decoders may fill a missing part with grey instead of failing, so the end marker must be present.
        from tfds_builders.reading.jpeg_data import has_hole

        whole = encoded.rfind(_JPEG_END) >= 0 and not has_hole(encoded)
        image = _opencv(encoded, _RGB) if whole else None
        if image is None:
            raise InputError(f"{where} is a damaged or truncated JPEG; replace or remove it")
        return image
    image = _opencv(encoded, _AS_STORED)
    if image is None:
        raise InputError(f"{where} is damaged or not an image; replace or remove it")
    if image.dtype != np.uint8:
        raise InputError(f"{where} holds {image.dtype} values; convert it to 8 bits a channel")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels not in _TO_RGB:
        raise InputError(f"{where} has {channels} channels; an image has 1 (grey), 3 (RGB) or 4 (RGB and alpha)")
    return cv2.cvtColor(image, _TO_RGB[channels])


def _opencv(encoded: bytes, flags: int) -> np.ndarray | None:
    """Return the image that OpenCV decodes, or None."""
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:  # the header has more pixels than the limit of OpenCV
        return None


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
            self._place(position, decode_rgb(encoded, where), where)
            return
        if self._image_size is None and not self._first:
            self._start(shape, where)
        if shape == self.image_bhwc.shape[1:]:
            if not _decode_jpeg_into(encoded, self.image_bhwc[position]):
                self.image_bhwc[position] = decode_rgb(encoded, where)
            return
        if self._scratch_hwc is None or self._scratch_hwc.shape != shape:
            self._scratch_hwc = np.empty(shape, np.uint8)
        decoded = _decode_jpeg_into(encoded, self._scratch_hwc)
        self._place(position, self._scratch_hwc if decoded else decode_rgb(encoded, where), where)

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

        In float32 this takes three quarters of the time of OpenCV's 8-bit path, and rounds to the same values.
        """
        if self._float_hwc is None or self._float_hwc.shape != image_hwc.shape:
            self._float_hwc = np.empty(image_hwc.shape, np.float32)
        np.copyto(self._float_hwc, image_hwc)
        size = resized_hwc.shape[1], resized_hwc.shape[0]
        cv2.convertScaleAbs(cv2.resize(self._float_hwc, size, interpolation=RESIZE_FILTER), dst=resized_hwc)


def _jpeg_shape(encoded: bytes) -> tuple[int, int, int] | None:
    """Return the shape of a JPEG that `_decode_jpeg_into` can decode, or None for anything else."""
    if simplejpeg is None or not encoded.startswith(_JPEG_START):
        return None
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(encoded)
    except ValueError:
        return None
    return None if height * width > _MAX_PIXELS else (height, width, 3)


def _decode_jpeg_into(encoded: bytes, image_hwc: np.ndarray) -> bool:
    """Decode a JPEG in place, a fifth faster than decoding and copying; return whether it succeeded.

    False where libjpeg reports any problem: OpenCV then decides whether the image is usable.
    """
    try:
        simplejpeg.decode_jpeg(encoded, colorspace="RGB", buffer=image_hwc)
    except ValueError:
        return False
    return True
