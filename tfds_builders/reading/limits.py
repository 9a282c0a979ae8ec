"""Limits on what one file may ask for, so that a small or damaged one cannot fill the memory or the disk.

An image may have the pixels that Pillow opens (twice its `Image.MAX_IMAGE_PIXELS`). One of at least a byte for every 25
pixels, as all but drawn ones have, may have as many as OpenCV decodes (`CV_IO_MAX_IMAGE_PIXELS`): a scene of 20,000 x
20,000 passes. The environment variable MTSCCD_MAX_PIXELS sets another number.

A zip or tar file may unpack to a hundred times its size; whoever trusts another one unpacks it.
"""

import os

MAX_PIXELS = "MTSCCD_MAX_PIXELS"
_PILLOW_PIXELS = 2 * (1 << 30) // 4 // 3
_OPENCV_PIXELS = 1 << 30
_PIXELS_A_BYTE = 25
_LARGE_PIXELS, _MOST_SCANS = 1 << 22, 200

# Of zip and tar files: unpacked bytes for each of theirs, theirs for each member, and what any of them may hold.
_RATIO = 100
_MEMBER_BYTES = 32
_ANY_BYTES, _ANY_MEMBERS = 1 << 28, 1 << 16
# What of them, or of a compressed list, is held in memory; the longest lists of the data sets take a tenth.
KEPT_BYTES = 1 << 28


def most_pixels(file_bytes: int) -> int:
    """Return the number of pixels that an image file of so many bytes may have; 0 where MTSCCD_MAX_PIXELS is none."""
    given = os.environ.get(MAX_PIXELS)
    if given is None:
        return min(_OPENCV_PIXELS, max(_PILLOW_PIXELS, _PIXELS_A_BYTE * file_bytes))
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 20 else 0


def has_too_many_scans(jpeg: bytes, pixels: int) -> bool:
    """Return whether a large JPEG goes over its pixels again and again, for hours; programs write ten scans or so."""
    return pixels > _LARGE_PIXELS and jpeg.count(b"\xff\xda") > _MOST_SCANS


def most_unpacked(packed_bytes: int) -> tuple[int, int]:
    """Return the bytes and the members that a zip or tar file of so many bytes may unpack to."""
    return max(_ANY_BYTES, _RATIO * packed_bytes), max(_ANY_MEMBERS, packed_bytes // _MEMBER_BYTES)
