"""Read patches of BigEarthNet v2 from an LMDB of safetensors. Light to import, for the worker processes.

The LMDB is a folder with `data.mdb` in it, as rico-hdl writes it, or a single file. It is opened without a lock file,
so that it may lie on a medium that cannot be written to, and stays open. LMDB has no checksums: what is told of a
damaged value is what its safetensors header tells, and pixels that were changed are read as they are.
"""

import functools
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfds_builders.bigearthnet.bands import BANDS
from tfds_builders.bigearthnet.pixels import refuse_no_data
from tfds_builders.bigearthnet_v2.lmdb_pages import MAGIC, LmdbFile
from tfds_builders.bigearthnet_v2.reference_maps import MAP_DTYPE, MAP_SHAPE, MAP_SUFFIX
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import opened

LMDB_FILE = "data.mdb"
_FILE_SUFFIXES = (".mdb", ".lmdb")
# The first page's magic number follows the header of the page.
_MAGIC_AT, _MAGIC = 16, MAGIC.to_bytes(4, "little")
_MAP_IN_LMDB = "Data"  # rico-hdl's name for the pixels of a single-band patch
# Types of safetensors: NumPy's name and bytes a value.
_TYPES = {
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "U16": ("uint16", 2),
    "I16": ("int16", 2),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "U32": ("uint32", 4),
    "I32": ("int32", 4),
    "F32": ("float32", 4),
    "U64": ("uint64", 8),
    "I64": ("int64", 8),
    "F64": ("float64", 8),
}
# All bands of a patch in the largest type take a tenth of it; a longer value is read into the memory of others.
_MOST_VALUE_BYTES = 1 << 24


def find_lmdb(path: Path) -> Path | None:
    """Return the LMDB at `path`, which is its folder, its only file or a folder with one such file; None without one.

    Raises:
        ArchiveError: the folder holds several such files.
    """
    if path.is_file():
        return path if _is_lmdb(path) else None
    if (path / LMDB_FILE).is_file():
        return path
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in _FILE_SUFFIXES and _is_lmdb(file)]
    if len(files) > 1:
        raise ArchiveError(f"{path}: holds {' and '.join(file.name for file in files)}; give one of these files")
    return files[0] if files else None


def _is_lmdb(path: Path) -> bool:
    if not path.is_file():
        return False
    with opened(path) as file:
        return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC


@dataclass(frozen=True)
class LmdbPatches:
    """The patches in an LMDB: values are safetensors, never executed.

    Radar may be stored as float16 or bfloat16, which become the same float32 values, and Sentinel-2 and the maps as any
    type of integers whose values are uint16.
    """

    path: str

    def bands(self, name: str, bands: tuple[str, ...]) -> dict[str, bytes]:
        """Return the same as `FolderPatches.bands`; raise ArchiveError likewise."""
        pixels = self._read(name, {band: (BANDS[band].shape, BANDS[band].dtype) for band in bands})
        for band in (band for band in bands if BANDS[band].sensor == "S1"):
            pixels_hw = np.frombuffer(pixels[band], BANDS[band].dtype).reshape(BANDS[band].shape)
            refuse_no_data(pixels_hw, BANDS[band], f"{self.path}: '{name}', {band}")
        return pixels

    def reference_map(self, patch_id: str) -> bytes:
        """Return the same as `FolderPatches.reference_map`; raise ArchiveError likewise."""
        return self._read(f"{patch_id}{MAP_SUFFIX}", {_MAP_IN_LMDB: (MAP_SHAPE, MAP_DTYPE)})[_MAP_IN_LMDB]

    def _read(self, key: str, wanted: dict[str, tuple[tuple[int, int], str]]) -> dict[str, bytes]:
        """Return the pixels of each tensor in `wanted` (name -> shape and type), copied once, out of the file."""
        where = f"{self.path}: '{key}'"
        file = _opened(self.path)
        place, size = file.find(key.encode()) or (0, 0)
        if not place:
            raise ArchiveError(f"{self.path}: no key '{key}'")
        if size > _MOST_VALUE_BYTES:
            raise ArchiveError(f"{where}: {size:,} bytes are no patch; copy or download the LMDB again")
        value = memoryview(file.read(place, size))
        start = 8 + int.from_bytes(value[:8], "little")
        try:
            tensors, stop = _safetensors_layout(bytes(value[8:start]))
            if start + stop != size:
                raise ValueError(f"{size} bytes instead of {start + stop}")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ArchiveError(
                f"{where}: its value is not in the safetensors format ({error}); write the LMDB with rico-hdl "
                "(pickled patches of other programs are not read)"
            ) from error
        pixels = {}
        for name, (shape, dtype) in wanted.items():
            tensor = tensors.get(name)
            if tensor is None:
                raise ArchiveError(f"{where} has no {name}; it has {', '.join(sorted(tensors))}")
            if tensor.shape != shape:
                size_text = "x".join(map(str, reversed(tensor.shape)))
                raise ArchiveError(f"{where}, {name}: size {size_text} instead of {shape[1]}x{shape[0]}")
            content = bytes(value[start + tensor.start : start + tensor.stop])
            pixels[name] = _converted(content, tensor.dtype, dtype, f"{where}, {name}")
        return pixels


