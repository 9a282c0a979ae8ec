"""Random access to the shards of a split, TFRecord or array_record, from any thread."""

import errno
import functools
import itertools
import os
import re
import resource
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from mtsccd_jax.errors import InputError
from mtsccd_jax.host_memory import check_address_space


def _most_readers() -> int:
    """Return how many shards may be open in this process: half of the files that it may have open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 4096 if limit == resource.RLIM_INFINITY else min(max(limit // 2, 8), 4096)


@dataclass(frozen=True)
class Shard:
    """The part of a file that belongs to a split: `rows` records from record `first` on."""

    path: Path
    first: int
    rows: int


class Records:
    """The encoded records of a split, by row number.

    A record is read right before it is decoded. Reading a whole batch at once, as array_record's own data source does
    with its own threads, takes twice the processor time and leaves the bytes cold in the cache. A record of 320 kB
    takes half the processor time out of a TFRecord file.
    """

    def __init__(self, shards: list[Shard]):
        self.shards = shards
        self._stops = list(accumulate(shard.rows for shard in shards))
        self._owner = next(_OWNERS)

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    def __getitem__(self, row: int) -> bytes:
        """Return the bytes of a record."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        at = bisect_right(self._stops, row)
        shard = self.shards[at]
        position = shard.first + row - (self._stops[at] - shard.rows)
        try:
            return _reader(str(shard.path), self._owner)(position)
        except RuntimeError as error:
            raise _explained(error, shard.path) from error

    def __getstate__(self) -> list[Shard]:
        return self.shards

    def __setstate__(self, shards: list[Shard]) -> None:
        self.__init__(shards)  # type: ignore[misc]


_OWNERS = itertools.count()


@functools.lru_cache(_most_readers())
def _reader(path: str, owner: int) -> Callable[[int], bytes]:
    """Return what reads a record of a shard, shared by threads; files used least recently are closed.

    Each `owner` opens files of its own: a data set that was built again has other files of the same names. A forked
    process goes on with the readers of its parent, which keep no position in the file.
    """
    try:
        return _of_tfrecord(path) if ".tfrecord" in Path(path).name else _of_array_record(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; build the data set again") from None
    except (OSError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else _system_error(error)
        if number not in (errno.EMFILE, errno.ENFILE) or not _reader.cache_info().currsize:
            raise
    _reader.cache_clear()  # others have taken the files that this process may open
    return _reader(path, owner)


def _of_tfrecord(path: str) -> Callable[[int], bytes]:
    """Return what reads a record of a TFRecord file."""
    from tfds_builders.reading.archive import ArchiveError
    from tfds_builders.reading.tfrecords import TFRecordFile

    def told(call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except ArchiveError as error:
            raise InputError(str(error)) from error

    return functools.partial(told, told(TFRecordFile, path).__getitem__)


def _of_array_record(path: str) -> Callable[[int], bytes]:
    """Return what reads a record of an array_record file."""
    from array_record.python.array_record_module import ArrayRecordReader

    check_address_space()
    os.stat(path)  # array_record reads a missing file as an empty one
    reader = ArrayRecordReader(path, options="readahead_buffer_size:0", file_reader_buffer_size=8192)

    def read(position: int) -> bytes:
        record: bytes = reader.read([position])[0]
        return record

    return read


def _explained(error: RuntimeError, path: Path) -> Exception:
    """Return the error of the operating system behind an error of array_record, or else say that a file is damaged."""
    if code := _system_error(error):
        return OSError(code, os.strerror(code), str(path))
    return InputError(f"{path} is damaged ({str(error).partition(';')[0]}); build the data set again")


def _system_error(error: RuntimeError) -> int | None:
    """Return the number of the error of the system call that failed, such as "open() failed: Too many open files"."""
    failed = re.search(r"\b\w+\(\) failed: ([^;]+)", str(error))
    known = {os.strerror(code): code for code in errno.errorcode}
    return known.get(failed[1].strip(), errno.EIO) if failed else None
