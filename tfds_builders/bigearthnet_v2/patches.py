"""Read patches of BigEarthNet v2 from folders, and make examples of them or of those in an LMDB.

Light to import, for the worker processes.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfds_builders.bigearthnet.bands import BANDS, Band
from tfds_builders.bigearthnet.names import S1_NAME, S2_V2_NAME, SEASONS, s1_scene, s2_v2_product
from tfds_builders.bigearthnet.pixels import refuse_no_data
from tfds_builders.bigearthnet_v2.lmdb_patches import LmdbPatches
from tfds_builders.bigearthnet_v2.metadata import Rows
from tfds_builders.bigearthnet_v2.reference_maps import MAP_DTYPE, MAP_SHAPE, MAP_SUFFIX, class_shares, index_map
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.geotiff import read_tiff
from tfds_builders.writing.examples import make_examples
from tfds_builders.writing.records import Example, Skipped, Value

# The three kinds of patches, named by the folders they lie in.
S2, S1, MAPS = "BigEarthNet-S2", "BigEarthNet-S1", "Reference_Maps"


@dataclass(frozen=True)
class FolderPatches:
    """The patches below the folder of the extracted archives."""

    root: str

    def bands(self, name: str, bands: tuple[str, ...]) -> dict[str, bytes]:
        """Return the little-endian pixels of each band of a Sentinel-1 or Sentinel-2 patch, row by row.

        Raises:
            ArchiveError: a band is missing, broken, of another size or type, or radar without data.
        """
        group = f"{S1}/{s1_scene(name)}" if name.startswith("S1") else f"{S2}/{s2_v2_product(name)}"
        start = f"{self.root}/{group}/{name}/{name}_"
        return {band: self._band(start + band, BANDS[band]) for band in bands}

    def reference_map(self, patch_id: str) -> bytes:
        """Return the little-endian CLC codes (uint16, 120 x 120) of a patch.

        Raises:
            ArchiveError: the map is missing, broken, or of another size or type.
        """
        start = f"{self.root}/{MAPS}/{s2_v2_product(patch_id)}/{patch_id}/{patch_id}{MAP_SUFFIX}"
        return self._pixels(start, MAP_SHAPE, MAP_DTYPE)[1].tobytes()

    def _band(self, stem: str, band: Band) -> bytes:
        path, pixels_hw = self._pixels(stem, band.shape, band.dtype)
        refuse_no_data(pixels_hw, band, path)
        return pixels_hw.tobytes()

    def _pixels(self, stem: str, shape: tuple[int, int], dtype: str) -> tuple[str, np.ndarray]:
        """Return the path of a file with either suffix, and its pixels."""
        path = f"{stem}.tif"
        try:
            return path, read_tiff(path, shape=shape, dtype=dtype)
        except ArchiveError:
            if os.path.exists(path) or not os.path.exists(f"{stem}.tiff"):
                raise
            return f"{stem}.tiff", read_tiff(f"{stem}.tiff", shape=shape, dtype=dtype)


@dataclass(frozen=True)
class PatchExamples:
    """The examples of one shard, read from `patches`; see `make_examples`."""

    patches: FolderPatches | LmdbPatches
    s2_bands: tuple[str, ...]
    s1_bands: tuple[str, ...]
    reference_map: bool
    rows: Rows
    skip_bad: bool

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self) -> Iterator[tuple[int, Example | Skipped]]:
        """Yield the examples; raise ArchiveError at the first bad patch unless `skip_bad`."""
        yield from make_examples(range(len(self)), self._named, skip_bad=self.skip_bad, remedy="replace the file")

    def _named(self, row: int) -> Example:
        """Return the example of a row; errors name its patch."""
        try:
            return self._example(row)
        except ArchiveError as error:
            name = self.rows.metadata.patch_id_n[self.rows.place_n[row]].decode()
            raise ArchiveError(f"patch {name}: {error}") from error

    def _example(self, row: int) -> Example:
        rows, row = self.rows.metadata, int(self.rows.place_n[row])
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
        "reference_map": zlib.compress(codes),
        "class_map": zlib.compress(index_hw.tobytes()),
        "class_shares": shares.classes_k,
        "unmapped_share": shares.unmapped,
        "unlabeled_share": shares.unlabeled,
        "no_data_share": shares.no_data,
    }
