"""Read image files as the builders store them: encoded, with a check of the header and the end."""

import io
import struct

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.jpeg_data import has_hole

_JPEG_START = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
# Some writers pad the end of a file; what follows the end marker must fit in here.
_TAIL_BYTES = 64
# Start-of-frame markers: every C0 to CF but DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
# Modes of TIFF and BMP files whose pixels an 8-bit PNG holds without loss; an alpha channel is not part of the scene.
_PNG_MODES = {"RGB": "RGB", "L": "L", "RGBA": "RGB", "RGBX": "RGB", "LA": "L", "P": "RGB", "1": "L"}


def load_image(path: str, shown_path: str, expected_size: tuple[int, int]) -> bytes:
    """Return the image at `path` as JPEG or PNG bytes; TIFF and BMP become PNG with the same pixels.

    JPEG and PNG are not decoded: the header must be sound, the size (width, height) must be `expected_size`, and the
    end marker must be there. `shown_path` is what errors call the file; `path` may be a copy out of a packed archive.
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
        with open(path, "rb") as file:
            return _checked(file.read())
    except OSError as error:
        raise ArchiveError(f"{shown_path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ArchiveError(f"{shown_path}: {error}") from error


def _checked(data: bytes) -> tuple[tuple[int, int], bytes]:
    """Return the size and the bytes to store; raise ValueError with the reason."""
    if not data:
        raise ValueError("empty file")
    if data.startswith(_JPEG_START):
        size = _jpeg_size(data)
        if not data.endswith(_JPEG_END) and data.rfind(_JPEG_END, len(data) - _TAIL_BYTES) < 0:
            raise ValueError("truncated JPEG (no end marker)")
        if has_hole(data):
            raise ValueError("damaged JPEG (a block of it is overwritten with zeros)")
        return size, data
    if data.startswith(_PNG_START):
        size = _png_size(data)
        if data.rfind(_PNG_END, max(0, len(data) - _TAIL_BYTES)) < 0:
            raise ValueError("truncated PNG (no end chunk)")
        return size, data
    if data.startswith((b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _as_png(data)
    raise ValueError("not a JPEG, PNG, TIFF or BMP image")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) from the start-of-frame segment."""
    position, end = 2, len(data)
    while position + 4 <= end:
        if data[position] != 0xFF:
            raise ValueError("broken JPEG header")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in _START_OF_FRAME:
            if position + 10 > end:
                break
            precision, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
            if precision != 8 or channels not in (1, 3) or not width or not height:
                raise ValueError(f"JPEG with {precision} bits and {channels} channels; 8 bits and 1 or 3 are read")
            return width, height
        elif marker in (0xD9, 0xDA):  # the end or the first scan, without a frame before it
            raise ValueError("broken JPEG header")
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ValueError("truncated JPEG (no image in it)")


def _png_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) from the IHDR chunk."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise ValueError("broken PNG header")
    width, height, bits = struct.unpack_from(">IIB", data, 16)
    if bits > 8 or not width or not height:
        raise ValueError(f"PNG with {bits} bits a channel; 8 are read")
    return width, height


def _as_png(data: bytes) -> tuple[tuple[int, int], bytes]:
    """Return the size of a TIFF or BMP image, and the image as PNG with the same pixels."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = _PNG_MODES.get(image.mode)
            if mode is None:
                raise ValueError(f"pixels of mode {image.mode}; 8-bit grey or RGB are read")
            out = io.BytesIO()
            (image if image.mode == mode else image.convert(mode)).save(out, "PNG")
            return image.size, out.getvalue()
    except (OSError, SyntaxError, EOFError, KeyError, Image.DecompressionBombError) as error:
        raise ValueError(f"broken or truncated image ({error})") from error
