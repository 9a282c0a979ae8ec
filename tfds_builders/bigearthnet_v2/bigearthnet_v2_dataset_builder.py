"""The TFDS builder of BigEarthNet v2 (reBEN)."""

import hashlib
import itertools
import logging
import math
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.bigearthnet.bands import BANDS, V2_STATISTICS
from tfds_builders.bigearthnet.countries import COUNTRIES
from tfds_builders.bigearthnet.names import SEASONS
from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.bigearthnet_v2.archive import (
    DOWNLOAD_HINT,
    HOMEPAGE,
    Found,
    V2Archive,
    content_digest,
    find_patches,
    missing,
    open_v2,
    unlisted,
)
from tfds_builders.bigearthnet_v2.configs import CONFIGS, BigEarthNetV2Config
from tfds_builders.bigearthnet_v2.metadata import OTHERS_TABLE, RECOMMENDED_TABLE, TABLES, Metadata
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2, ShardPatches
from tfds_builders.bigearthnet_v2.reference_maps import MAP_SHAPE
from tfds_builders.bigearthnet_v2.splits import SPLITS
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.writing.builder import DualFormatBuilder, manual_folder

# Twice MtSCCD's: the whole archive, 153 GB, comes to some 2,400 shards.
_SHARD_BYTES = 64 << 20
_NAME_BYTES = 512  # of texts and small features, about
_ORDER_SEED = b"bigearthnet_v2"
_LOG = logging.getLogger(__name__)
_TABLES_OF_PATCHES = {"recommended": (RECOMMENDED_TABLE,), "snow_and_cloud": (OTHERS_TABLE,), "all": TABLES}


