"""Check that an LMDB file holds the pages in use, before it is mapped: a page that is not there ends the process.

See `lmdb.h` and `mdb.c` of LMDB 0.9: a page begins with a header of 16 bytes, the first two pages hold a meta page
each, of which the one with the larger transaction number counts. Pages at the end that nothing points to may be
missing: LMDB does not write pages that a transaction took and gave back.
"""

import os
import struct
from typing import IO

MAGIC = 0xBEEFC0DE
# Magic number, version, bytes of a page, root of the tree of keys, last page, transaction.
_META = struct.Struct("<16x II 8x 8x I44x 40x Q Q Q")
_HEADER = struct.Struct("<10x HH 2x")  # flags, end of the table of nodes
_NODE = struct.Struct("<HHHH")  # data size or page number (low, high), flags (of branches: highest), key size
_BRANCH, _LEAF = 0x01, 0x02
_BIG_DATA = 0x01
_NO_ROOT = (1 << 64) - 1


def check_pages(path: str | os.PathLike[str]) -> None:
    """Raise ValueError, with what is wrong, unless all pages in use are in the file.

    Where the file ends early, the pages that point to others are read: some 1 % of it.
    """
    with open(path, "rb") as file:
        there = os.fstat(file.fileno()).st_size
        page_bytes, root, last_page = _newest_meta(file)
        if there < (expected := (last_page + 1) * page_bytes):
            pages = there // page_bytes
            if _last_in_use(file, page_bytes, root, pages) >= pages:
                raise ValueError(f"incomplete, {there:,} of {expected:,} bytes")


def _newest_meta(file: IO[bytes]) -> tuple[int, int, int]:
    """Return the bytes of a page, the root page and the last page."""
    page_bytes, root, last_page, transaction = _meta(file, 0)
    if page_bytes not in (1 << power for power in range(8, 17)):
        raise ValueError(f"damaged, pages of {page_bytes:,} bytes")
    second_bytes, *second = _meta(file, page_bytes)
    if second_bytes != page_bytes:
        raise ValueError("damaged, its two meta pages differ")
    if second[2] > transaction:
        root, last_page, _ = second
    return page_bytes, root, last_page


def _meta(file: IO[bytes], place: int) -> tuple[int, int, int, int]:
    """Return the bytes of a page, the root page, the last page and the transaction of a meta page."""
    file.seek(place)
    content = file.read(_META.size)
    if len(content) < _META.size:
        raise ValueError("incomplete, its meta pages are missing")
    magic, version, page_bytes, root, last_page, transaction = _META.unpack(content)
    if magic != MAGIC or version != 1:
        raise ValueError("no LMDB, a damaged one, or of another version")
    return page_bytes, root, last_page, transaction


def _last_in_use(file: IO[bytes], page_bytes: int, root: int, pages: int) -> int:
    """Return the last page that the tree of keys points to, or the first one found beyond the `pages` of the file."""
    waiting, seen, last = [root] if root != _NO_ROOT else [], set[int](), 1
    while waiting:
        page = waiting.pop()
        last = max(last, page)
        if page >= pages or page in seen:
            continue
        seen.add(page)
        file.seek(page * page_bytes)
        content = file.read(page_bytes)
        flags, lower = _HEADER.unpack_from(content)
        for (place,) in struct.iter_unpack("<H", content[16 : min(lower, page_bytes) & ~1]):
            if place + 8 > page_bytes:
                raise ValueError(f"damaged, page {page} points behind itself")
            low, high, more, key_bytes = _NODE.unpack_from(content, place)
            if flags & _BRANCH:
                waiting.append(low | high << 16 | more << 32)
            elif flags & _LEAF and more & _BIG_DATA and place + 8 + key_bytes + 8 <= page_bytes:
                (first,) = struct.unpack_from("<Q", content, place + 8 + key_bytes)
                last = max(last, first + (16 + (low | high << 16) - 1) // page_bytes)
    return last
