"""Read patches of BigEarthNet v2 from folders or from an LMDB. Light to import, for the worker processes."""

import functools
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfds_builders.bigearthnet.bands import BANDS
from tfds_builders.bigearthnet.names import S1_NAME, S2_V2_NAME, SEASONS, s1_scene, s2_v2_product
from tfds_builders.bigearthnet_v2.metadata import Metadata
from tfds_builders.bigearthnet_v2.reference_maps import MAP_SHAPE, class_shares, index_map
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.geotiff import read_tiff
from tfds_builders.writing.examples import make_examples
from tfds_builders.writing.records import Example, Skipped, Value

# The three kinds of patches, named by the folders they lie in.
S2, S1, MAPS = "BigEarthNet-S2", "BigEarthNet-S1", "Reference_Maps"
MAP_SUFFIX = "_reference_map"
LMDB_FILE = "data.mdb"
_MAP_DTYPE = "uint16"
_MAP_IN_LMDB = "Data"  # rico-hdl's name for the pixels of a single-band patch
# Types of safetensors: NumPy's name and bytes a value.
_SAFETENSORS_TYPES = {
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "U16": ("uint16", 2),
    "I16": ("int16", 2),
    "F16": ("float16", 2),
    "U32": ("uint32", 4),
    "I32": ("int32", 4),
    "F32": ("float32", 4),
    "U64": ("uint64", 8),
    "I64": ("int64", 8),
    "F64": ("float64", 8),
}


@dataclass(frozen=True)
class FolderPatches:
    """The patches below the folder of the extracted archives."""

    root: str

    def bands(self, name: str, bands: tuple[str, ...]) -> dict[str, bytes]:
        """Return the little-endian pixels of each band of a Sentinel-1 or Sentinel-2 patch, row by row.

        Raises:
            ArchiveError: a band is missing, broken, or of another size or type.
        """
        group = f"{S1}/{s1_scene(name)}" if name.startswith("S1") else f"{S2}/{s2_v2_product(name)}"
        start = f"{self.root}/{group}/{name}/{name}_"
        return {band: self._pixels(start + band, BANDS[band].shape, BANDS[band].dtype) for band in bands}

    def reference_map(self, patch_id: str) -> bytes:
        """Return the little-endian CLC codes (uint16, 120 x 120) of a patch.

        Raises:
            ArchiveError: the map is missing, broken, or of another size or type.
        """
        start = f"{self.root}/{MAPS}/{s2_v2_product(patch_id)}/{patch_id}/{patch_id}{MAP_SUFFIX}"
        return self._pixels(start, MAP_SHAPE, _MAP_DTYPE)

    def _pixels(self, stem: str, shape: tuple[int, int], dtype: str) -> bytes:
        try:
            pixels = read_tiff(f"{stem}.tif", shape=shape, dtype=dtype)
        except ArchiveError:
            if os.path.exists(f"{stem}.tif") or not os.path.exists(f"{stem}.tiff"):
                raise
            pixels = read_tiff(f"{stem}.tiff", shape=shape, dtype=dtype)
        return pixels.tobytes()


