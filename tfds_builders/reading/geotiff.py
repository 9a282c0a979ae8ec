"""Read single-band TIFF files, with little work where nothing is compressed.

The bands of both BigEarthNet archives are little-endian, uncompressed, one image a file. Such a file takes one read and
two look-ups, some 20 us. Everything else (the compressed reference maps, say) takes the way of all TIFF files.
"""

import functools
import os
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import is_of_the_machine, raise_named, read_open
from tfds_builders.reading.image_headers import UnsupportedImage
from tfds_builders.reading.tiff import read_tiff_header
from tfds_builders.reading.tiff_samples import read_samples

_LITTLE_ENDIAN = b"II*\0"
_WIDTH, _HEIGHT, _BITS, _COMPRESSION = 256, 257, 258, 259
_FILL_ORDER, _STRIP_OFFSETS, _SAMPLES, _STRIP_BYTES, _PREDICTOR, _SAMPLE_FORMAT = 266, 273, 277, 279, 317, 339
_UNCOMPRESSED = 1
# TIFF's types SHORT and LONG.
_SHORT, _LONG = 3, 4
_FORMAT_OF_TYPE = {_SHORT: "H", _LONG: "I"}
_BYTES_OF_TYPE = {_SHORT: 2, _LONG: 4}
_KIND_OF_SAMPLE_FORMAT = {1: "u", 2: "i", 3: "f"}


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layout of an uncompressed image, from its image file directory."""

    shape: tuple[int, int]
    dtype: np.dtype
    strips: int
    offset: int  # of the pixels, or else of the table of the strips' offsets
    offsets_format: str
    lengths: int  # of the pixels in bytes, or else the offset of the table of the strips' lengths
    lengths_format: str


def read_tiff(
    path: str | os.PathLike[str],
    *,
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    shown_path: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """Return the pixels (height, width) of the single-band TIFF file at `path`; the array is read-only.

    Args:
        path: the file.
        shape: (height, width) that the image must have.
        dtype: type that the pixels must have; nothing is converted.
        shown_path: what errors call the file, where `path` is a copy out of a packed archive.

    Strips and tiles that are not in the file (sparse files of GDAL) are nodata, or else 0.

    Raises:
        ArchiveError: the file cannot be read, or is not one band of this size and type.
    """
    shown = path if shown_path is None else shown_path
    wanted = np.dtype(dtype)
    data = _content(path, shape[0] * shape[1] * wanted.itemsize, shown)
    if not data:
        raise ArchiveError(f"{shown}: empty file")
    try:
        pixels = _uncompressed(data)
        if pixels is None:
            return _any_band(data, shape, wanted)
        _refuse_unless(shape, wanted, pixels.shape, pixels.dtype)
    except struct.error as error:
        raise ArchiveError(f"{shown}: truncated TIFF (its header ends early)") from error
    except UnsupportedImage as error:
        raise ArchiveError(f"{shown}: {error}; write it again uncompressed or with DEFLATE") from error
    except ValueError as error:
        raise ArchiveError(f"{shown}: {error}") from error
    return pixels


def _refuse_unless(shape: tuple[int, int], dtype: np.dtype, found_shape: tuple[int, int], found: np.dtype) -> None:
    """Raise ValueError unless the size and type found are those wanted."""
    if found_shape != shape:
        raise ValueError(f"size {_size(found_shape)} instead of {_size(shape)}")
    if found != dtype:
        raise ValueError(f"pixels of type {found} instead of {dtype}")


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in reversed(shape))


def _content(path: str | os.PathLike[str], pixel_bytes: int, shown: str | os.PathLike[str]) -> bytes:
    """Return the whole file, in most cases with one call to the system: half the time of `open` and `read`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            data = os.read(descriptor, pixel_bytes + 4096)
            if len(data) < pixel_bytes + 4096:
                return data
            return read_open(descriptor, path, data)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise ArchiveError(f"{shown}: missing") from error
    except OSError as error:
        if is_of_the_machine(error):
            raise_named(error, path)
        raise ArchiveError(f"{shown}: cannot be read ({error.strerror})") from error


