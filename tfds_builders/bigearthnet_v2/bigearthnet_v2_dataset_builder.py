"""The TFDS builder of BigEarthNet v2 (reBEN)."""

import hashlib
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.bigearthnet.bands import V2_STATISTICS
from tfds_builders.bigearthnet.builder import BigEarthNetBuilder
from tfds_builders.bigearthnet.countries import COUNTRIES
from tfds_builders.bigearthnet.names import SPLITS
from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.bigearthnet_v2.archive import (
    DOWNLOAD_HINT,
    Found,
    V2Archive,
    content_digest,
    find_patches,
    missing,
    open_v2,
    presence,
    unlisted,
)
from tfds_builders.bigearthnet_v2.config import CONFIGS, BigEarthNetV2Config
from tfds_builders.bigearthnet_v2.metadata import OTHERS_TABLE, RECOMMENDED_TABLE, TABLES, Metadata, Rows
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2, PatchExamples
from tfds_builders.bigearthnet_v2.reference_maps import MAP_SHAPE
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.writing.builder import refuse_empty_split

_NAME_BYTES = 512  # of texts and small features, about
_MAP_BYTES = 4096  # of both maps, compressed, about
_ORDER_SEED = b"bigearthnet_v2"
_TABLES_OF_PATCHES = {"recommended": (RECOMMENDED_TABLE,), "snow_and_cloud": (OTHERS_TABLE,), "all": TABLES}


class Builder(BigEarthNetBuilder):
    """BigEarthNet v2: Sentinel-1 and Sentinel-2 patches of 1.2 km with 19 land-cover classes and reference maps."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.1.0": "Maps are compressed.", "1.0.0": "Initial release."}
    BUILDER_CONFIGS: ClassVar[list[BigEarthNetV2Config]] = list(CONFIGS)
    # The whole archive, 153 GB, then has some 2,400 shards.
    SHARD_BYTES = 64 << 20
    STATISTICS = V2_STATISTICS
    COUNTRY_NAMES = COUNTRIES
    DOWNLOAD_HINT = DOWNLOAD_HINT
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Please {DOWNLOAD_HINT},
    and place that folder in `manual_dir`. Instead of the extracted archives the LMDB that rico-hdl makes of them will
    do, with the metadata tables beside it.
    """

    def _classes(self) -> tuple[str, ...]:
        return CLASSES_19

    def _own_features(self) -> dict[str, Any]:
        names: dict[str, Any] = {"s2v1_name": tfds.features.Text()}
        if not self.builder_config.reference_map:
            return names
        return names | {
            "reference_map": tfds.features.Tensor(shape=MAP_SHAPE, dtype=np.uint16, encoding="zlib"),
            "class_map": tfds.features.Tensor(shape=MAP_SHAPE, dtype=np.uint8, encoding="zlib"),
            "class_shares": tfds.features.Tensor(shape=(len(CLASSES_19),), dtype=np.float32),
            "unmapped_share": tfds.features.Scalar(np.float32),
            "unlabeled_share": tfds.features.Scalar(np.float32),
            "no_data_share": tfds.features.Scalar(np.float32),
        }

    def source(self) -> str:
        """Return the sha256 of the metadata and of the names of the patches that are there (not of their pixels)."""
        assert self._archive is not None
        archive = open_v2(self._archive)
        metadata = archive.metadata()
        return content_digest(metadata, find_patches(archive, self._kinds(), metadata))

    def _kinds(self) -> tuple[str, ...]:
        """Return the kinds of patches that this configuration reads."""
        config = self.builder_config
        wanted = ((S2, config.s2_bands), (S1, config.s1_bands), (MAPS, config.reference_map))
        return tuple(kind for kind, used in wanted if used)

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[PatchExamples]]:
        archive = open_v2(self._archive_path(dl_manager))
        metadata = archive.metadata()
        found = find_patches(archive, self._kinds(), metadata)
        self._describe(
            source=content_digest(metadata, found), generated=archive.generated, splits_from="the metadata tables"
        )
        rows = self._usable(archive, metadata, found)
        splits = {split: Rows(metadata, rows[metadata.split_n[rows] == at]) for at, split in enumerate(SPLITS)}
        refuse_empty_split(archive.path, splits)
        return {split: self._shards(archive, rows) for split, rows in splits.items()}

    def _shards(self, archive: V2Archive, rows: Rows) -> list[PatchExamples]:
        config, metadata = self.builder_config, rows.metadata
        stored_n = rows.place_n[shuffled(metadata.patch_id_n[rows.place_n])]
        patch_bytes = _NAME_BYTES + self._band_bytes() + (_MAP_BYTES if config.reference_map else 0)
        return [
            PatchExamples(
                archive.patches,
                config.s2_bands,
                config.s1_bands,
                config.reference_map,
                Rows(metadata, stored_n[start:stop]),
                self._skip_bad,
            )
            for start, stop in self._limits.bounds(len(rows), patch_bytes)
        ]

    def _usable(self, archive: V2Archive, metadata: Metadata, found: dict[str, Found]) -> np.ndarray:
        """Return the places of the rows of this configuration whose patches are there.

        Patches of which nothing is there are counted as absent. Patches of which only a part is there, and patches
        that are in no table, are an error, or skipped.
        """
        wanted_n = np.zeros(len(metadata), bool)
        for name in _TABLES_OF_PATCHES[self.builder_config.patches]:
            if name not in archive.tables:
                raise ArchiveError(f"{archive.path}: no {name}; it is a file of its own, {DOWNLOAD_HINT}")
            wanted_n |= metadata.recommended_n == (name == RECOMMENDED_TABLE)
        problems = [*metadata.bad]
        partly_n, whole_n = presence(found)
        for kind, listed in found.items():
            if not len(listed):
                raise ArchiveError(
                    f"{archive.path}: holds no patch of {kind}; {DOWNLOAD_HINT}, or build a configuration without it"
                )
            problems += listed.bad
            problems += unlisted(archive, kind, listed.other_m)
            lost_n = listed.listed_n[wanted_n & partly_n & ~listed.there_n]
            problems += missing(archive, kind, lost_n, listed.listed_n[wanted_n])
        absent = [name.decode() for name in metadata.patch_id_n[wanted_n & ~partly_n].tolist()]
        self._count_absent(archive.path, absent, int(wanted_n.sum()), "the tables")
        self._refuse_or_skip(problems)
        places: np.ndarray = np.flatnonzero(wanted_n & whole_n)
        return places


def shuffled(patch_id_n: np.ndarray) -> np.ndarray:
    """Return the order (int64, (n,)) in which patches are stored: by a hash of their names, whatever their order."""
    keys = (hashlib.blake2b(name, digest_size=8, key=_ORDER_SEED).digest() for name in patch_id_n)
    return np.argsort(np.fromiter(map(int.from_bytes, keys), np.uint64, len(patch_id_n)), kind="stable")