@dataclass(frozen=True)
class LmdbPatches:
    """The patches in an LMDB of rico-hdl: values are safetensors, never executed."""

    path: str

    def bands(self, name: str, bands: tuple[str, ...]) -> dict[str, bytes]:
        """Return the same as `FolderPatches.bands`; raise ArchiveError likewise."""
        return self._read(name, {band: (BANDS[band].shape, BANDS[band].dtype) for band in bands})

    def reference_map(self, patch_id: str) -> bytes:
        """Return the same as `FolderPatches.reference_map`; raise ArchiveError likewise."""
        return self._read(f"{patch_id}{MAP_SUFFIX}", {_MAP_IN_LMDB: (MAP_SHAPE, _MAP_DTYPE)})[_MAP_IN_LMDB]

    def _read(self, key: str, wanted: dict[str, tuple[tuple[int, int], str]]) -> dict[str, bytes]:
        """Return the pixels of each tensor in `wanted` (name -> shape and type), copied once, out of LMDB's pages."""
        where = f"{self.path}: '{key}'"
        with open_lmdb(self.path).begin(buffers=True) as transaction:
            value = transaction.get(key.encode())
            if value is None:
                raise ArchiveError(f"{self.path}: no key '{key}'")
            start = 8 + int.from_bytes(value[:8], "little")
            try:
                tensors, stop = _safetensors_layout(bytes(value[8:start]))
                if start + stop != len(value):
                    raise ValueError(f"{len(value)} bytes instead of {start + stop}")
            except (ValueError, KeyError, TypeError) as error:
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
                    size = "x".join(map(str, reversed(tensor.shape)))
                    raise ArchiveError(f"{where}, {name}: size {size} instead of {shape[1]}x{shape[0]}")
                if tensor.dtype != dtype:
                    raise ArchiveError(f"{where}, {name}: pixels of type {tensor.dtype} instead of {dtype}")
                pixels[name] = bytes(value[start + tensor.start : start + tensor.stop])
            return pixels


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
        ValueError, KeyError, TypeError: it is no such header.
    """
    if not header.startswith(b"{"):
        raise ValueError("no header")
    tensors = {}
    for name, entry in json.loads(header).items():
        if name == "__metadata__":
            continue
        start, stop = map(int, entry["data_offsets"])
        dtype, value_bytes = _SAFETENSORS_TYPES[entry["dtype"]]
        tensor = _Tensor(tuple(entry["shape"]), dtype, start, stop)
        if not 0 <= start <= stop or stop - start != math.prod(tensor.shape) * value_bytes:
            raise ValueError(f"{name} is not where its header says")
        tensors[name] = tensor
    return tensors, max((tensor.stop for tensor in tensors.values()), default=0)


@functools.cache
def open_lmdb(path: str) -> Any:
    """Return the LMDB environment at `path`, read-only; a process opens each only once, as LMDB wants it.

    Raises:
        ArchiveError: the package `lmdb` is not installed, or this is no LMDB.
    """
    try:
        import lmdb
    except ImportError as error:
        raise ArchiveError(f"{path}: an LMDB needs the package lmdb; pip install 'mtsccd-jax[lmdb]'") from error
    try:
        # Without a lock file, so that it may lie on a medium that cannot be written to; random reads need no more.
        return lmdb.open(path, readonly=True, lock=False, readahead=False, create=False)
    except lmdb.Error as error:
        raise ArchiveError(f"{path}: cannot be opened as an LMDB ({error}); write it again with rico-hdl") from error


@dataclass(frozen=True)
class PatchExamples:
    """The examples of one shard, read from `patches`; see `make_examples`."""

    patches: FolderPatches | LmdbPatches
    s2_bands: tuple[str, ...]
    s1_bands: tuple[str, ...]
    reference_map: bool
    rows: Metadata
    skip_bad: bool

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self) -> Iterator[tuple[int, Example | Skipped]]:
        """Yield the examples; raise ArchiveError at the first bad patch unless `skip_bad`."""
        return make_examples(range(len(self)), self._named, skip_bad=self.skip_bad, remedy="replace the file")

    def _named(self, row: int) -> Example:
        """Return the example of a row; errors name its patch."""
        try:
            return self._example(row)
        except ArchiveError as error:
            raise ArchiveError(f"patch {self.rows.patch_id_n[row].decode()}: {error}") from error

    def _example(self, row: int) -> Example:
        rows = self.rows
        patch_id, s1_name = rows.patch_id_n[row].decode(), rows.s1_name_n[row].decode()
        name, radar = S2_V2_NAME.parse(patch_id), S1_NAME.parse(s1_name)
        example: dict[str, Value] = {
            "labels": rows.labels_nk[row],
            "patch_id": patch_id,
            "s1_name": s1_name,
            "s2v1_name": rows.s2v1_name_n[row].decode(),
            "acquired": name.acquired,
            "s1_acquired": radar.acquired,
            "season": SEASONS.index(name.season),
            "country": int(rows.country_n[row]),
            "tile": name.tile or "",
            "x": name.x,
            "y": name.y,
            "has_snow": bool(rows.has_snow_n[row]),
            "has_cloud_or_shadow": bool(rows.has_cloud_or_shadow_n[row]),
        }
        if self.s2_bands:
            example.update(self.patches.bands(patch_id, self.s2_bands))
        if self.s1_bands:
            example.update(self.patches.bands(s1_name, self.s1_bands))
        if self.reference_map:
            example.update(_map_features(self.patches.reference_map(patch_id)))
        return example


def _map_features(codes: bytes) -> dict[str, Value]:
    """Return the features of a reference map; its codes must be in the nomenclature."""
    index_hw = index_map(np.frombuffer(codes, "<u2").reshape(MAP_SHAPE))
    shares = class_shares(index_hw)
    return {
        "reference_map": codes,
        "class_map": index_hw.tobytes(),
        "class_shares": shares.classes_k,
        "unmapped_share": shares.unmapped,
        "unlabeled_share": shares.unlabeled,
        "no_data_share": shares.no_data,
    }
