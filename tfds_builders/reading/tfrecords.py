"""TFRecord files without TensorFlow: their frames, and random access to the records."""

import os
import struct
import weakref
from pathlib import Path

import google_crc32c

from tfds_builders.reading.archive import ArchiveError

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
    """The records of a file by number, from any thread; each is checked when it is read.

    The places of the records are found by a walk over their headers, once. The file is open as long as the object is.

    Raises:
        ArchiveError: the file is damaged, now or when a record is read.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        size, place = os.fstat(self._descriptor).st_size, 0
        self._records: list[tuple[int, int]] = []  # place and length
        while place < size:
            header = self._read(_HEADER, place)
            length = int.from_bytes(header[:8], "little")
            if header != _header(length) or place + _HEADER + length + _FOOTER > size:
                raise self._damaged()
            self._records.append((place + _HEADER, length))
            place += _HEADER + length + _FOOTER

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, number: int) -> bytes:
        if number >= len(self):  # the file ends between two records
            raise self._damaged()
        place, length = self._records[number]
        record = self._read(length, place)
        if self._read(_FOOTER, place + length) != struct.pack("<I", masked_crc32c(record)):
            raise self._damaged()
        return record

    def _read(self, length: int, place: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, place)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _damaged(self) -> ArchiveError:
        return ArchiveError(f"{self.path} is damaged; build the data set again")


def _header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc32c(packed))
