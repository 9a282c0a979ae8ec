"""Read the examples of a shard, patch by patch. Light to import, for the worker processes."""

from collections.abc import Iterator
from dataclasses import dataclass

from tfds_builders.bigearthnet.bands import BANDS
from tfds_builders.bigearthnet.countries import COUNTRIES, country_of
from tfds_builders.bigearthnet.label_sets import LABEL_SETS
from tfds_builders.bigearthnet.names import S1_NAME, S2_V1_NAME, SEASONS
from tfds_builders.bigearthnet.pixels import read_band
from tfds_builders.bigearthnet_v1.patch_files import PatchMetadata, band_path, metadata_path, read_metadata
from tfds_builders.bigearthnet_v1.splits import Patch
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.writing.examples import make_examples
from tfds_builders.writing.records import Example, Skipped, Value

# The country of a patch in a tile that v2 does not have is not known.
UNKNOWN_COUNTRY = "unknown"
COUNTRY_NAMES: tuple[str, ...] = (*COUNTRIES, UNKNOWN_COUNTRY)


@dataclass(frozen=True)
class PatchExamples:
    """The examples of one shard; see `make_examples`.

    Files below `scratch` were unpacked from the archive at `shown`. Errors name them by their place there.
    """

    patches: tuple[Patch, ...]
    bands: tuple[str, ...]
    label_set: str
    skip_bad: bool
    scratch: str
    shown: str

    def __len__(self) -> int:
        return len(self.patches)

    def __call__(self) -> Iterator[tuple[int, Example | Skipped]]:
        """Yield the examples; raise ArchiveError at the first bad patch unless `skip_bad`."""
        return make_examples(self.patches, self._example, skip_bad=self.skip_bad, remedy="replace or remove the patch")

    def _example(self, patch: Patch) -> Example:
        acquired = S2_V1_NAME.parse(patch.name)
        s1 = S1_NAME.parse(patch.s1_name) if patch.s1_name else None
        metadata, shown = self._metadata(patch)
        label_set = LABEL_SETS[self.label_set]
        try:
            labels = label_set.multi_hot(metadata.labels)
        except ArchiveError as error:
            raise ArchiveError(f"{shown}: {error}") from error
        if not labels.any():
            raise ArchiveError(
                f"{shown}: none of its labels is among the {len(labels)} classes, and the list of such patches lacks it"
            )
        tile = s1.tile if s1 and s1.tile else metadata.tile
        if metadata.tile not in ("", tile):
            raise ArchiveError(f"{shown}: tile {metadata.tile}, but its Sentinel-1 patch is {patch.s1_name}")
        values: dict[str, Value] = {
            "labels": labels,
            "patch_id": patch.name,
            "s1_name": patch.s1_name,
            "acquired": acquired.acquired,
            "s1_acquired": s1.acquired if s1 else "",
            "season": SEASONS.index(acquired.season),
            "country": COUNTRY_NAMES.index(country_of(tile, acquired.x, acquired.y) or UNKNOWN_COUNTRY),
            "tile": tile,
            "x": acquired.x,
            "y": acquired.y,
            "ulx": metadata.ulx,
            "uly": metadata.uly,
            "has_snow": patch.has_snow,
            "has_cloud_or_shadow": patch.has_cloud_or_shadow,
        }
        return values | {name: self._pixels(patch, name) for name in self.bands}

    def _metadata(self, patch: Patch) -> tuple[PatchMetadata, str]:
        """Return the content of the patch's JSON file and that file's name; both halves of the patch must agree."""
        found = []
        for folder, name in ((patch.s2_folder, patch.name), (patch.s1_folder, patch.s1_name)):
            if folder:
                path = metadata_path(folder, name)
                shown = self._shown(path)
                metadata = read_metadata(path, shown)
                if folder == patch.s1_folder and metadata.s2_name != patch.name:
                    raise ArchiveError(f"{shown}: belongs to patch {metadata.s2_name}, not to {patch.name}")
                found.append((metadata, shown))
        if set(found[0][0].labels) != set(found[-1][0].labels):
            raise ArchiveError(f"{found[-1][1]}: labels unlike those of {patch.name}")
        return found[0]

    def _pixels(self, patch: Patch, name: str) -> bytes:
        band = BANDS[name]
        folder, owner = (patch.s2_folder, patch.name) if band.sensor == "S2" else (patch.s1_folder, patch.s1_name)
        path = band_path(folder, owner, name)
        return read_band(path, band, self._shown(path)).tobytes()

    def _shown(self, path: str) -> str:
        return f"{self.shown}{path[len(self.scratch) :]}" if path.startswith(f"{self.scratch}/") else path