def _converted(content: bytes, stored: str, wanted: str, where: str) -> bytes:
    """Return the same values in the type that is wanted; raise ArchiveError where it cannot hold them all."""
    if stored == wanted:
        return content
    if wanted == "float32" and stored == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(content, "<u2").astype("<u4") << 16).tobytes()
    if wanted == "float32" and stored == "float16":
        return np.frombuffer(content, "<f2").astype("<f4").tobytes()
    if wanted == "uint16" and stored.removeprefix("u").startswith("int"):
        values = np.frombuffer(content, np.dtype(stored).newbyteorder("<"))
        if values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max:
            return values.astype("<u2").tobytes()
        raise ArchiveError(f"{where}: {values.min()} to {values.max()} are no values of {wanted}")
    raise ArchiveError(f"{where}: pixels of type {stored} instead of {wanted}")


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor of a safetensors value; `start` and `stop` count bytes from the end of the header."""

    shape: tuple[int, ...]
    dtype: str
    start: int
    stop: int


@functools.lru_cache(maxsize=64)
def _safetensors_layout(header: bytes) -> tuple[dict[str, _Tensor], int]:
    """Return the tensors that a safetensors header (JSON) names, and the number of bytes after it.

    All patches of a kind have the same header, so that this is looked up: a third of the time of a patch otherwise.

    Raises:
        ValueError, KeyError, TypeError, OverflowError, RecursionError: it is no such header.
    """
    if not header.startswith(b"{"):
        raise ValueError("no header")
    tensors = {}
    for name, entry in json.loads(header).items():
        if name == "__metadata__":
            continue
        start, stop = map(int, entry["data_offsets"])
        if entry["dtype"] not in _TYPES:
            raise ValueError(f"{name} is of type {entry['dtype']}, and {', '.join(_TYPES)} are read")
        dtype, value_bytes = _TYPES[entry["dtype"]]
        tensor = _Tensor(tuple(entry["shape"]), dtype, start, stop)
        if not 0 <= start <= stop or stop - start != math.prod(tensor.shape) * value_bytes:
            raise ValueError(f"{name} is not where its header says")
        tensors[name] = tensor
    return tensors, max((tensor.stop for tensor in tensors.values()), default=0)


def lmdb_keys(path: str) -> Iterator[bytes]:
    """Yield the keys of the LMDB at `path` in order; raise ArchiveError where it is damaged, or not all are there."""
    return _opened(path).keys()


def _opened(path: str) -> LmdbFile:
    """Return the LMDB at `path`, which stays open; one that was written again is opened anew."""
    file = os.path.join(path, LMDB_FILE) if os.path.isdir(path) else path
    status = os.stat(file)
    return _opened_file(file, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _opened_file(file: str, inode: int, num_bytes: int, written_ns: int) -> LmdbFile:
    return LmdbFile(file)
