"""Read the directory of a TIFF file: what its first image is, before anything decodes it."""

import enum
import math
import struct
from dataclasses import dataclass

import numpy as np

from tfds_builders.reading.image_headers import TooManyPixels, UnsupportedImage
from tfds_builders.reading.limits import most_pixels

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Values of the tag Photometric.
MINISWHITE, MINISBLACK, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
_PHOTOMETRIC = {4: "a transparency mask", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a colour filter array"}
# Values of the tag Compression that are not decoded here.
_COMPRESSION = {
    **dict.fromkeys((2, 3, 4), "CCITT fax"),
    **{6: "old-style JPEG", 9: "JBIG", 10: "JBIG", 33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000"},
    **{34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 50002: "JPEG XL", 52546: "JPEG XL"},
}
_KIND_OF_SAMPLE_FORMAT = {1: "uint", 2: "int", 3: "float", 4: "uint"}  # 4: undefined
_BITS = {"uint": (1, 2, 4, 8, 16, 32, 64), "int": (8, 16, 32, 64), "float": (16, 32, 64), "complex": ()}
# The format of each type of values that a tag read here may have: BYTE, ASCII, SHORT, LONG, SBYTE, UNDEFINED, ...
_VALUE_FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


class _Tag(enum.IntEnum):
    """The tags that are read here."""

    SUBFILE, OLD_SUBFILE = 254, 255
    WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
    STRIPS, SAMPLES, STRIP_HEIGHT, STRIP_BYTES, PLANAR, PREDICTOR, COLOUR_MAP = 273, 277, 278, 279, 284, 317, 320
    TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 322, 323, 324, 325
    EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, NODATA = 338, 339, 347, 42113


_TAGS = frozenset(_Tag)
_TAGS_OF_KIND = frozenset((_Tag.SUBFILE, _Tag.OLD_SUBFILE))
# Directories that are followed; a file may chain as many as it has bytes.
_MOST_DIRECTORIES = 1000
Tags = dict[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class TiffImage:
    """The first image of a TIFF file, as its directory describes it.

    A strip is a tile as wide as the image. `offsets` and `counts` are those of the tiles, plane by plane where the
    samples are not interleaved; 0 is a tile that is not in the file, whose pixels are `nodata`.
    """

    byte_order: str
    width: int
    height: int
    bits: int
    sample_kind: str
    samples: int
    photometric: int
    extra_samples: tuple[int, ...]
    interleaved: bool
    compression: int
    predictor: int
    tile_width: int
    tile_height: int
    tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    nodata: str
    colour_map: tuple[int, ...]
    jpeg_tables: bytes
    images: int

    @property
    def dtype(self) -> np.dtype:
        """The type of the samples once decoded, in native byte order; fewer than 8 bits are uint8."""
        return np.dtype(f"{self.sample_kind}{max(8, self.bits)}")

    @property
    def stored_dtype(self) -> np.dtype:
        """The type of the samples in the byte order of the file."""
        return np.dtype(f"{self.byte_order}{self.dtype.kind}{self.dtype.itemsize}")

    @property
    def bands(self) -> str:
        """What the image holds, for messages: "13 bands of uint16"."""
        return f"{self.samples} band{'s' * (self.samples > 1)} of {self.sample_kind}{self.bits}"

    @property
    def colours(self) -> str:
        """The photometric interpretation, for messages."""
        return _PHOTOMETRIC.get(self.photometric, f"photometric interpretation {self.photometric}")

    @property
    def tiles_of_plane(self) -> int:
        """The number of tiles that cover the image once."""
        return math.ceil(self.width / self.tile_width) * math.ceil(self.height / self.tile_height)

    @property
    def tiles(self) -> int:
        """The number of tiles that the image must have."""
        return self.tiles_of_plane * (1 if self.interleaved else self.samples)


def read_tiff_header(data: bytes) -> TiffImage:
    """Return what the directories of a TIFF file say of its first image; overviews and masks are passed over.

    Raises:
        UnsupportedImage: the file is sound, but its pixels cannot be decoded here.
        ValueError: the file is cut off or damaged.
    """
    try:
        byte_order, big, start = _start(data)
        tags, following = _directory(data, start, byte_order, big)
        images, seen = 1, {start}
        while following and following not in seen and len(seen) < _MOST_DIRECTORIES:
            seen.add(following)
            others, following = _directory(data, following, byte_order, big, _TAGS_OF_KIND)
            images += not _first(others, _Tag.SUBFILE, 0) & 5 and _first(others, _Tag.OLD_SUBFILE, 1) != 2
    except (struct.error, OverflowError) as error:
        raise ValueError("truncated TIFF (its header ends early)") from error
    return _image(tags, byte_order, images, len(data))


def _start(data: bytes) -> tuple[str, bool, int]:
    """Return byte order, whether this is a BigTIFF, and the offset of the first directory."""
    if data[:4] not in STARTS:
        raise ValueError("not a TIFF file")
    order, big = "<" if data[:2] == b"II" else ">", b"+" in data[:4]
    return order, big, struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]


def _directory(data: bytes, start: int, order: str, big: bool, wanted: frozenset[int] = _TAGS) -> tuple[Tags, int]:
    """Return the wanted tags of a directory, and the offset of the next directory or 0."""
    (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    at, size, inline = start + (8 if big else 2), 20 if big else 12, 8 if big else 4
    if at + entries * size > len(data):
        raise ValueError("truncated TIFF (its header ends early)")
    tags: Tags = {}
    for entry in range(at, at + entries * size, size):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag not in wanted or tag in tags or kind not in _VALUE_FORMATS:
            continue
        (count,) = struct.unpack_from(order + ("Q" if big else "I"), data, entry + 4)
        form, place = f"{order}{count}{_VALUE_FORMATS[kind]}", entry + size - inline
        if count > len(data):
            raise ValueError("truncated TIFF (its header ends early)")
        if struct.calcsize(form) > inline:
            (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, place)
        tags[tag] = struct.unpack_from(form, data, place)
    return tags, struct.unpack_from(order + ("Q" if big else "I"), data, at + entries * size)[0]


def _first(tags: Tags, tag: int, default: int) -> int:
    return (tags.get(tag) or (default,))[0]


def _image(tags: Tags, byte_order: str, images: int, file_bytes: int) -> TiffImage:
    """Return the image that the tags describe, checked."""
    width, height, bits = _first(tags, _Tag.WIDTH, 0), _first(tags, _Tag.HEIGHT, 0), tags.get(_Tag.BITS) or (1,)
    formats = tags.get(_Tag.SAMPLE_FORMAT) or (1,)
    strip_height = _first(tags, _Tag.STRIP_HEIGHT, height)
    tiled = _Tag.TILES in tags or _Tag.TILE_WIDTH in tags
    image = TiffImage(
        byte_order=byte_order,
        width=width,
        height=height,
        bits=bits[0],
        sample_kind=_KIND_OF_SAMPLE_FORMAT.get(formats[0], "complex"),
        samples=_first(tags, _Tag.SAMPLES, 1),
        photometric=_first(tags, _Tag.PHOTOMETRIC, MINISBLACK),
        extra_samples=tags.get(_Tag.EXTRA_SAMPLES, ()),
        interleaved=_first(tags, _Tag.PLANAR, 1) != 2 or _first(tags, _Tag.SAMPLES, 1) == 1,
        compression=_first(tags, _Tag.COMPRESSION, 1),
        predictor=_first(tags, _Tag.PREDICTOR, 1),
        tile_width=_first(tags, _Tag.TILE_WIDTH, 0) if tiled else width,
        tile_height=_first(tags, _Tag.TILE_HEIGHT, 0) if tiled else min(height, strip_height),
        tiled=tiled,
        offsets=tags.get(_Tag.TILES if tiled else _Tag.STRIPS) or tags.get(_Tag.STRIPS, ()),
        counts=tags.get(_Tag.TILE_BYTES if tiled else _Tag.STRIP_BYTES) or tags.get(_Tag.STRIP_BYTES, ()),
        nodata=bytes(value for value in tags.get(_Tag.NODATA, ()) if 0 < value < 128).decode(),
        colour_map=tags.get(_Tag.COLOUR_MAP, ()),
        jpeg_tables=bytes(value & 0xFF for value in tags.get(_Tag.JPEG_TABLES, ())),
        images=images,
    )
    if min(width, height, image.samples, image.tile_width, image.tile_height, image.bits) < 1:
        raise ValueError("broken TIFF (a width, height or number of bits is 0)")
    _check(image, set(bits), set(formats), _first(tags, _Tag.FILL_ORDER, 1))
    _check_size(image, file_bytes)
    return image


def _check(image: TiffImage, bits: set[int], formats: set[int], fill_order: int) -> None:
    """Raise UnsupportedImage for a sound image that is not decoded here, and ValueError for one with tiles missing."""
    if len(bits) > 1 or len(formats) > 1:
        raise UnsupportedImage(f"{image.samples} bands of different types")
    if image.bits not in _BITS[image.sample_kind]:
        raise UnsupportedImage(image.bands)
    if image.compression in _COMPRESSION:
        raise UnsupportedImage(f"a TIFF compressed with {_COMPRESSION[image.compression]}")
    if fill_order != 1:
        raise UnsupportedImage("a TIFF whose bits are stored lowest first (FillOrder 2)")
    if min(len(image.offsets), len(image.counts)) < image.tiles:
        raise ValueError(f"broken TIFF ({len(image.offsets)} of {image.tiles} strips or tiles)")


def _check_size(image: TiffImage, file_bytes: int) -> None:
    """Raise TooManyPixels, or ValueError for tiles whose bytes lie in the file again and again."""
    pixels = image.tiles_of_plane * image.tile_width * image.tile_height  # those at the edges are whole
    if pixels > (most := most_pixels(file_bytes)):
        raise TooManyPixels("a TIFF", image.width, image.height, most)
    if sum(image.counts[: image.tiles]) > file_bytes + pixels * image.samples * image.dtype.itemsize:
        raise ValueError("broken TIFF (its strips or tiles are larger than the file and than its pixels)")
