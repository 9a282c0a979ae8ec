"""Read what an image file is from its header, before anything decodes it: JPEG, PNG, BMP and WebP."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tfds_builders.reading.jpeg_data import has_hole
from tfds_builders.reading.limits import MAX_PIXELS, has_too_many_scans, most_pixels

JPEG_START = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers: every C0 to CF but DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END, _SCAN = 0xD9, 0xDA
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive, as every decoder reads them
_ARITHMETIC = frozenset({0xC9, 0xCA})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
# A marker among coded values: neither a stuffed FF, nor a restart, nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_JPEG_COLOURS = {1: "grey", 3: "RGB", 4: "CMYK"}
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
# What people take for images of these formats.
_OTHER_IMAGES = {
    b"GIF8": "a GIF",
    b"\0\0\0\x0cjP": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"\0\0\0\x0cJXL": "a JPEG XL",
    b"\xff\x0a": "a JPEG XL",
}
_OTHER_FILES = {
    b"\x1f\x8b": "a gzip file",
    b"PK\3\4": "a zip file",
    b"%PDF": "a PDF",
    b"version https://git-lfs": "a pointer of Git LFS",
    b"<": "a web page",
}
_AVIF_HEIC = (b"ftypavif", b"ftypavis", b"ftypheic", b"ftypheix", b"ftypmif1")


class UnsupportedImage(ValueError):
    """The file is sound, but no such image as is wanted; the message says what it holds, `advice` what to do."""

    advice = "convert it to 8-bit RGB"


class TooManyPixels(UnsupportedImage):
    """The pixels of the file would fill the memory."""

    def __init__(self, what: str, width: int, height: int, most: int):
        super().__init__(f"{what} of {width}x{height} pixels, more than {most:,} for a file of its size")
        self.advice = f"cut it into tiles, or set {MAX_PIXELS}={width * height} to decode it all the same"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file holds.

    `plain`: nothing in it is decoded in one way here and another there, such as transparent colours.
    """

    form: str
    width: int
    height: int
    colours: str
    plain: bool


def read_header(data: bytes) -> ImageHeader:
    """Return the header of a JPEG, PNG, BMP or WebP file with one image of at most 8 bits a sample.

    Raises:
        UnsupportedImage: the file is sound, but holds something else.
        ValueError: the file is empty, cut off or damaged.
    """
    try:
        header = _header(data)
    except (struct.error, IndexError) as error:
        raise ValueError("a damaged or truncated image (its header ends early)") from error
    _check_size(header, len(data))
    return header


def _check_size(header: ImageHeader, file_bytes: int) -> None:
    if not header.width or not header.height:
        raise ValueError(f"a damaged or truncated {header.form} (its width or height is 0)")
    if header.width * header.height > (most := most_pixels(file_bytes)):
        raise TooManyPixels(f"a {header.form}", header.width, header.height, most)


