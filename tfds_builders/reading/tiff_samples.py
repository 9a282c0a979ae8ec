"""Decode the samples of a TIFF image exactly as they are stored: no colours converted, no alpha multiplied in.

Deflate and LZMA are Python's own. What else libtiff knows (LZW, ZSTD, PackBits) is decoded by Pillow's copy of it,
which is given the compressed bytes alone, and so has no say in what they mean.
"""

import functools
import io
import itertools
import lzma
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tfds_builders.reading.image_headers import UnsupportedImage
from tfds_builders.reading.tiff import YCBCR, TiffImage

_NONE, _LZW, COMPRESSION_JPEG, _PACKBITS, _LZMA, _ZSTD, _WEBP = 1, 5, 7, 32773, 34925, 50000, 50001
_DEFLATE = (8, 32946)
_WITH_PREDICTOR = (_LZW, *_DEFLATE, _LZMA, _ZSTD)  # the others ignore the tag
# One byte of 0, compressed: what shows whether Pillow's libtiff was built with a decoder.
_ONE_ZERO = {
    _LZW: b"\x80\x00  ",
    _PACKBITS: b"\0\0",
    _ZSTD: b"(\xb5/\xfd \x01\t\x00\x00\x00",
}
_NAMES = {_LZW: "LZW", _PACKBITS: "PackBits", _ZSTD: "ZSTD"}
# An Adobe segment in a JPEG says whether its three components are to be converted: libjpeg guesses without one.
_ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"


def read_samples(data: bytes, image: TiffImage) -> np.ndarray:
    """Return all samples (height, width, samples) in native byte order; tiles that are not in the file are nodata.

    Raises:
        UnsupportedImage: the file is sound, but cannot be decoded here.
        ValueError: the file is cut off or damaged.
    """
    if image.interleaved:
        return _plane(data, image, 0, image.samples)
    return np.concatenate([_plane(data, image, plane, 1) for plane in range(image.samples)], axis=2)


@dataclass(frozen=True, slots=True)
class _Tile:
    """A tile or strip that is in the file: where its pixels lie, how many rows it has, and its bytes."""

    row: int
    column: int
    rows: int
    coded: bytes


def _plane(data: bytes, image: TiffImage, plane: int, samples: int) -> np.ndarray:
    """Return the pixels (height, width, samples) of one plane."""
    out = np.full((image.height, image.width, samples), _nodata(image), image.dtype)
    tiles = list(_tiles(data, image, plane))
    for tile, pixels in zip(tiles, _pixels(tiles, image, samples), strict=True):
        inside = pixels[: image.height - tile.row, : image.width - tile.column]
        out[tile.row : tile.row + tile.rows, tile.column : tile.column + image.tile_width] = inside
    return out


def _tiles(data: bytes, image: TiffImage, plane: int) -> Iterator[_Tile]:
    """Yield the tiles of a plane that are in the file."""
    places = list(itertools.product(range(0, image.height, image.tile_height), range(0, image.width, image.tile_width)))
    for number, (row, column) in enumerate(places, plane * len(places)):
        start, length = image.offsets[number], image.counts[number]
        if not start:
            continue  # not in the file
        if start < 0 or length < 1 or start + length > len(data):
            raise ValueError(f"truncated TIFF ({length} bytes of pixels at {start}, of {len(data)} bytes)")
        # The last strip may be lower than the others, a tile never.
        rows = image.tile_height if image.tiled else min(image.tile_height, image.height - row)
        yield _Tile(row, column, rows, data[start : start + length])


def _nodata(image: TiffImage) -> float | int:
    """Return the value of tiles that are not in the file: GDAL's nodata, rounded into the type, or 0."""
    try:
        value = float(image.nodata)
    except ValueError:
        return 0
    if image.dtype.kind == "f":
        return value
    limits = np.iinfo(image.dtype)
    if math.isnan(value):
        return 0
    inside = min(max(value, int(limits.min)), int(limits.max))
    return math.floor(inside + 0.5) if inside >= 0 else math.ceil(inside - 0.5)  # halves away from 0, as in GDAL


def _pixels(tiles: list[_Tile], image: TiffImage, samples: int) -> Iterator[np.ndarray]:
    """Yield the samples (rows, columns, samples) of the tiles."""
    if image.compression in (COMPRESSION_JPEG, _WEBP):
        for tile in tiles:
            yield _picture(tile.coded, image, (tile.rows, image.tile_width, samples))
        return
    row_bytes = math.ceil(image.tile_width * samples * image.bits / 8)
    for tile, decoded in zip(tiles, _decompressed(tiles, image.compression, row_bytes), strict=True):
        if len(decoded) < tile.rows * row_bytes:
            raise ValueError(f"truncated TIFF ({len(decoded)} of {tile.rows * row_bytes} bytes of pixels)")
        flat = np.frombuffer(decoded, np.uint8, tile.rows * row_bytes).reshape(tile.rows, row_bytes)
        yield _values(flat, image, (tile.rows, image.tile_width, samples))


