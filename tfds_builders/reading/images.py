"""Decode images to 8-bit RGB by one rule, and load them as the builders store them.

The rule: the header says first what a file holds; what is not 8-bit grey, RGB, CMYK or a palette, with or without an
alpha channel, is refused by what it is. Grey gets three equal channels, a palette its colours; alpha and further
channels are dropped, never multiplied in: three bands are red, green and blue as they are stored. Of JPEG, PNG, BMP
and WebP the pixels are Pillow's `convert("RGB")`, of TIFF the samples as they are stored.
"""

import io
from typing import Any

import numpy as np

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import is_of_the_machine, read_file
from tfds_builders.reading.image_headers import JPEG_START, ImageHeader, UnsupportedImage, read_header
from tfds_builders.reading.tiff import (
    MINISBLACK,
    MINISWHITE,
    PALETTE,
    RGB,
    SEPARATED,
    STARTS,
    YCBCR,
    TiffImage,
    read_tiff_header,
)
from tfds_builders.reading.tiff_samples import COMPRESSION_JPEG, read_samples

_ALPHA = (1, 2)  # associated, unassociated
# The bands of each photometric interpretation; further ones are left out.
_COLOUR_BANDS = {MINISWHITE: 1, MINISBLACK: 1, RGB: 3, PALETTE: 1, SEPARATED: 4, YCBCR: 3}
_MOST_BANDS = 4


def decode_image(data: bytes) -> np.ndarray:
    """Return the pixels of an image as uint8 (height, width, 3), red first.

    Raises:
        UnsupportedImage: the file is sound, but no 8-bit image; the message says what it is.
        ValueError: the file is empty, cut off or damaged.
    """
    if data.startswith(STARTS):
        try:
            return _tiff_rgb(data)
        except UnsupportedImage:
            raise
        except ValueError as error:
            raise ValueError(f"a {error}") from error
    return _pillow_rgb(data, read_header(data))


def has_plain_pixels(data: bytes) -> bool:
    """Return whether any decoder of PNG, BMP or WebP gives the pixels of `decode_image`; raise its errors likewise."""
    if data.startswith((JPEG_START, *STARTS)):
        return False
    header = read_header(data)
    return header.plain


def load_image(path: str, shown_path: str, expected_size: tuple[int, int]) -> bytes:
    """Return the image at `path` as bytes that every decoder gives three channels, and the same pixels.

    These are a JPEG of three components and an 8-bit RGB PNG without transparency, which are not decoded: the header
    must be sound and the end marker be there. All else becomes such a PNG, with the pixels of `decode_image`. The size
    (width, height) must be `expected_size`. `shown_path` is what errors call the file; `path` may be a copy out of a
    packed archive.
    """
    size, data = _load(path, shown_path)
    if size != expected_size:
        wide, high = expected_size
        raise ArchiveError(f"{shown_path}: size {size[0]}x{size[1]}, unlike the other images ({wide}x{high})")
    return data


def load_image_size(path: str, shown_path: str) -> tuple[int, int]:
    """Return (width, height) of the image at `path`, checked as `load_image` does."""
    return _load(path, shown_path)[0]


def _load(path: str, shown_path: str) -> tuple[tuple[int, int], bytes]:
    try:
        return _stored(read_file(path))
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise ArchiveError(f"{shown_path}: cannot be read ({error.strerror})") from error
    except UnsupportedImage as error:
        raise ArchiveError(f"{shown_path}: {error}; {error.advice}") from error
    except ValueError as error:
        raise ArchiveError(f"{shown_path}: {error}") from error


def _stored(data: bytes) -> tuple[tuple[int, int], bytes]:
    """Return the size of an image and the bytes to store."""
    from PIL import Image

    if not data.startswith(STARTS):
        header = read_header(data)
        if header.form in ("JPEG", "PNG") and header.colours == "RGB" and header.plain:
            return (header.width, header.height), data
    image_hwc = decode_image(data)
    out = io.BytesIO()
    Image.fromarray(image_hwc).save(out, "PNG")
    return (image_hwc.shape[1], image_hwc.shape[0]), out.getvalue()


def _pillow_rgb(data: bytes, header: ImageHeader) -> np.ndarray:
    """Return the pixels that Pillow decodes from a file with that header."""
    try:
        with _pillow_plugin(header.form)(io.BytesIO(data)) as image:
            if image.size != (header.width, header.height):
                raise ValueError(f"size {image.size} unlike its header's")
            return np.asarray(image.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # whatever the step that met the damage raises
        raise ValueError(f"a damaged or truncated {header.form} ({error})") from error


def _pillow_plugin(form: str) -> Any:
    """Return Pillow's class for a format; unlike `Image.open` it makes no guess of its own."""
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    return {
        "BMP": BmpImagePlugin.BmpImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
    }[form]


def _tiff_rgb(data: bytes) -> np.ndarray:
    """Return the pixels of a TIFF file."""
    image = read_tiff_header(data)
    _refuse_unless_8_bit_image(image)
    sample_hwc = read_samples(data, image)
    if image.photometric == PALETTE:
        colour_k3 = np.array(image.colour_map, np.uint16).reshape(3, -1).T
        if colour_k3.max() > 255:  # some writers leave 8 bits in the 16 of a colour, as libtiff knows
            colour_k3 >>= 8
        return np.take(colour_k3.astype(np.uint8), sample_hwc[..., 0], axis=0)
    if image.photometric == SEPARATED:
        from PIL import Image

        return np.asarray(Image.fromarray(np.ascontiguousarray(sample_hwc[..., :4]), "CMYK").convert("RGB"))
    if image.samples >= 3:
        return np.ascontiguousarray(sample_hwc[..., :3])
    grey_hw1 = sample_hwc[..., :1] * np.uint8(255 // (2**image.bits - 1))
    return np.repeat(255 - grey_hw1 if image.photometric == MINISWHITE else grey_hw1, 3, axis=2)


def _refuse_unless_8_bit_image(image: TiffImage) -> None:
    """Raise UnsupportedImage with what the file holds unless its samples are those of one 8-bit image."""
    if image.images > 1:
        raise UnsupportedImage(f"{image.images} images in one TIFF file")
    if image.dtype != np.uint8 or (image.bits < 8 and image.samples > 1):
        raise UnsupportedImage(f"{image.bands}")
    colour_bands = _COLOUR_BANDS.get(image.photometric)
    if colour_bands is None:
        raise UnsupportedImage(f"a TIFF of {image.colours}")
    if image.photometric == YCBCR and not (image.compression == COMPRESSION_JPEG and image.interleaved):
        raise UnsupportedImage("a TIFF of YCbCr without JPEG compression")
    if image.photometric == PALETTE and len(image.colour_map) != 3 * 2**image.bits:
        raise ValueError(f"broken TIFF (a palette of {len(image.colour_map)} values)")
    if image.photometric == MINISBLACK and image.samples in (3, 4):
        colour_bands = 3  # as many writers leave red, green and blue, untagged
    more = image.samples - colour_bands
    alpha = more == 1 and image.extra_samples[-1:] in [(kind,) for kind in _ALPHA]
    if more < 0 or (more and not alpha and (colour_bands < 3 or image.samples > _MOST_BANDS)):
        raise UnsupportedImage(f"{image.bands}; an image has 1 (grey), 3 (RGB) or 4 (RGB and another)")
