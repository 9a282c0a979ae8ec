"""Random access to the array_record shards of a split, from any thread."""

import threading
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from mtsccd_jax.errors import InputError


@dataclass(frozen=True)
class Shard:
    """The part of a file that belongs to a split: `rows` records from record `first` on."""

    path: Path
    first: int
    rows: int


class Records:
    """The encoded records of a split, by row number.

    A record is read right before it is decoded. Reading a whole batch at once, as array_record's own data source does
    with its own threads, takes twice the processor time and leaves the bytes cold in the cache.
    """

    def __init__(self, shards: list[Shard]):
        self.shards = shards
        self._stops = list(accumulate(shard.rows for shard in shards))
        self._readers: list[Any] = [None] * len(shards)
        self._opening = threading.Lock()

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    def __getitem__(self, row: int) -> bytes:
        """Return the bytes of a record."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        at = bisect_right(self._stops, row)
        shard = self.shards[at]
        try:
            record: bytes = self._reader(at).read([shard.first + row - (self._stops[at] - shard.rows)])[0]
            return record
        except RuntimeError as error:
            reason = str(error).partition(";")[0]
            raise InputError(f"{shard.path} is damaged ({reason}); build the data set again") from error

    def _reader(self, at: int) -> Any:
        """Return the reader of a shard, opened when it is first needed and shared by threads."""
        if self._readers[at] is None:
            from array_record.python.array_record_module import ArrayRecordReader

            path = self.shards[at].path
            if not path.is_file():  # array_record reads a missing file as an empty one
                raise InputError(f"{path} is missing; build the data set again")
            with self._opening:
                if self._readers[at] is None:
                    self._readers[at] = ArrayRecordReader(
                        str(path), options="readahead_buffer_size:0", file_reader_buffer_size=8192
                    )
        return self._readers[at]

    def __getstate__(self) -> list[Shard]:
        return self.shards

    def __setstate__(self, shards: list[Shard]) -> None:
        self.__init__(shards)  # type: ignore[misc]
