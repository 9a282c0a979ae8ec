"""Random access to the shards of a split, TFRecord or array_record, from any thread."""

import errno
import functools
import resource
from bisect import bisect_right
from dataclasses import dataclass, field
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
        self._owner = _Owner()

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    def __getitem__(self, row: int) -> bytes:
        """Return the bytes of a record."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        at = bisect_right(self._stops, row)
        shard = self.shards[at]
        position = shard.first + row - (self._stops[at] - shard.rows)
        from tfds_builders.reading.archive import ArchiveError  # not needed where all data are in memory

        try:
            record: bytes = _file(str(shard.path), self._owner)[position]
            return record
        except ArchiveError as error:
            raise InputError(str(error)) from error

    def __getstate__(self) -> list[Shard]:
        return self.shards

    def __setstate__(self, shards: list[Shard]) -> None:
        self.__init__(shards)  # type: ignore[misc]


@dataclass(eq=False)
class _Owner:
    """Who opens files, and where the records of its TFRecord shards begin: each file is walked once."""

    places: dict[str, Any] = field(default_factory=dict)


@functools.lru_cache(_most_readers())
def _file(path: str, owner: _Owner) -> Any:
    """Return the records of a shard, shared by threads; files used least recently are closed.

    Each `owner` opens files of its own: a data set that was built again has other files of the same names. A forked
    process goes on with the readers of its parent, which keep no position in the file.
    """
    from tfds_builders.reading.record_files import ArrayRecordFile, TFRecordFile

    try:
        if ".tfrecord" in Path(path).name:
            file = TFRecordFile(path, owner.places.get(path))
            owner.places[path] = file.places
            return file
        check_address_space()
        return ArrayRecordFile(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; build the data set again") from None
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE) or not _file.cache_info().currsize:
            raise
    _file.cache_clear()  # others have taken the files that this process may open
    return _file(path, owner)
