"""TFRecord and ArrayRecord files without TensorFlow: random access to their records, from any thread."""

import errno
import os
import re
import struct
import weakref
from array import array
from pathlib import Path

import google_crc32c

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import raise_named

_MASK_DELTA = 0xA282EAD8
_HEADER, _FOOTER = 12, 4


def frame(record: bytes) -> tuple[bytes, bytes]:
    """Return TFRecord's header of a record (length, its checksum) and footer (the record's checksum)."""
    return _header(len(record)), struct.pack("<I", masked_crc32c(record))


def masked_crc32c(data: bytes) -> int:
    """Return TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


class TFRecordFile:
    """The records of a TFRecord file by number; each is checked when it is read. It stays open as long as the object.

    Args:
        path: the file.
        places: where its records begin and the last one ends, as another object of the same file has found by a walk
            over all headers; None walks.

    Raises:
        ArchiveError: the file is damaged, now or when a record is read.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], places: "array[int] | None" = None):
        self.path = Path(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self.places = self._walk() if places is None else places

    def __len__(self) -> int:
        return len(self.places) - 1

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < len(self):  # a file that ends between two records
            raise self._damaged()
        place = self.places[number] + _HEADER
        length = self.places[number + 1] - _FOOTER - place
        record = self._read(length, place)
        if self._read(_FOOTER, place + length) != struct.pack("<I", masked_crc32c(record)):
            raise self._damaged()
        return record

    def _walk(self) -> "array[int]":
        size, place, places = os.fstat(self._descriptor).st_size, 0, array("Q", [0])
        while place < size:
            header = self._read(_HEADER, place)
            length = int.from_bytes(header[:8], "little")
            place += _HEADER + length + _FOOTER
            if header != _header(length) or place > size:
                raise self._damaged()
            places.append(place)
        return places

    def _read(self, length: int, place: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, place)
        except OSError as error:
            raise_named(error, self.path)

    def _damaged(self) -> ArchiveError:
        return ArchiveError(f"{self.path} is damaged; build the data set again")


class ArrayRecordFile:
    """The records of an ArrayRecord file by number, through its own library; raises what `TFRecordFile` does."""

    def __init__(self, path: str | os.PathLike[str]):
        from array_record.python.array_record_module import ArrayRecordReader

        self.path = Path(path)
        os.stat(path)  # array_record reads a missing file as an empty one
        try:
            options = {"options": "readahead_buffer_size:0", "file_reader_buffer_size": 8192}
            self._reader = ArrayRecordReader(os.fspath(path), **options)
        except RuntimeError as error:
            raise self._explained(error) from error

    def __len__(self) -> int:
        return int(self._reader.num_records())

    def __getitem__(self, number: int) -> bytes:
        try:
            record: bytes = self._reader.read([number])[0]
        except RuntimeError as error:
            raise self._explained(error) from error
        return record

    def _explained(self, error: RuntimeError) -> Exception:
        """Return the error of the system behind one of the library, such as "open() failed: Too many open files"."""
        if failed := re.search(r"\b\w+\(\) failed: ([^;]+)", str(error)):
            known = {os.strerror(code): code for code in errno.errorcode}
            code = known.get(failed[1].strip(), errno.EIO)
            return OSError(code, os.strerror(code), str(self.path))
        reason = str(error).partition(";")[0]
        return ArchiveError(f"{self.path} is damaged ({reason}); build the data set again")


def _header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc32c(packed))
