"""The common part of the builders of `mtsccd_lusc` and `mtsccd_lucd`."""

import abc
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.mtsccd.archive import (
    DOWNLOAD_HINT,
    Listing,
    Scene,
    list_archive,
    open_mtsccd,
    with_archive_cities,
)
from tfds_builders.mtsccd.config import CONFIGS, MtsccdConfig
from tfds_builders.reading.archive import Archive, ArchiveError, is_generated
from tfds_builders.reading.files import read_file
from tfds_builders.writing.builder import DualFormatBuilder, refuse_empty_split
from tfds_builders.writing.examples import ImageExamples
from tfds_builders.writing.image_shards import ArchiveExample, image_shards

_LOGGED_WARNINGS = 20
_LOG = logging.getLogger(__name__)


class MtsccdBuilder(DualFormatBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Read a MtSCCD archive and make its shards; a subclass names the sub-set and makes an example of it."""

    BUILDER_CONFIGS: ClassVar[list[MtsccdConfig]] = list(CONFIGS)
    DOWNLOAD_HINT = DOWNLOAD_HINT
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Please {DOWNLOAD_HINT}.
    Place the folder, or the zip or tar files as they are, in `manual_dir`. A `cities.toml` beside them adds cities.
    """
    SUBSET: ClassVar[str]

    @abc.abstractmethod
    def _split(self, listing: Listing) -> Mapping[str, Sequence[tuple[Scene, ...]]]:
        """Return the scenes of every example, by split and as stored; add to `listing.bad` what cannot be used."""

    @abc.abstractmethod
    def _example(self, scenes: tuple[Scene, ...], city: int) -> ArchiveExample:
        """Return an example by its features; `city` is the label of its city."""

    def _city_names(self) -> list[str]:
        """Return the values of the feature `city`: those of the built data, or else the configuration's."""
        stored = Path(self.data_dir) / "city.labels.txt"
        if stored.is_file():
            return read_file(stored).decode().split()
        return [city.name for city in self.builder_config.cities()]

    def source(self) -> str:
        """Return the sha256 of what is read: the images' names (not their content), splits, and the settings."""
        assert self._archive is not None
        archive = open_mtsccd(self._archive)
        return self._source(
            list_archive(archive, self.SUBSET, with_archive_cities(self.builder_config.cities(), archive))
        )

    def _source(self, listing: Listing) -> str:
        decisions = repr((listing.cities, self.builder_config.paired, self.builder_config.seed))
        scenes = sorted(f"{scene.filename} {scene.split}" for scene in listing.scenes)
        return hashlib.sha256("\n".join([decisions, *scenes]).encode()).hexdigest()

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[ImageExamples]]:
        archive = open_mtsccd(self._archive_path(dl_manager), shared_folder=self._archive is None)
        cities = with_archive_cities(self.builder_config.cities(), archive)
        city_names = [city.name for city in cities]
        # Called once more on the feature, this is the only public way to change its names: cities.toml comes this late.
        tfds.features.ClassLabel.__init__(self.info.features["city"], names=city_names)
        listing = list_archive(archive, self.SUBSET, cities)
        self.info.metadata.update(
            source=self._source(listing),
            generated=is_generated(archive),
            splits_from=self._splits_from(listing),
        )
        splits = self._split(listing)
        self._report(archive, listing, splits)
        examples = {
            split: [self._example(scenes, city_names.index(scenes[0].name.city)) for scenes in scenes_of_examples]
            for split, scenes_of_examples in splits.items()
        }
        return image_shards(archive, examples, self._scratch_dir(), limits=self._limits, skip_bad=self._skip_bad)

    def _splits_from(self, listing: Listing) -> str:
        """Return, for the metadata, where the split into train and validation comes from."""
        if self.builder_config.paired:
            return f"80 % of the pairs of each city, seed {self.builder_config.seed}"
        if any(scene.split for scene in listing.scenes):
            return "the archive"
        return f"the rule of section 2.2, seed {self.builder_config.seed}"

    def _report(self, archive: Archive, listing: Listing, splits: Mapping[str, Sequence[tuple[Scene, ...]]]) -> None:
        """Log the warnings; raise ArchiveError on errors, and on bad files unless they are skipped."""
        warnings = listing.absent + listing.warnings
        for warning in warnings[:_LOGGED_WARNINGS]:
            _LOG.warning("%s", warning)
        if len(warnings) > _LOGGED_WARNINGS:
            _LOG.warning("%d more warnings; `check_archive` lists them all", len(warnings) - _LOGGED_WARNINGS)
        if listing.errors:
            more = f" (and {len(listing.errors) - 1} more)" if len(listing.errors) > 1 else ""
            raise ArchiveError(f"{archive.path}: {listing.errors[0]}{more}")
        self._refuse_or_skip([f"{archive.path}/{line}" for line in listing.bad])
        refuse_empty_split(archive.path, splits)
