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
    from tfds_builders.reading.limits import most_unpacked

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            unpacked, (most, most_members) = sum(info.file_size for info in members), most_unpacked(len(content))
            if unpacked > most or len(members) > most_members:
                raise ValueError(f"it unpacks to {unpacked:,} bytes in {len(members):,} arrays")
            return {info.filename.removesuffix(".npy"): _array(archive.read(info)) for info in members}
    except _BROKEN as error:
        raise ValueError(f"{path}: not a readable .npz ({error})") from error


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
