"""What `mtsccd_lusc` and `mtsccd_lucd` have in common as TFDS builders."""

import abc
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.mtsccd import City, MtsccdConfig
from tfds_builders.mtsccd.archive import (
    DOWNLOAD_HINT,
    Listing,
    Scene,
    list_archive,
    open_mtsccd,
    with_archive_cities,
)
from tfds_builders.reading.archive import Archive, ArchiveError, is_generated
from tfds_builders.writing.builder import SHARD_BYTES, DualFormatBuilder, manual_folder
from tfds_builders.writing.examples import ExampleFiles, ShardExamples
from tfds_builders.writing.image_shards import common_size, image_file, image_shards
from tfds_builders.writing.records import Value

_LOGGED_WARNINGS = 20
_LOG = logging.getLogger(__name__)


class MtsccdBuilder(DualFormatBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Read a MtSCCD archive and hands out its shards; a subclass says which sub-set and what an example is."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS: ClassVar[list[MtsccdConfig]] = [
        MtsccdConfig("official", description="The archive's own split, or else the paper's rule (section 2.2)."),
        MtsccdConfig("paired", description="Both dates of a tile lie in the same split.", paired=True),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Please {DOWNLOAD_HINT}.
    Place the folder, or the zip or tar files as they are, in `manual_dir`. A `cities.toml` beside them adds cities.
    """
    SUBSET: ClassVar[str]
    IMAGE_FEATURES: ClassVar[tuple[str, ...]]  # one for each scene of an example
    VALUE_FEATURES: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def _split(self, listing: Listing) -> Mapping[str, Sequence[tuple[Scene, ...]]]:
        """Return the scenes of every example of every split, in the order they are stored.

        What the sub-set cannot use is added to `listing.bad`.
        """

    @abc.abstractmethod
    def _values(self, scenes: tuple[Scene, ...], city: int) -> tuple[Value, ...]:
        """Return the `VALUE_FEATURES` of an example; `city` is the label of its city."""

    def _city_names(self) -> list[str]:
        """Return the values of the feature `city`: those of the built data, or else the configuration's."""
        stored = Path(self.data_dir) / "city.labels.txt"
        if stored.is_file():
            return stored.read_text(encoding="utf-8").split()
        return [city.name for city in self.builder_config.cities()]

    def source(self) -> str:
        """Return the sha256 of the archive's file names (not their content) and of what decides the splits."""
        assert self._archive is not None
        archive = open_mtsccd(self._archive)
        return self._source(archive, with_archive_cities(self.builder_config.cities(), archive))

    def _source(self, archive: Archive, cities: tuple[City, ...]) -> str:
        decisions = repr((cities, self.builder_config.paired, self.builder_config.seed))
        return hashlib.sha256("\n".join([decisions, *archive.names]).encode()).hexdigest()

    def _open(self, dl_manager: tfds.download.DownloadManager) -> Archive:
        """Return the archive that was given, or else what TFDS's manual download folder holds."""
        if self._archive is not None:
            return open_mtsccd(self._archive)
        return open_mtsccd(manual_folder(dl_manager, DOWNLOAD_HINT), shared_folder=True)

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[ShardExamples]]:
        archive = self._open(dl_manager)
        cities = with_archive_cities(self.builder_config.cities(), archive)
        city_names = [city.name for city in cities]
        # Called once more on the feature, this is the only public way to change its names: cities.toml comes this late.
        tfds.features.ClassLabel.__init__(self.info.features["city"], names=city_names)
        self.info.metadata["source"] = self._source(archive, cities)
        self.info.metadata["generated"] = is_generated(archive)
        listing = list_archive(archive, self.SUBSET, cities)
        self.info.metadata["splits_from"] = self._splits_from(listing)
        splits = self._split(listing)
        self._report(archive, listing, splits)
        examples = [scenes for split in splits.values() for scenes in split]
        paths = archive.files((scene.path for scenes in examples for scene in scenes), self._scratch_dir())
        size, image_bytes = common_size(archive, paths)
        self._examples_per_split = {split: len(scenes) for split, scenes in splits.items()}
        shards: dict[str, list[ShardExamples]] = {}
        for split, scenes_of_examples in splits.items():
            ready = [
                ExampleFiles(
                    tuple(image_file(archive, scene.path, paths[scene.path]) for scene in scenes),
                    self._values(scenes, city_names.index(scenes[0].name.city)),
                )
                for scenes in scenes_of_examples
            ]
            shards[split] = image_shards(
                ready,
                image_features=self.IMAGE_FEATURES,
                value_features=self.VALUE_FEATURES,
                image_size=size,
                image_bytes=image_bytes,
                shard_bytes=SHARD_BYTES,
                skip_bad=self._skip_bad,
            )
        return shards

    def _splits_from(self, listing: Listing) -> str:
        """Return what decided about train and validation, for the metadata."""
        if self.builder_config.paired:
            return f"80 % of the pairs of each city, seed {self.builder_config.seed}"
        if any(scene.split for scene in listing.scenes):
            return "the archive"
        return f"the rule of section 2.2, seed {self.builder_config.seed}"

    def _report(self, archive: Archive, listing: Listing, splits: Mapping[str, Sequence[tuple[Scene, ...]]]) -> None:
        """Log the warnings; raises what no build can pass over, and the rest unless it is to be skipped."""
        warnings = listing.absent + listing.warnings
        for warning in warnings[:_LOGGED_WARNINGS]:
            _LOG.warning("%s", warning)
        if len(warnings) > _LOGGED_WARNINGS:
            _LOG.warning("%d more warnings; `check_archive` lists them all", len(warnings) - _LOGGED_WARNINGS)
        if listing.errors:
            raise ArchiveError(f"{archive.path}: {listing.errors[0]}{_and_more(listing.errors)}")
        if listing.bad and not self._skip_bad:
            raise ArchiveError(f"{archive.path}/{listing.bad[0]}{_and_more(listing.bad)}; or build with --skip-bad")
        self.skipped += [f"{archive.path}/{line}" for line in listing.bad]
        empty = [split for split, scenes in splits.items() if not scenes]
        if empty:
            raise ArchiveError(f"{archive.path}: split '{empty[0]}' would be empty; is a part of the archive missing?")


def _and_more(messages: Sequence[str]) -> str:
    return f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