class Builder(DualFormatBuilder):
    """BigEarthNet v2: Sentinel-1 and Sentinel-2 patches of 1.2 km with 19 land-cover classes and reference maps."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS: ClassVar[list[BigEarthNetV2Config]] = CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Please {DOWNLOAD_HINT},
    and place that folder in `manual_dir`. Instead of the extracted archives the LMDB that rico-hdl makes of them will
    do, with the metadata tables beside it.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        features: dict[str, Any] = {
            band: tfds.features.Tensor(shape=BANDS[band].shape, dtype=np.dtype(BANDS[band].dtype), encoding="bytes")
            for band in (*config.s2_bands, *config.s1_bands)
        }
        if config.reference_map:
            features |= {
                "reference_map": tfds.features.Tensor(shape=MAP_SHAPE, dtype=np.uint16, encoding="bytes"),
                "class_map": tfds.features.Tensor(shape=MAP_SHAPE, dtype=np.uint8, encoding="bytes"),
                "class_shares": tfds.features.Tensor(shape=(len(CLASSES_19),), dtype=np.float32),
                "unmapped_share": tfds.features.Scalar(np.float32),
                "unlabeled_share": tfds.features.Scalar(np.float32),
                "no_data_share": tfds.features.Scalar(np.float32),
            }
        features |= {
            "labels": tfds.features.Tensor(shape=(len(CLASSES_19),), dtype=np.uint8),
            "patch_id": tfds.features.Text(),
            "s1_name": tfds.features.Text(),
            "s2v1_name": tfds.features.Text(),
            "acquired": tfds.features.Text(),
            "s1_acquired": tfds.features.Text(),
            "season": tfds.features.ClassLabel(names=list(SEASONS)),
            "country": tfds.features.ClassLabel(names=list(COUNTRIES)),
            "tile": tfds.features.Text(),
            "x": tfds.features.Scalar(np.int32),
            "y": tfds.features.Scalar(np.int32),
            "has_snow": tfds.features.Scalar(np.bool_),
            "has_cloud_or_shadow": tfds.features.Scalar(np.bool_),
        }
        bands = (*config.s2_bands, *config.s1_bands)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=(bands, "labels") if bands else ("reference_map", "labels"),
            homepage=HOMEPAGE,
        )

    def source(self) -> str:
        """Return the sha256 of the metadata and of the names of the patches that are there (not of their pixels)."""
        assert self._archive is not None
        archive = open_v2(self._archive)
        return content_digest(archive.metadata(), find_patches(archive, self._kinds()))

    def _kinds(self) -> tuple[str, ...]:
        """Return the kinds of patches that this configuration reads."""
        config = self.builder_config
        wanted = ((S2, config.s2_bands), (S1, config.s1_bands), (MAPS, config.reference_map))
        return tuple(kind for kind, used in wanted if used)

    def _open(self, dl_manager: tfds.download.DownloadManager) -> V2Archive:
        """Return the archive that was given, or else the one in TFDS's manual download folder."""
        if self._archive is not None:
            return open_v2(self._archive)
        return open_v2(manual_folder(dl_manager, DOWNLOAD_HINT))

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[ShardPatches]]:
        archive = self._open(dl_manager)
        metadata = archive.metadata()
        found = find_patches(archive, self._kinds())
        config = self.builder_config
        self.info.metadata.update(
            source=content_digest(metadata, found),
            generated=archive.generated,
            label_names=list(CLASSES_19),
            band_statistics={
                band: {"mean": V2_STATISTICS[band].mean, "std": V2_STATISTICS[band].std}
                for band in (*config.s2_bands, *config.s1_bands)
            },
            splits_from="the metadata tables",
        )
        rows = self._usable(archive, metadata, found)
        shards: dict[str, list[ShardPatches]] = {}
        for at, split in enumerate(SPLITS):
            of_split = rows.take(np.flatnonzero(rows.split_n == at))
            if not len(of_split):
                raise ArchiveError(f"{archive.path}: split '{split}' would be empty; is a part of the archive missing?")
            self._examples_per_split[split] = len(of_split)
            shards[split] = self._shards(archive, of_split.take(shuffled(of_split.patch_id_n)))
        return shards

    def _shards(self, archive: V2Archive, rows: Metadata) -> list[ShardPatches]:
        config = self.builder_config
        bands = [BANDS[band] for band in (*config.s2_bands, *config.s1_bands)]
        patch_bytes = _NAME_BYTES + sum(math.prod(band.shape) * np.dtype(band.dtype).itemsize for band in bands)
        patch_bytes += 3 * math.prod(MAP_SHAPE) if config.reference_map else 0
        count = min(len(rows), math.ceil(len(rows) * patch_bytes / _SHARD_BYTES))
        bounds = [len(rows) * i // count for i in range(count + 1)]
        return [
            ShardPatches(
                archive.patches,
                config.s2_bands,
                config.s1_bands,
                config.reference_map,
                rows.take(np.arange(start, stop)),
                self._skip_bad,
            )
            for start, stop in itertools.pairwise(bounds)
        ]

    def _usable(self, archive: V2Archive, metadata: Metadata, found: dict[str, Found]) -> Metadata:
        """Return the rows of this configuration whose patches are there.

        Patches of which nothing is there are counted as absent. Those with a part there and another one missing, and
        what is in no table, are an error, or skipped.
        """
        wanted_n = np.zeros(len(metadata), bool)
        for name in _TABLES_OF_PATCHES[self.builder_config.patches]:
            if name not in archive.tables:
                raise ArchiveError(f"{archive.path}: no {name}; it is a file of its own, {DOWNLOAD_HINT}")
            wanted_n |= metadata.recommended_n == (name == RECOMMENDED_TABLE)
        problems = [*metadata.bad]
        name_n = {kind: metadata.s1_name_n if kind == S1 else metadata.patch_id_n for kind in found}
        there_n = {kind: np.isin(name_n[kind], listed.name_n) for kind, listed in found.items()}
        partly_n = wanted_n & np.logical_or.reduce([*there_n.values()])
        whole_n = wanted_n & np.logical_and.reduce([*there_n.values()])
        for kind, listed in found.items():
            if not listed.name_n.size:
                raise ArchiveError(
                    f"{archive.path}: holds no patch of {kind}; {DOWNLOAD_HINT}, or build a configuration without it"
                )
            problems += listed.bad
            problems += unlisted(archive, kind, listed.name_n, name_n[kind])
            problems += missing(archive, kind, name_n[kind][partly_n & ~there_n[kind]], name_n[kind][wanted_n])
        self._count_absent(archive, metadata.patch_id_n[wanted_n & ~partly_n], int(wanted_n.sum()))
        if problems and not self._skip_bad:
            more = f" (and {len(problems) - 1} more lines like this)" if len(problems) > 1 else ""
            raise ArchiveError(f"{problems[0]}{more}; or build with --skip-bad")
        self.skipped += problems
        return metadata.take(np.flatnonzero(whole_n))

    def _count_absent(self, archive: V2Archive, absent_n: np.ndarray, listed: int) -> None:
        """Count the patches of which the archive has nothing, and warns: a part of it may not have been unpacked."""
        self.absent = len(absent_n)
        if self.absent:
            _LOG.warning(
                "%s: %d of the %d patches in the tables are not in the archive, the first: %s",
                archive.path,
                self.absent,
                listed,
                min(absent_n.tolist()).decode(),
            )


def shuffled(patch_id_n: np.ndarray) -> np.ndarray:
    """Return the order (int64, (n,)) in which patches are stored: by a hash of their names, whatever their order."""
    keys = [hashlib.blake2b(name, digest_size=8, key=_ORDER_SEED).digest() for name in patch_id_n.tolist()]
    return np.argsort(np.array(keys, dtype="S8").view(">u8"), kind="stable")