def _uncompressed(data: bytes) -> np.ndarray | None:
    """Return the pixels of a little-endian, uncompressed, single-band file; None for any other TIFF file."""
    if data[:4] != _LITTLE_ENDIAN:
        if data[:4] not in (b"MM\0*", b"II+\0", b"MM\0+"):
            raise ValueError("not a TIFF file")
        return None
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    end = start + 6 + 12 * entries
    if len(data) < end:
        raise ValueError("truncated TIFF (its header ends early)")
    layout = _layout(data[start + 2 : end])
    if layout is None:
        return None
    first, lengths = layout.offset, (layout.lengths,)
    expected = layout.shape[0] * layout.shape[1] * layout.dtype.itemsize
    if layout.strips > 1:
        lengths = struct.unpack_from(layout.lengths_format, data, layout.lengths)
        offsets = struct.unpack_from(layout.offsets_format, data, layout.offset)
        first = offsets[0]
        step = offsets[1] - first
        # Whole strips that follow one another can only be as long as the distance between them.
        if offsets != tuple(range(first, first + step * layout.strips, step or 1)) or not _fills(layout, step):
            return None
    if not first or 0 in lengths:
        return None  # sparse, a strip that is not in the file; or a damaged one
    if first + expected > len(data):
        raise ValueError(f"truncated TIFF ({max(0, len(data) - first)} of {expected} bytes of pixels)")
    pixels = np.frombuffer(data, layout.dtype, layout.shape[0] * layout.shape[1], first)
    return pixels.reshape(layout.shape)


def _fills(layout: _Layout, step: int) -> bool:
    """Return whether strips that begin `step` bytes apart hold whole rows and together the whole image."""
    row = layout.shape[1] * layout.dtype.itemsize
    return step > 0 and step % row == 0 and (layout.strips - 1) * step < layout.shape[0] * row <= layout.strips * step


@functools.lru_cache(maxsize=256)
def _layout(directory: bytes) -> _Layout | None:
    """Return the layout that an image file directory describes, or None for any but the simplest images.

    The files of an archive have few different directories (one for each size and type), so that this is looked up.
    """
    if directory[-4:] != b"\0\0\0\0":
        return None  # another image follows
    values: dict[int, int] = {}
    counts: dict[int, tuple[int, int]] = {}
    for tag, kind, count, value in struct.iter_unpack("<HHII", directory[:-4]):
        values[tag] = value & 0xFFFF if kind == _SHORT and count == 1 else value
        counts[tag] = kind, count
    sample_format = _KIND_OF_SAMPLE_FORMAT.get(values.get(_SAMPLE_FORMAT, 1))
    kind, strips = counts.get(_STRIP_OFFSETS, (0, 0))
    length_kind, lengths = counts.get(_STRIP_BYTES, (0, 0))
    simple = (
        min(values.get(_WIDTH, 0), values.get(_HEIGHT, 0)) > 0
        and values.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
        and values.get(_SAMPLES, 1) == 1
        and values.get(_PREDICTOR, 1) == 1
        and values.get(_BITS) in (8, 16, 32, 64)
        and sample_format is not None
        and values.get(_FILL_ORDER, 1) == 1
        and lengths == strips
        and {kind, length_kind} <= _FORMAT_OF_TYPE.keys()
        and (strips == 1 or strips > 4 // min(_BYTES_OF_TYPE[kind], _BYTES_OF_TYPE[length_kind]))
    )
    if not simple:
        return None
    dtype = np.dtype(f"<{sample_format}{values[_BITS] // 8}")
    shape = (values[_HEIGHT], values[_WIDTH])
    return _Layout(
        shape,
        dtype,
        strips,
        values[_STRIP_OFFSETS],
        f"<{strips}{_FORMAT_OF_TYPE[kind]}",
        values[_STRIP_BYTES],
        f"<{strips}{_FORMAT_OF_TYPE[length_kind]}",
    )


def _any_band(data: bytes, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Return the pixels of any TIFF file with one band, decoded only where their size and type are as wanted."""
    image = read_tiff_header(data)
    if image.samples != 1:
        raise ValueError(f"{image.samples} bands instead of a single one")
    if image.images != 1:
        raise ValueError(f"{image.images} images instead of a single one")
    _refuse_unless(shape, dtype, (image.height, image.width), image.dtype)
    pixels = read_samples(data, image)[..., 0]
    pixels.flags.writeable = False
    return pixels
