"""Read single-band TIFF files, without a library where nothing is compressed.

The bands of both BigEarthNet archives are little-endian, uncompressed, one image a file. Such a file takes one read and
two look-ups, some 20 us. Everything else (the compressed reference maps, say) goes through tifffile, which is imported
only then.
"""

import functools
import os
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfds_builders.reading.archive import ArchiveError

_LITTLE_ENDIAN = b"II*\0"
_WIDTH, _HEIGHT, _BITS, _COMPRESSION = 256, 257, 258, 259
_STRIP_OFFSETS, _SAMPLES, _PREDICTOR, _SAMPLE_FORMAT = 273, 277, 317, 339
_UNCOMPRESSED = 1
# TIFF's types SHORT and LONG.
_SHORT, _LONG = 3, 4
_FORMAT_OF_TYPE = {_SHORT: "H", _LONG: "I"}
_KIND_OF_SAMPLE_FORMAT = {1: "u", 2: "i", 3: "f"}
_READ_MORE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layout of an uncompressed image, from its image file directory."""

    shape: tuple[int, int]
    dtype: np.dtype
    strips: int
    offset: int  # of the pixels, or else of the table of the strips' offsets
    offsets_format: str


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
    except struct.error as error:
        raise ArchiveError(f"{shown}: truncated TIFF (its header ends early)") from error
    except ValueError as error:
        raise ArchiveError(f"{shown}: {error}") from error
    if pixels is None:
        pixels = _with_tifffile(path, shown)
    if pixels.shape != shape:
        raise ArchiveError(f"{shown}: size {_size(pixels.shape)} instead of {_size(shape)}")
    if pixels.dtype != wanted:
        raise ArchiveError(f"{shown}: pixels of type {pixels.dtype} instead of {wanted}")
    return pixels


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in reversed(shape))


def _content(path: str | os.PathLike[str], pixel_bytes: int, shown: str | os.PathLike[str]) -> bytes:
    """Return the whole file, in most cases with one call to the system: half the time of `open` and `read`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            data = os.read(descriptor, pixel_bytes + 4096)
            if len(data) < pixel_bytes + 4096:
                return data
            parts = [data]
            while part := os.read(descriptor, _READ_MORE):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise ArchiveError(f"{shown}: missing") from error
    except OSError as error:
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
    first = layout.offset
    expected = layout.shape[0] * layout.shape[1] * layout.dtype.itemsize
    if layout.strips > 1:
        # The strips' own lengths are not looked at: whole strips that follow one another can only be this long.
        offsets = struct.unpack_from(layout.offsets_format, data, layout.offset)
        first = offsets[0]
        step = offsets[1] - first
        if offsets != tuple(range(first, first + step * layout.strips, step or 1)) or not _fills(layout, step):
            return None
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
    simple = (
        {_WIDTH, _HEIGHT} <= values.keys()
        and values.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
        and values.get(_SAMPLES, 1) == 1
        and values.get(_PREDICTOR, 1) == 1
        and values.get(_BITS) in (8, 16, 32, 64)
        and sample_format is not None
        and kind in (_SHORT, _LONG)
        and (strips == 1 or strips * struct.calcsize(_FORMAT_OF_TYPE[kind]) > 4)
    )
    if not simple:
        return None
    dtype = np.dtype(f"<{sample_format}{values[_BITS] // 8}")
    shape = (values[_HEIGHT], values[_WIDTH])
    return _Layout(shape, dtype, strips, values[_STRIP_OFFSETS], f"<{strips}{_FORMAT_OF_TYPE[kind]}")


def _with_tifffile(path: str | os.PathLike[str], shown: str | os.PathLike[str]) -> np.ndarray:
    """Return the pixels of any other TIFF file."""
    import tifffile

    try:
        with tifffile.TiffFile(os.fspath(path)) as file:
            page = file.pages.first
            if page.samplesperpixel != 1:
                raise ArchiveError(f"{shown}: {page.samplesperpixel} bands instead of a single one")
            if len(file.pages) != 1:
                raise ArchiveError(f"{shown}: {len(file.pages)} images instead of a single one")
            pixels = page.asarray()
    except ArchiveError:
        raise
    # A broken file ends in whatever the step that met it raises: zlib.error, struct.error, IndexError and others.
    except Exception as error:
        raise ArchiveError(f"{shown}: broken or truncated TIFF ({error})") from error
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    pixels.flags.writeable = False
    return pixels
