"""Serialised examples and the two record files that hold them.

This is the build's hot path: it imports neither TensorFlow nor TensorFlow Datasets, so that a worker process starts
in a fraction of a second and stays small.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfds_builders.reading.record_files import frame

# The value of one feature as TFDS stores it: encoded images, integer labels, texts, tensors.
Value = bytes | str | int | float | np.ndarray | np.generic | list[Any]
Example = Mapping[str, Value]

# JPEG does not compress further: trying costs 40 us an image and saves nothing. One record a group gives random access.
_ARRAY_RECORD_OPTIONS = "group_size:1,uncompressed"
_PROGRESS_EVERY = 64


@dataclass(frozen=True)
class Skipped:
    """Stands in a shard's stream for an example that could not be made."""

    reason: str


@dataclass(frozen=True)
class Excluded:
    """Stands in a shard's stream for an example that a list leaves out."""


@dataclass
class ShardResult:
    """The result of writing a shard: examples, their bytes, a line for every one that was left out, and those listed.

    Attributes:
        excluded: Examples that a list has left out.
    """

    examples: int = 0
    num_bytes: int = 0
    skipped: list[str] = field(default_factory=list)
    excluded: int = 0


def write_shard(
    examples: Iterable[tuple[object, Example | bytes | Skipped | Excluded]],
    paths: Mapping[str, str],
    report: Callable[[int], object],
) -> ShardResult:
    """Write (key, example) pairs, without the keys. Memory is one example, whatever the shard's size.

    Args:
        examples: features by name, or an example that is serialised already.
        paths: the file of each format, one or both of `WRITERS`.
        report: called every now and then with the number of further examples seen.
    """
    result = ShardResult()
    unreported = 0
    with contextlib.ExitStack() as files:
        writers = [files.enter_context(WRITERS[name](path)) for name, path in paths.items()]
        for _, example in examples:
            if isinstance(example, Skipped):
                result.skipped.append(example.reason)
            elif isinstance(example, Excluded):
                result.excluded += 1
            else:
                record = example if isinstance(example, bytes) else encode_example(example)
                for write in writers:
                    write(record)
                result.examples += 1
                result.num_bytes += len(record)
            unreported += 1
            if unreported == _PROGRESS_EVERY:
                report(unreported)
                unreported = 0
    report(unreported)
    return result


@contextlib.contextmanager
def _tfrecords(path: str) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that appends a record to the TFRecord file at `path`."""
    with open(path, "wb", buffering=1 << 20) as file:

        def write(record: bytes) -> None:
            header, footer = frame(record)
            file.writelines((header, record, footer))

        yield write


@contextlib.contextmanager
def _array_records(path: str) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that appends a record to the ArrayRecord file at `path`; its errors are OSErrors."""
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(path, _ARRAY_RECORD_OPTIONS)

    def write(record: bytes) -> None:
        try:
            writer.write(record)
        except RuntimeError as error:
            raise _write_error(error, path) from error

    try:
        yield write
    except BaseException:
        with contextlib.suppress(RuntimeError):  # the caller must see the first error
            writer.close()
        raise
    try:
        writer.close()
    except RuntimeError as error:
        raise _write_error(error, path) from error


# Contexts that yield a function to append a record to the file at a path, by the format's name in TFDS.
WRITERS: Mapping[str, Callable[[str], contextlib.AbstractContextManager[Callable[[bytes], object]]]] = {
    "tfrecord": _tfrecords,
    "array_record": _array_records,
}


def _write_error(error: RuntimeError, path: str) -> OSError:
    code = next((c for c in (errno.ENOSPC, errno.EDQUOT) if os.strerror(c) in str(error)), errno.EIO)
    return OSError(code, str(error).partition(";")[0], path)


def encode_example(example: Example) -> bytes:
    """Return `example` as a serialised tf.train.Example, its features in alphabetical order.

    bytes and str become a bytes_list, integers (and booleans) an int64_list, floats a float_list; arrays and lists are
    flattened. Two builds of the same data give the same bytes, which protobuf's own map order does not.
    """
    entries = (_field(1, name.encode()) + _field(2, _feature(example[name])) for name in sorted(example))
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _feature(value: Value) -> bytes:
    """Return a serialised tf.train.Feature: bytes_list = 1, float_list = 2, int64_list = 3."""
    if isinstance(value, bytes):
        return _field(1, _field(1, value))
    if isinstance(value, str):
        return _field(1, _field(1, value.encode()))
    if isinstance(value, int):  # bool too
        return _field(3, _field(1, _varint(value)))
    values = np.asarray(value).ravel()
    if values.dtype.kind in "biu":
        if values.dtype == np.uint64:
            values = values.view(np.int64)  # tf.train.Example has no uint64; TFDS reads it back the same way
        packed = b"".join(_varint(int(v)) for v in values)
        return _field(3, _field(1, packed) if packed else b"")
    if values.dtype.kind == "f":
        packed = values.astype("<f4").tobytes()
        return _field(2, _field(1, packed) if packed else b"")
    texts = (v if isinstance(v, bytes) else str(v).encode() for v in values.tolist())
    return _field(1, b"".join(_field(1, text) for text in texts))


def _field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited protobuf field."""
    return bytes((number << 3 | 2,)) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    """Return a protobuf varint; negative values as their 64-bit two's complement."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