def _header(data: bytes) -> ImageHeader:
    if not data:
        raise ValueError("empty")
    if data.startswith(JPEG_START):
        return _jpeg_header(data)
    if data.startswith(_PNG_START):
        return _png_header(data)
    if data.startswith(b"BM"):
        return _bmp_header(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_header(data)
    raise _other(data)


def _other(data: bytes) -> ValueError:
    """Return the error for a file of none of the formats, with what it is where it can be told."""
    image = "an AVIF or HEIC" if data[4:12] in _AVIF_HEIC else _known(_OTHER_IMAGES, data)
    if image:
        return UnsupportedImage(f"{image} image")
    what = _known(_OTHER_FILES, data.lstrip())
    return ValueError("damaged or not an image (JPEG, PNG, TIFF, BMP, WebP)" + (f", but {what}" if what else ""))


def _known(starts: dict[bytes, str], data: bytes) -> str:
    return next((name for start, name in starts.items() if data.startswith(start)), "")


def _jpeg_header(data: bytes) -> ImageHeader:
    """Return the header by the start-of-frame segment; the end marker must follow the first scan.

    That of a thumbnail comes before the scan. What comes after the end, such as padding, does not matter.
    """
    header = None
    for marker, position in _jpeg_segments(data):
        if marker in _START_OF_FRAME and header is None:
            header = _jpeg_frame(data, position, marker)
        elif marker == _SCAN and header is not None:
            if not _has_end(data, position):
                raise ValueError("a damaged or truncated JPEG (no end marker)")
            _check_size(header, len(data))
            if has_too_many_scans(data, header.width * header.height):
                raise UnsupportedImage("a JPEG of more scans than any program writes")
            if has_hole(data):  # which may decode it
                raise ValueError("a damaged JPEG (a block of it is overwritten with zeros)")
            return header
        elif marker in (_SCAN, _END):
            raise ValueError("a damaged or truncated JPEG (broken header)")
    raise ValueError("a damaged or truncated JPEG (no image in it)")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (marker, position) of the segments of a JPEG up to its first scan."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError("a damaged or truncated JPEG (broken header)")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        else:
            yield marker, position
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")


def _jpeg_frame(data: bytes, position: int, marker: int) -> ImageHeader:
    bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
    if bits != 8 or channels not in _JPEG_COLOURS:
        raise UnsupportedImage(f"a JPEG with {bits} bits and {channels} channels; 8 bits and 1, 3 or 4 are read")
    if marker not in _HUFFMAN | _ARITHMETIC:
        raise UnsupportedImage(f"a JPEG of a lossless or hierarchical process (SOF{marker - 0xC0})")
    colours = _JPEG_COLOURS[channels]
    return ImageHeader("JPEG", width, height, colours, marker in _HUFFMAN and colours != "CMYK")


def _has_end(data: bytes, position: int) -> bool:
    """Return whether the end marker comes after the scan that begins at `position`, outside of other segments."""
    if data.endswith(_JPEG_END):
        return True
    while position + 4 <= len(data):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        found = _MARKER.search(data, position)
        if found is None or data[found.start() + 1] == _END:
            return found is not None
        position = found.start()
    return False


def _png_header(data: bytes) -> ImageHeader:
    """Return the header by the chunks, which must end with the end chunk."""
    if data[12:16] != b"IHDR":
        raise ValueError("a damaged or truncated PNG (broken header)")
    width, height, bits, kind = struct.unpack_from(">IIBB", data, 16)
    chunks = set()
    position = 8
    while b"IEND" not in chunks:
        if position + 12 > len(data):
            raise ValueError("a damaged or truncated PNG (no end chunk)")
        length, name = struct.unpack_from(">I4s", data, position)
        chunks.add(name)
        position += 12 + length
    if position > len(data):
        raise ValueError("a damaged or truncated PNG (no end chunk)")
    if kind not in _PNG_COLOURS or bits not in (1, 2, 4, 8, 16):
        raise ValueError("a damaged or truncated PNG (broken header)")
    if bits == 16:
        raise UnsupportedImage(f"a PNG of 16 bits a channel ({_PNG_COLOURS[kind]})")
    if b"acTL" in chunks:
        raise UnsupportedImage("an animated PNG, more than one image")
    return ImageHeader("PNG", width, height, _PNG_COLOURS[kind], b"tRNS" not in chunks)


def _bmp_header(data: bytes) -> ImageHeader:
    first, size = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (4, 5):
        raise UnsupportedImage("a BMP with a JPEG or PNG inside")
    width, height = max(0, width), abs(height)
    whole = first + (3 * width + 3) // 4 * 4 * height <= len(data)
    return ImageHeader("BMP", width, height, "RGB", whole and (size, bits, compression) == (40, 24, 0))


def _webp_header(data: bytes) -> ImageHeader:
    """Return the header by the first chunk; the RIFF length must be there."""
    riff, kind, length = struct.unpack_from("<4xI4x4sI", data)
    if 8 + riff > len(data):
        raise ValueError("a damaged or truncated WebP (less than its length)")
    alone = 12 + length + length % 2 == riff  # nothing but these pixels
    if kind == b"VP8X":
        if data[20] & 2:
            raise UnsupportedImage("an animated WebP, more than one image")
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return ImageHeader("WebP", width, height, "RGB and alpha" if data[20] & 16 else "RGB", False)
    if kind == b"VP8L":
        packed = struct.unpack_from("<I", data, 21)[0]
        return ImageHeader("WebP", 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), "RGB", alone)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF, "RGB", alone)
    raise ValueError("a damaged or truncated WebP (broken header)")
