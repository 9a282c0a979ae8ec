"""Records that a build has written, read again without TFDS: what a data set's other format is made from."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.tfrecords import TFRecordFile


@dataclass(frozen=True)
class StoredRecords:
    """The serialised examples of a shard that is written in one format; picklable, read anew by every call."""

    path: str
    format: str

    def __call__(self) -> Iterator[tuple[int, bytes]]:
        """Yield (place, record).

        Raises:
            ArchiveError: the file is damaged.
        """
        yield from enumerate(_READERS[self.format](self.path))


def _read_tfrecords(path: str) -> Iterator[bytes]:
    """Yield the records of a TFRecord file."""
    file = TFRecordFile(path)
    yield from (file[number] for number in range(len(file)))


def _read_array_records(path: str) -> Iterator[bytes]:
    """Yield the records of an ArrayRecord file."""
    from array_record.python.array_record_module import ArrayRecordReader

    os.stat(path)  # array_record reads a missing file as an empty one
    reader = ArrayRecordReader(path)
    try:
        for place in range(reader.num_records()):
            yield reader.read([place])[0]
    except RuntimeError as error:
        raise ArchiveError(f"{path} is damaged; build the data set again") from error
    finally:
        reader.close()


_READERS: dict[str, Callable[[str], Iterator[bytes]]] = {
    "tfrecord": _read_tfrecords,
    "array_record": _read_array_records,
}