def _values(flat: np.ndarray, image: TiffImage, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the samples of that shape from the bytes (rows, bytes of a row) of a tile."""
    if image.bits < 8:
        return _unpacked(flat, image.bits)[:, : shape[1] * shape[2]].reshape(shape)
    predictor = image.predictor if image.compression in _WITH_PREDICTOR else 1
    if predictor == 3:
        return _float_differences_undone(flat, image, shape)
    values: np.ndarray = flat.view(image.stored_dtype).reshape(shape).astype(image.dtype, copy=False)
    if predictor == 2:
        unsigned = values.view(f"u{image.dtype.itemsize}")
        values = np.cumsum(unsigned, axis=1, dtype=unsigned.dtype).view(image.dtype)
    elif predictor != 1:
        raise UnsupportedImage(f"a TIFF with predictor {predictor}")
    return values


def _unpacked(flat: np.ndarray, bits: int) -> np.ndarray:
    """Return the values of 1, 2 or 4 bits each, the highest first, as uint8."""
    parts = np.unpackbits(flat, axis=1).reshape(len(flat), -1, bits)
    values: np.ndarray = (parts << np.arange(bits, dtype=np.uint8)[::-1]).sum(axis=2, dtype=np.uint8)
    return values


def _float_differences_undone(flat: np.ndarray, image: TiffImage, shape: tuple[int, int, int]) -> np.ndarray:
    """Undo predictor 3: the bytes of a row lie highest first, all of a kind together, each as a difference."""
    rows, columns, samples = shape
    if image.dtype.kind != "f":
        raise ValueError("broken TIFF (predictor 3 is for floating-point values)")
    summed = np.cumsum(flat.reshape(rows, -1, samples), axis=1, dtype=np.uint8)
    by_value = summed.reshape(rows, image.dtype.itemsize, columns * samples).swapaxes(1, 2)
    values: np.ndarray = np.ascontiguousarray(by_value).view(image.dtype.newbyteorder(">"))
    return values.astype(image.dtype).reshape(shape)


def _decompressed(tiles: list[_Tile], compression: int, row_bytes: int) -> Sequence[bytes | memoryview]:
    """Return the decompressed bytes of each tile, those of its rows at most."""
    try:
        if compression == _NONE:
            return [tile.coded for tile in tiles]
        if compression in _DEFLATE:
            return [zlib.decompressobj().decompress(tile.coded, tile.rows * row_bytes) for tile in tiles]
        if compression == _LZMA:
            return [lzma.LZMADecompressor().decompress(tile.coded, tile.rows * row_bytes) for tile in tiles]
    except (zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"broken or truncated TIFF ({error})") from error
    if compression not in _ONE_ZERO:
        raise UnsupportedImage(f"a TIFF with compression {compression}")
    if not _libtiff_decodes(compression):
        raise UnsupportedImage(f"a TIFF compressed with {_NAMES[compression]}, which this Pillow does not decode")
    return _by_libtiff(tiles, compression, row_bytes) if tiles else []


@functools.cache
def _libtiff_decodes(compression: int) -> bool:
    try:
        return bytes(_by_libtiff([_Tile(0, 0, 1, _ONE_ZERO[compression])], compression, 1)[0]) == b"\0"
    except ValueError:
        return False


def _by_libtiff(tiles: list[_Tile], compression: int, row_bytes: int) -> list[memoryview]:
    """Return the bytes that Pillow decodes from a TIFF file made up of the tiles: strips of grey, one below another."""
    from PIL.TiffImagePlugin import TiffImageFile

    stops = list(itertools.accumulate((tile.rows for tile in tiles), initial=0))
    try:
        with TiffImageFile(io.BytesIO(_strips_of_grey(tiles, compression, row_bytes))) as grey:
            decoded = memoryview(grey.tobytes())
    except MemoryError:
        raise
    except Exception as error:  # whatever the step that met the damage raises
        raise ValueError(f"broken or truncated TIFF ({error})") from error
    return [decoded[start * row_bytes : stop * row_bytes] for start, stop in itertools.pairwise(stops)]


def _strips_of_grey(tiles: list[_Tile], compression: int, row_bytes: int) -> bytes:
    """Return a TIFF file of one byte a pixel with the tiles as its strips; all but the last have the same height."""
    lengths = [len(tile.coded) for tile in tiles]
    tags = {256: row_bytes, 257: sum(tile.rows for tile in tiles), 258: 8, 259: compression, 262: 1}
    tags |= {273: 0, 277: 1, 278: tiles[0].rows, 279: 0}
    tables = 8 + 2 + 12 * len(tags) + 4  # where the strips' offsets begin, then their lengths, then the strips
    starts = list(itertools.accumulate(lengths[:-1], initial=tables + 8 * len(tiles)))
    one = len(tiles) == 1
    tags |= {273: starts[0] if one else tables, 279: lengths[0] if one else tables + 4 * len(tiles)}
    counts = {273: len(tiles), 279: len(tiles)}
    directory = b"".join(struct.pack("<HHII", tag, 4, counts.get(tag, 1), value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
    return head + struct.pack(f"<{2 * len(tiles)}I", *starts, *lengths) + b"".join(tile.coded for tile in tiles)


def _picture(coded: bytes, image: TiffImage, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the samples of a tile that is a whole JPEG or WebP."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    if image.dtype != np.uint8 or (image.compression == COMPRESSION_JPEG and shape[2] not in (1, 3)):
        raise UnsupportedImage(f"{image.bands} compressed with JPEG or WebP")
    if image.compression == COMPRESSION_JPEG:
        tables = image.jpeg_tables[2:-2] if image.jpeg_tables else b""
        adobe = _ADOBE + bytes([image.photometric == YCBCR]) if shape[2] == 3 else b""
        coded = coded[:2] + adobe + tables + coded[2:]
    plugin = JpegImageFile if image.compression == COMPRESSION_JPEG else WebPImageFile
    try:
        with plugin(io.BytesIO(coded)) as picture:
            if picture.size != (shape[1], shape[0]):  # before anything is decoded
                raise ValueError(f"a tile of {picture.size} instead of {(shape[1], shape[0])} pixels")
            pixels = np.array(picture)
    except Exception as error:  # whatever the step that met the damage raises
        raise ValueError(f"broken or truncated TIFF ({error})") from error
    if pixels.size != math.prod(shape):
        raise ValueError(f"broken TIFF (a tile holds {pixels.shape} instead of {shape} values)")
    return pixels.reshape(shape)
