"""Read an LMDB page by page, each of them checked: LMDB's own library ends the process where one is damaged.

See `lmdb.h` and `mdb.c` of LMDB 0.9. A page begins with a header of 16 bytes. The first two pages hold a meta page
each, of which the one with the larger transaction number counts. From its root, branch pages lead to leaf pages, which
hold the keys in order; a long value lies on pages of its own. Pages at the end that nothing leads to may be missing:
LMDB does not write pages that a transaction took and gave back.

LMDB has no checksums. Damage to the way to a value is told, damage to its bytes only where they make no sense.
"""

import functools
import os
import struct
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import raise_named

MAGIC = 0xBEEFC0DE
# Number and flags of the page; magic number, version, bytes of a page; of the tree of keys flags, depth, entries and
# root; last page, transaction.
_META = struct.Struct("<Q 2x H 4x II 8x 8x I44x 4x HH 24x QQ QQ")
_HEADER_BYTES = 16
_HEADER = struct.Struct("<Q 2x HHH")  # number, flags, end of the table of nodes, begin of the nodes
_LONG_HEADER = struct.Struct("<Q 2x HI")  # number, flags, pages of the value
_NODE = struct.Struct("<HHHH")  # value's size or page (low, high), flags (of a branch: page, highest), size of the key
_LONG_NODE = struct.Struct("<Q")  # after the key: the first page of the value
# Flags of a page, and of a node whose value lies on pages of its own.
_BRANCH, _LEAF, _LONG, _META_PAGE = 0x01, 0x02, 0x04, 0x08
_LONG_VALUE = 0x01
_NO_ROOT = (1 << 64) - 1
_DEEPEST = 32  # LMDB's own limit
_PAGES_KEPT = 256

# Where a value lies: its first page or 0, where it begins (in the file or on that page), its bytes.
_Value = tuple[int, int, int]


