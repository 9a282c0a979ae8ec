"""Records that a build has written, read again without TFDS: what a data set's other format is made from."""

from collections.abc import Iterator
from dataclasses import dataclass

from tfds_builders.reading.record_files import ArrayRecordFile, TFRecordFile

READERS = {"tfrecord": TFRecordFile, "array_record": ArrayRecordFile}


@dataclass(frozen=True)
class StoredRecords:
    """The serialised examples of a shard that is written in one format; picklable, read anew by every call."""

    path: str
    format: str

    def __call__(self) -> Iterator[tuple[int, bytes]]:
        """Yield (place, record).

        Raises:
            ArchiveError: the file is damaged.
            OSError: it cannot be read.
        """
        file = READERS[self.format](self.path)
        yield from ((number, file[number]) for number in range(len(file)))
