"""The TFDS builder of BigEarthNet v1."""

import hashlib
import itertools
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.bigearthnet.bands import BANDS, V1_STATISTICS
from tfds_builders.bigearthnet.names import SEASONS
from tfds_builders.bigearthnet.nomenclature import LABEL_SETS
from tfds_builders.bigearthnet_v1.archive import DOWNLOAD_HINT, HOMEPAGE, Listing, archive_names, list_archive
from tfds_builders.bigearthnet_v1.config import CONFIGS, BigEarthNetV1Config
from tfds_builders.bigearthnet_v1.patch_examples import COUNTRY_NAMES, PatchExamples
from tfds_builders.bigearthnet_v1.splits import Selection, select_patches
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.writing.builder import SHARD_BYTES, DualFormatBuilder, manual_folder

_LOG = logging.getLogger(__name__)


class Builder(DualFormatBuilder):
    """BigEarthNet v1: Sentinel-2 patches, and Sentinel-1 beside them, with their CORINE land-cover classes."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS: ClassVar[list[BigEarthNetV1Config]] = list(CONFIGS)
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Please {DOWNLOAD_HINT}: that folder is `manual_dir`.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        classes = LABEL_SETS[config.labels].classes
        bands = {
            name: tfds.features.Tensor(shape=BANDS[name].shape, dtype=np.dtype(BANDS[name].dtype), encoding="bytes")
            for name in config.bands
        }
        values = {
            "labels": tfds.features.Tensor(shape=(len(classes),), dtype=np.uint8),
            "patch_id": tfds.features.Text(),
            "s1_name": tfds.features.Text(),
            "acquired": tfds.features.Text(),
            "s1_acquired": tfds.features.Text(),
            "season": tfds.features.ClassLabel(names=list(SEASONS)),
            "country": tfds.features.ClassLabel(names=list(COUNTRY_NAMES)),
            "tile": tfds.features.Text(),
            "x": tfds.features.Scalar(np.int32),
            "y": tfds.features.Scalar(np.int32),
            "ulx": tfds.features.Scalar(np.int32),
            "uly": tfds.features.Scalar(np.int32),
            "has_snow": tfds.features.Scalar(np.bool_),
            "has_cloud_or_shadow": tfds.features.Scalar(np.bool_),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(bands | values),
            supervised_keys=(tuple(config.bands), "labels"),
            homepage=HOMEPAGE,
        )

    def source(self) -> str:
        """Return the sha256 of the archive's patches and lists and of what decides the splits."""
        assert self._archive is not None
        return self._source(self._archive)

    def _source(self, archive: Path) -> str:
        config = self.builder_config
        decisions = repr((config.bands, config.labels, config.split, config.keep_snow_and_cloud, config.seed))
        digest = hashlib.sha256(decisions.encode())
        for name in archive_names(archive):
            digest.update(f"\n{name}".encode())
        return digest.hexdigest()

    def _archive_path(self, dl_manager: tfds.download.DownloadManager) -> Path:
        """Return the archive that was given, or else TFDS's manual download folder."""
        return self._archive if self._archive is not None else manual_folder(dl_manager, DOWNLOAD_HINT)

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[PatchExamples]]:
        config = self.builder_config
        archive = self._archive_path(dl_manager)
        listing = list_archive(archive, self._scratch_dir())
        use_s1, use_s2 = (any(BANDS[band].sensor == sensor for band in config.bands) for sensor in ("S1", "S2"))
        selection = select_patches(
            listing,
            use_s2=use_s2,
            use_s1=use_s1,
            official=config.split == "official",
            keep_snow_and_cloud=config.keep_snow_and_cloud,
            keep_no_target=config.labels != "19",
            seed=config.seed,
        )
        self._report(listing, selection)
        official = config.split == "official"
        self.info.metadata.update(
            source=self._source(archive),
            generated=listing.generated,
            label_names=list(LABEL_SETS[config.labels].classes),
            band_statistics={
                name: {"mean": V1_STATISTICS[name].mean, "std": V1_STATISTICS[name].std} for name in config.bands
            },
            splits_from="the official lists" if official else f"random, 60/20/20, seed {config.seed}",
            left_out=dict(selection.left_out),
        )
        self._examples_per_split = {split: len(patches) for split, patches in selection.splits.items()}
        patch_bytes = sum(math.prod(BANDS[name].shape) * np.dtype(BANDS[name].dtype).itemsize for name in config.bands)
        shards = {}
        for split, patches in selection.splits.items():
            count = min(len(patches), math.ceil(len(patches) * patch_bytes / SHARD_BYTES))
            bounds = [len(patches) * i // count for i in range(count + 1)]
            shards[split] = [
                PatchExamples(
                    tuple(patches[start:stop]),
                    config.bands,
                    config.labels,
                    self._skip_bad,
                    listing.scratch,
                    str(listing.path),
                )
                for start, stop in itertools.pairwise(bounds)
            ]
        return shards

    def _report(self, listing: Listing, selection: Selection) -> None:
        """Log what is passed over; raises what no build can pass over, and the rest unless it is to be skipped."""
        for flag, patches in selection.left_out.items():
            _LOG.info("%d patches are left out, as the list says: %s", patches, flag)
        self.absent = len(selection.absent)
        if selection.absent:
            _LOG.warning(
                "%s: %d of the %d patches in the split lists are not in the archive, the first: %s",
                listing.path,
                len(selection.absent),
                len(listing.lists.split_of),
                min(selection.absent),
            )
        bad = [*listing.problems, *selection.bad]
        if bad and not self._skip_bad:
            raise ArchiveError(f"{_located(listing, bad[0])}{_and_more(bad)}; or build with --skip-bad")
        self.skipped += [_located(listing, line) for line in bad]
        empty = [split for split, patches in selection.splits.items() if not patches]
        if empty:
            raise ArchiveError(f"{listing.path}: split '{empty[0]}' would be empty; is a part of the archive missing?")


def _located(listing: Listing, line: str) -> str:
    """Return `line` so that it names the archive, whatever was unpacked where."""
    line = line.replace(listing.scratch, str(listing.path))
    return line if str(listing.path) in line else f"{listing.path}: {line}"


def _and_more(messages: Sequence[str]) -> str:
    return f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