class LmdbFile:
    """An LMDB file that is open for reading, from any thread and any forked process.

    What reads it raises ArchiveError where the file is damaged or incomplete, and OSError where the disk fails.
    """

    def __init__(self, path: str):
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self._there = os.fstat(self._file).st_size
        self._page_bytes, self._depth, self._entries, self._root, self._pages = self._newest_meta()
        page = weakref.WeakMethod(self._page)  # a cache of the method itself would keep the file open
        self._kept = functools.lru_cache(_PAGES_KEPT)(lambda number, kind: page()(number, kind))  # type: ignore[misc]

    def read(self, place: int, size: int) -> bytes:
        """Return bytes of the file."""
        if place + size > self._there:  # and maybe no place that a file can have
            raise self._incomplete()
        try:
            content = os.pread(self._file, size, place)
        except OSError as error:
            raise_named(error, self.path)
        if len(content) < size:
            raise self._incomplete()
        return content

    def find(self, key: bytes) -> tuple[int, int] | None:
        """Return where in the file the value of a key begins, and its bytes; None where there is no such key."""
        number = self._root
        for _ in range(1, self._depth):
            keys, pages = self._kept(number, _BRANCH)
            number = pages[bisect_right(keys, key, lo=1) - 1]  # the first key stands for all before the second
        keys, values = self._kept(number, _LEAF) if self._depth else ((), ())
        at = bisect_right(keys, key) - 1
        if at < 0 or keys[at] != key:
            return None
        page, start, size = values[at]
        if page:
            self._check_long(page, size)
        return page * self._page_bytes + start, size

    def keys(self) -> Iterator[bytes]:
        """Yield all keys in order; at the end it is known whether all were there."""
        number, last, long_values = 0, b"", set[int]()
        for number, (key, (page, start, size)) in enumerate(self._nodes(), start=1):
            if key <= last and number > 1:
                raise self._damaged("its keys are not in order")
            if page in long_values:
                raise self._damaged(f"two keys lead to page {page}")
            if page * self._page_bytes + start + size > self._there:
                raise self._incomplete()
            if page:
                long_values.add(page)
            last = key
            yield key
        if number != self._entries:
            raise self._damaged(f"{number:,} of {self._entries:,} keys are there")

    def _nodes(self) -> Iterator[tuple[bytes, _Value]]:
        """Yield key and value of every node of the leaf pages."""
        waiting, seen = [(self._root, 1)] if self._depth else [], set[int]()
        while waiting:
            number, depth = waiting.pop()
            if number in seen:
                raise self._damaged(f"two pages lead to page {number}")
            seen.add(number)
            keys, inside = self._page(number, _LEAF if depth == self._depth else _BRANCH)
            if depth == self._depth:
                yield from zip(keys, inside, strict=True)
            else:
                waiting.extend((page, depth + 1) for page in reversed(inside))

    def _page(self, number: int, kind: int) -> tuple[tuple[bytes, ...], tuple[Any, ...]]:
        """Return the keys of a page, and the pages or the values that they lead to; all must lie on it."""
        if not 1 < number < self._pages:
            raise self._damaged(f"page {number:,} of {self._pages:,} is led to")
        content = self.read(number * self._page_bytes, self._page_bytes)
        written, flags, lower, upper = _HEADER.unpack_from(content)
        if written != number or flags != kind or not _HEADER_BYTES < lower <= upper <= self._page_bytes or lower % 2:
            raise self._damaged(f"page {number:,} is none")
        nodes = [self._node(content, place, number, kind) for (place,) in struct.iter_unpack("<H", content[16:lower])]
        return tuple(key for key, _ in nodes), tuple(inside for _, inside in nodes)

    def _node(self, content: bytes, place: int, number: int, kind: int) -> tuple[bytes, Any]:
        """Return the key of a node, and the page or the value that it leads to."""
        key_at, end = place + _NODE.size, self._page_bytes
        low, high, more, key_bytes = _NODE.unpack_from(content, place) if key_at <= end else (0, 0, 0, end)
        after = key_at + key_bytes
        inside: Any
        if kind == _BRANCH:
            inside = low | high << 16 | more << 32
        elif more == _LONG_VALUE and after + _LONG_NODE.size <= end:
            inside = *_LONG_NODE.unpack_from(content, after), _HEADER_BYTES, low | high << 16
        else:
            inside = 0, number * end + after, low | high << 16
            after += end if more else low | high << 16  # no other flag has a value that is read here
        if after > end:
            raise self._damaged(f"page {number:,} leads out of itself, or to a database inside this one")
        return content[key_at : key_at + key_bytes], inside

    def _check_long(self, first: int, size: int) -> None:
        """Raise ArchiveError unless a value of so many bytes lies on pages of its own."""
        needed = -(-(_HEADER_BYTES + size) // self._page_bytes)
        if not 1 < first <= self._pages - needed:
            raise self._damaged(f"page {first:,} of {self._pages:,} is led to")
        written, flags, pages = _LONG_HEADER.unpack(self.read(first * self._page_bytes, _LONG_HEADER.size))
        if written != first or flags != _LONG or not needed <= pages <= self._pages - first:
            raise self._damaged(f"no value begins on page {first:,}")

    def _newest_meta(self) -> tuple[int, int, int, int, int]:
        """Return the bytes of a page, and depth, keys, root and pages of the tree."""
        page_bytes, *first = self._meta(0, 0)
        if page_bytes not in (1 << power for power in range(8, 17)):
            raise self._damaged(f"pages of {page_bytes:,} bytes")
        second_bytes, *second = self._meta(1, page_bytes)
        before, newest = sorted((first, second), key=lambda meta: meta[-1])
        flags, depth, entries, root, last, transaction = newest
        if second_bytes != page_bytes or transaction - before[-1] > 1:
            raise self._damaged("its two meta pages do not belong together")
        if flags:
            raise self._damaged("or its keys have another order or several values")
        if last < before[-2]:
            raise self._damaged("its newest state has fewer pages than the one before")
        if depth > _DEEPEST or (depth == 0) != (root == _NO_ROOT):
            raise self._damaged(f"{depth:,} pages deep")
        return page_bytes, depth, entries, root, last + 1

    def _meta(self, number: int, place: int) -> tuple[int, ...]:
        """Return bytes of a page, flags, depth, entries, root, last page and transaction of a meta page."""
        if self._there < place + _META.size:
            raise self._broken("incomplete, its meta pages are missing")
        written, kind, magic, version, *values = _META.unpack(self.read(place, _META.size))
        if magic != MAGIC or version != 1:
            raise self._broken("no LMDB, a damaged one, or of another version")
        if (written, kind) != (number, _META_PAGE):
            raise self._damaged(f"page {number} is none")
        return tuple(values)

    def _incomplete(self) -> ArchiveError:
        expected = self._pages * self._page_bytes
        if self._there >= expected:
            return self._damaged("a value ends behind the last page")
        return self._broken(f"incomplete, {self._there:,} of {expected:,} bytes")

    def _damaged(self, how: str) -> ArchiveError:
        return self._broken(f"damaged, {how}")

    def _broken(self, how: str) -> ArchiveError:
        return ArchiveError(f"{self.path}: {how}; copy or download it again")
