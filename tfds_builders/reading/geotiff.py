"""Single-band GeoTIFF files: read without a library where nothing is compressed, written for generated archives.

The bands of both BigEarthNet archives are little-endian, uncompressed, one image a file. Such a file is one read and
two look-ups, some 20 us; everything else (the compressed reference maps, say) goes through tifffile, which is imported
only then.
"""

import functools
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfds_builders.reading.archive import ArchiveError

_LITTLE_ENDIAN = b"II*\0"
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 277, 278, 279
_PLANAR, _PREDICTOR, _SAMPLE_FORMAT = 284, 317, 339
_PIXEL_SCALE, _TIEPOINT, _GEO_KEYS, _GEO_TEXT, _NODATA = 33550, 33922, 34735, 34737, 42113
# Tag values by TIFF type: ASCII, SHORT, LONG, DOUBLE.
_ASCII, _SHORT, _LONG, _DOUBLE = 2, 3, 4, 12
_FORMAT_OF_TYPE = {_SHORT: "H", _LONG: "I", _DOUBLE: "d"}
_KIND_OF_SAMPLE_FORMAT = {1: "u", 2: "i", 3: "f"}
_SAMPLE_FORMAT_OF_KIND = {kind: number for number, kind in _KIND_OF_SAMPLE_FORMAT.items()}
_DEFLATE, _UNCOMPRESSED, _HORIZONTAL = 8, 1, 2
_STRIP_TARGET = 8192  # bytes, as GDAL cuts strips
_READ_MORE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Layout:
    """What an image file directory says of an uncompressed image: where the strips' offsets and lengths are."""

    shape: tuple[int, int]
    dtype: np.dtype
    strips: int
    offsets_at: int  # position of the strip offsets in the file; -1: `offset` is the only one
    offset: int
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
        dtype: type that the pixels must have, such as np.uint16 or np.float32. Nothing is converted.
        shown_path: what errors call the file, where `path` is a copy out of a packed archive.

    Raises:
        ArchiveError: the file is missing, unreadable, no TIFF, truncated, of several bands or images, or of another
            size or type.
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
    """Return the pixels of a little-endian, uncompressed, single-band file; None for any other TIFF file.

    Raises:
        ValueError: the file is no TIFF, or it ends before its pixels do.
        struct.error: it ends within its header.
    """
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
        offsets = struct.unpack_from(layout.offsets_format, data, layout.offsets_at)
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
    """Return what the entries of an image file directory say, or None if the image is none of the simple ones.

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
    at = values[_STRIP_OFFSETS]
    return _Layout((values[_HEIGHT], values[_WIDTH]), dtype, strips, at, at, f"<{strips}{_FORMAT_OF_TYPE[kind]}")


def _with_tifffile(path: str | os.PathLike[str], shown: str | os.PathLike[str]) -> np.ndarray:
    """Return the pixels of any other TIFF file."""
    import tifffile

    try:
        with tifffile.TiffFile(os.fspath(path)) as file:
            images = len(file.pages)
            page = file.pages.first
            bands = page.samplesperpixel
            if images != 1 or bands != 1:
                what = f"{bands} bands" if bands != 1 else f"{images} images"
                raise ArchiveError(f"{shown}: {what} instead of a single one")
            pixels = page.asarray()
    except ArchiveError:
        raise
    # A broken file ends in whatever the step that met it raises: zlib.error, struct.error, IndexError and others.
    except Exception as error:
        raise ArchiveError(f"{shown}: broken or truncated TIFF ({error})") from error
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    pixels.flags.writeable = False
    return pixels


def write_tiff(
    path: str | os.PathLike[str],
    array: np.ndarray,
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    pixel_size: float = 10.0,
    utm_zone: int = 32,
    nodata: int | None = None,
    deflate: bool = False,
) -> None:
    """Write `array` (height, width) as a GeoTIFF file with the tags that the archives' own files have.

    Args:
        path: the file, written over if it is there.
        array: unsigned or signed integers or floats, two-dimensional.
        origin: UTM easting and northing of the upper left corner, in metres.
        pixel_size: side of a pixel, in metres.
        utm_zone: 1 to 60, on the northern hemisphere.
        nodata: the value that stands for "no data", where there is one.
        deflate: compress with DEFLATE and horizontal differences, as the reference maps are.

    Raises:
        OSError: the file cannot be written.
    """
    assert array.ndim == 2
    height, width = array.shape
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    row_bytes = max(1, width * little.itemsize)
    rows = min(height, max(1, _STRIP_TARGET // row_bytes))
    strips = [_strip(little[at : at + rows], deflate) for at in range(0, height, rows)]
    citation = f"WGS 84 / UTM zone {utm_zone}N"
    text = f"{citation}|WGS 84|\0".encode()
    keys: tuple[int, ...] = (1, 1, 0, 7, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, _GEO_TEXT, len(citation) + 1, 0)
    keys += (2049, _GEO_TEXT, 7, len(citation) + 1, 2054, 0, 1, 9102, 3072, 0, 1, 32600 + utm_zone, 3076, 0, 1, 9001)
    entries: list[tuple[int, int, tuple | bytes]] = [
        (_WIDTH, _SHORT, (width,)),
        (_HEIGHT, _SHORT, (height,)),
        (_BITS, _SHORT, (8 * little.itemsize,)),
        (_COMPRESSION, _SHORT, (_DEFLATE if deflate else _UNCOMPRESSED,)),
        (_PHOTOMETRIC, _SHORT, (1,)),
        (_STRIP_OFFSETS, _LONG, (0,) * len(strips)),
        (_SAMPLES, _SHORT, (1,)),
        (_ROWS_PER_STRIP, _SHORT, (rows,)),
        (_STRIP_BYTES, _LONG, tuple(map(len, strips))),
        (_PLANAR, _SHORT, (1,)),
        *([(_PREDICTOR, _SHORT, (_HORIZONTAL,))] if deflate else []),
        (_SAMPLE_FORMAT, _SHORT, (_SAMPLE_FORMAT_OF_KIND[little.dtype.kind],)),
        (_PIXEL_SCALE, _DOUBLE, (pixel_size, pixel_size, 0.0)),
        (_TIEPOINT, _DOUBLE, (0.0, 0.0, 0.0, *origin, 0.0)),
        (_GEO_KEYS, _SHORT, keys),
        (_GEO_TEXT, _ASCII, text),
        *([] if nodata is None else [(_NODATA, _ASCII, f"{nodata}\0".encode())]),
    ]
    first = len(_header(entries))
    offsets = np.cumsum([first, *map(len, strips[:-1])]).tolist()
    placed = [(tag, kind, tuple(offsets) if tag == _STRIP_OFFSETS else value) for tag, kind, value in entries]
    Path(path).write_bytes(_header(placed) + b"".join(strips))


def _strip(rows: np.ndarray, deflate: bool) -> bytes:
    if not deflate:
        return rows.tobytes()
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]  # modulo the type's range, as TIFF's predictor 2 has it
    return zlib.compress(differences.tobytes())


# Values that do not fit into the directory follow it, these first: so GDAL writes them, and so the files are its own.
_OUTSIDE_FIRST = (_NODATA, _STRIP_BYTES, _STRIP_OFFSETS)


def _header(entries: list[tuple[int, int, tuple | bytes]]) -> bytes:
    """Return the file up to its pixels: the image file directory and the values that do not fit into it."""
    start = 8
    position = start + 2 + 12 * len(entries) + 4
    packed = {tag: _packed(kind, value) for tag, kind, value in entries}
    order = [*(tag for tag in _OUTSIDE_FIRST if tag in packed), *(tag for tag in packed if tag not in _OUTSIDE_FIRST)]
    fields, outside = {}, []
    for tag in order:
        if len(packed[tag]) <= 4:
            fields[tag] = packed[tag].ljust(4, b"\0")
        else:
            even = packed[tag] + b"\0" * (len(packed[tag]) % 2)
            fields[tag] = struct.pack("<I", position)
            outside.append(even)
            position += len(even)
    directory = [struct.pack("<HHI", tag, kind, len(value)) + fields[tag] for tag, kind, value in entries]
    count = struct.pack("<H", len(entries))
    return b"".join([_LITTLE_ENDIAN, struct.pack("<I", start), count, *directory, b"\0\0\0\0", *outside])


def _packed(kind: int, value: tuple | bytes) -> bytes:
    return value if isinstance(value, bytes) else struct.pack(f"<{len(value)}{_FORMAT_OF_TYPE[kind]}", *value)
