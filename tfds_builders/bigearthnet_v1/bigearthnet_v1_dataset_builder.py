"""The TFDS builder of BigEarthNet v1."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.bigearthnet.bands import BANDS, V1_STATISTICS
from tfds_builders.bigearthnet.builder import BigEarthNetBuilder
from tfds_builders.bigearthnet.label_sets import LABEL_SETS
from tfds_builders.bigearthnet_v1.archive import DOWNLOAD_HINT, Listing, archive_names, list_archive
from tfds_builders.bigearthnet_v1.config import CONFIGS, BigEarthNetV1Config
from tfds_builders.bigearthnet_v1.patch_examples import COUNTRY_NAMES, PatchExamples
from tfds_builders.bigearthnet_v1.splits import Patch, Selection, select_patches
from tfds_builders.writing.builder import refuse_empty_split

_LOG = logging.getLogger(__name__)


class Builder(BigEarthNetBuilder):
    """BigEarthNet v1: Sentinel-2 patches, and Sentinel-1 beside them, with their CORINE land-cover classes."""

    BUILDER_CONFIGS: ClassVar[list[BigEarthNetV1Config]] = list(CONFIGS)
    STATISTICS = V1_STATISTICS
    COUNTRY_NAMES = COUNTRY_NAMES
    DOWNLOAD_HINT = DOWNLOAD_HINT
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Please {DOWNLOAD_HINT}: that folder is `manual_dir`.
    """

    def _classes(self) -> tuple[str, ...]:
        return LABEL_SETS[self.builder_config.labels].classes

    def _own_features(self) -> dict[str, Any]:
        return {"ulx": tfds.features.Scalar(np.int32), "uly": tfds.features.Scalar(np.int32)}

    def source(self) -> str:
        """Return the sha256 of the names of patches and lists, and of the configuration."""
        assert self._archive is not None
        return self._source(self._archive)

    def _source(self, archive: Path) -> str:
        config = self.builder_config
        decisions = repr((config.bands, config.labels, config.split, config.keep_snow_and_cloud, config.seed))
        digest = hashlib.sha256(decisions.encode())
        for name in archive_names(archive):
            digest.update(f"\n{name}".encode())
        return digest.hexdigest()

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[PatchExamples]]:
        config = self.builder_config
        archive = self._archive_path(dl_manager)
        listing = list_archive(archive, self._scratch_dir())
        sensors = {BANDS[band].sensor for band in config.bands}
        official = config.split == "official"
        selection = select_patches(
            listing,
            use_s2="S2" in sensors,
            use_s1="S1" in sensors,
            official=official,
            keep_snow_and_cloud=config.keep_snow_and_cloud,
            keep_no_target=config.labels != "19",
            seed=config.seed,
        )
        self._report(listing, selection)
        self._describe(
            source=self._source(archive),
            generated=listing.generated,
            splits_from="the official lists" if official else f"random, 60/20/20, seed {config.seed}",
            left_out=dict(selection.left_out),
        )

        def shard(patches: Sequence[Patch]) -> PatchExamples:
            place = (self._skip_bad, listing.scratch, str(listing.path))
            return PatchExamples(tuple(patches), config.bands, config.labels, *place)

        return {
            split: [shard(patches[start:stop]) for start, stop in self._limits.bounds(len(patches), self._band_bytes())]
            for split, patches in selection.splits.items()
        }

    def _report(self, listing: Listing, selection: Selection) -> None:
        """Log the patches that are left out; raise ArchiveError on problems, unless they are skipped."""
        for flag, patches in selection.left_out.items():
            _LOG.info("%d patches are left out, as the list says: %s", patches, flag)
        self._count_absent(listing.path, selection.absent, len(listing.lists.split_of), "the split lists")
        self._refuse_or_skip([_located(listing, line) for line in [*listing.problems, *selection.bad]])
        refuse_empty_split(listing.path, selection.splits)


def _located(listing: Listing, line: str) -> str:
    """Return `line` so that it names the archive, whatever was unpacked where."""
    line = line.replace(listing.scratch, str(listing.path))
    return line if str(listing.path) in line else f"{listing.path}: {line}"
