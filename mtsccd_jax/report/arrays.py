"""Read .npz files that somebody else may have written: no pickles, and no more memory than the file may ask for."""

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

# What zipfile, zlib and NumPy raise on a broken file; NotImplementedError and RecursionError are RuntimeErrors.
_BROKEN = (
    *(ValueError, OSError, EOFError, KeyError, IndexError, TypeError, OverflowError, RuntimeError, SyntaxError),
    *(struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile),
)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_arrays(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by name.

    Raises:
        ValueError: it is damaged, holds Python objects, or unpacks to far more than its size; the message begins with
            the path.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {_name(info): _array(archive.read(info)) for info in _members(archive, len(content))}
    except _BROKEN as error:
        raise ValueError(f"{path}: not a readable .npz ({error})") from error


def damaged_arrays(content: bytes) -> str:
    """Return which arrays of an .npz file are not as they were written, by its own checksums, and where they lie."""
    damaged = []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = _members(archive, len(content))
            ends = [*(info.header_offset for info in members[1:]), archive.start_dir]
            for info, end in zip(members, ends, strict=True):
                try:
                    archive.read(info)
                except _BROKEN:
                    damaged.append(f"array '{_name(info)}', bytes {info.header_offset:,} to {end - 1:,}")
    except _BROKEN as error:
        return f"no whole .npz of {len(content):,} bytes, {error}"
    return " and ".join(damaged) or "its arrays are whole, so it is another file or has another table of contents"


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(".npy")


def _members(archive: zipfile.ZipFile, num_bytes: int) -> list[zipfile.ZipInfo]:
    """Return the arrays of a file of so many bytes in its order; ValueError where they unpack to far more."""
    from tfds_builders.reading.limits import most_unpacked

    members = sorted(archive.infolist(), key=lambda info: info.header_offset)
    unpacked, (most, most_members) = sum(info.file_size for info in members), most_unpacked(num_bytes)
    if unpacked > most or len(members) > most_members:
        raise ValueError(f"it unpacks to {unpacked:,} bytes in {len(members):,} arrays")
    return members


def _array(content: bytes) -> np.ndarray:
    """Return the array of a .npy file, whose header must tell its length."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format")
    shape, by_column, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("an array of Python objects, which need pickles")
    there = len(content) - stream.tell()
    if there != (expected := math.prod(shape) * dtype.itemsize):
        raise ValueError(f"{there:,} bytes of values instead of {expected:,}")
    array = np.frombuffer(content, dtype, math.prod(shape), stream.tell()).copy()
    return array.reshape(shape, order="F" if by_column else "C")
