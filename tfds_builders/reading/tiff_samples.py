"""Decode the samples of a TIFF image exactly as they are stored: no colours converted, no alpha multiplied in.

Deflate and LZMA are Python's own. What else libtiff knows (LZW, ZSTD, PackBits) is decoded by Pillow's copy of it,
which is given the compressed bytes alone, and so has no say in what they mean.
"""

import functools
import io
import lzma
import math
import struct
import zlib
from collections.abc import Iterator

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


def _plane(data: bytes, image: TiffImage, plane: int, samples: int) -> np.ndarray:
    """Return the pixels (height, width, samples) of one plane."""
    out = np.full((image.height, image.width, samples), _nodata(image), image.dtype)
    for row, column, offset, count in _tiles(image, plane):
        if offset:
            if not count or offset + count > len(data):
                raise ValueError(f"truncated TIFF ({count} bytes of pixels at {offset}, of {len(data)} bytes)")
            # The last strip may be lower than the others, a tile never.
            rows = image.tile_height if image.tiled else min(image.tile_height, image.height - row)
            tile = _tile(data[offset : offset + count], image, (rows, image.tile_width, samples))
            out[row : row + rows, column : column + image.tile_width] = tile[
                : image.height - row, : image.width - column
            ]
    return out


def _tiles(image: TiffImage, plane: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (row, column, offset, number of bytes) of each tile of a plane."""
    places = [
        (row, column)
        for row in range(0, image.height, image.tile_height)
        for column in range(0, image.width, image.tile_width)
    ]
    for number, (row, column) in enumerate(places, plane * len(places)):
        yield row, column, image.offsets[number], image.counts[number]


def _nodata(image: TiffImage) -> float | int:
    """Return the value of tiles that are not in the file: GDAL's nodata, rounded into the type, or 0."""
    try:
        value = float(image.nodata)
    except ValueError:
        return 0
    if image.dtype.kind == "f":
        return value
    limits = np.iinfo(image.dtype)
    return 0 if math.isnan(value) else round(min(max(value, int(limits.min)), int(limits.max)))


def _tile(coded: bytes, image: TiffImage, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the samples of a tile or strip of that shape (rows, columns, samples)."""
    if image.compression in (COMPRESSION_JPEG, _WEBP):
        return _picture(coded, image, shape)
    rows, columns, samples = shape
    row_bytes = math.ceil(columns * samples * image.bits / 8)
    decoded = _decompressed(coded, image.compression, rows * row_bytes)
    if len(decoded) < rows * row_bytes:
        raise ValueError(f"truncated TIFF ({len(decoded)} of {rows * row_bytes} bytes of pixels)")
    flat = np.frombuffer(decoded, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    if image.bits < 8:
        return _unpacked(flat, image.bits)[:, : columns * samples].reshape(shape)
    predictor = image.predictor if image.compression in _WITH_PREDICTOR else 1
    if predictor == 3:
        return _float_differences_undone(flat, image, shape)
    stored = flat.view(image.dtype.newbyteorder(image.byte_order)).reshape(shape)
    values = stored.astype(image.dtype, copy=False)
    if predictor == 2:
        unsigned = values.view(f"u{image.dtype.itemsize}")
        return np.cumsum(unsigned, axis=1, dtype=unsigned.dtype).view(image.dtype)
    if predictor != 1:
        raise UnsupportedImage(f"a TIFF with predictor {predictor}")
    return values


def _unpacked(flat: np.ndarray, bits: int) -> np.ndarray:
    """Return the values of 1, 2 or 4 bits each, the highest first, as uint8."""
    parts = np.unpackbits(flat, axis=1).reshape(len(flat), -1, bits)
    return (parts << np.arange(bits, dtype=np.uint8)[::-1]).sum(axis=2, dtype=np.uint8)


def _float_differences_undone(flat: np.ndarray, image: TiffImage, shape: tuple[int, int, int]) -> np.ndarray:
    """Undo predictor 3: the bytes of a row lie highest first, all of a kind together, each as a difference."""
    rows, columns, samples = shape
    if image.dtype.kind != "f":
        raise ValueError("broken TIFF (predictor 3 is for floating-point values)")
    summed = np.cumsum(flat.reshape(rows, -1, samples), axis=1, dtype=np.uint8)
    by_value = summed.reshape(rows, image.dtype.itemsize, columns * samples).swapaxes(1, 2)
    values = np.ascontiguousarray(by_value).view(image.dtype.newbyteorder(">"))
    return values.reshape(shape).astype(image.dtype)


def _decompressed(coded: bytes, compression: int, size: int) -> bytes:
    """Return the decompressed bytes, `size` of them at most."""
    try:
        if compression == _NONE:
            return coded
        if compression in _DEFLATE:
            return zlib.decompressobj().decompress(coded, size)
        if compression == _LZMA:
            return lzma.LZMADecompressor().decompress(coded, size)
    except (zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"broken or truncated TIFF ({error})") from error
    if compression not in _ONE_ZERO:
        raise UnsupportedImage(f"a TIFF with compression {compression}")
    if not _libtiff_decodes(compression):
        raise UnsupportedImage(
            f"a TIFF compressed with {_NAMES[compression]}, which this copy of Pillow does not decode"
        )
    return _by_libtiff(coded, compression, size)


@functools.cache
def _libtiff_decodes(compression: int) -> bool:
    try:
        return _by_libtiff(_ONE_ZERO[compression], compression, 1) == b"\0"
    except ValueError:
        return False


def _by_libtiff(coded: bytes, compression: int, size: int) -> bytes:
    """Return the bytes that Pillow decodes from a TIFF file made up around them: one row of grey pixels."""
    from PIL.TiffImagePlugin import TiffImageFile

    tags = {256: size, 257: 1, 258: 8, 259: compression, 262: 1, 273: 0, 277: 1, 278: 1, 279: len(coded)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + coded
    try:
        with TiffImageFile(io.BytesIO(file)) as row:
            return row.tobytes()
    except Exception as error:  # whatever the step that met the damage raises
        raise ValueError(f"broken or truncated TIFF ({error})") from error


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
            pixels = np.array(picture)
    except Exception as error:  # whatever the step that met the damage raises
        raise ValueError(f"broken or truncated TIFF ({error})") from error
    if pixels.size != math.prod(shape):
        raise ValueError(f"broken TIFF (a tile holds {pixels.shape} instead of {shape} values)")
    return pixels.reshape(shape)
