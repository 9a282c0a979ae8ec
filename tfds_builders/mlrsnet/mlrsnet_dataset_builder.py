"""The TFDS builder of MLRSNet."""

import hashlib
import logging
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.mlrsnet.archive import (
    CORRECTED_HOMEPAGE,
    DOWNLOAD_HINT,
    HOMEPAGE,
    Listing,
    label_files,
    list_images,
    open_mlrsnet,
    read_labels,
)
from tfds_builders.mlrsnet.config import CONFIGS, MlrsnetConfig
from tfds_builders.mlrsnet.labels import correction_lines, damage, damage_lines, read_label_set
from tfds_builders.mlrsnet.names import CATEGORIES, LABELS
from tfds_builders.mlrsnet.splits import split_rows
from tfds_builders.reading.archive import Archive, is_generated
from tfds_builders.writing.builder import DualFormatBuilder, refuse_empty_split
from tfds_builders.writing.examples import ImageExamples
from tfds_builders.writing.image_shards import ArchiveExample, image_shards

_LOG = logging.getLogger(__name__)


class Builder(DualFormatBuilder):
    """MLRSNet: scenes with several of 60 labels each."""

    BUILDER_CONFIGS: ClassVar[list[MlrsnetConfig]] = list(CONFIGS)
    DOWNLOAD_HINT = DOWNLOAD_HINT
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Please {DOWNLOAD_HINT}. Place the folder in `manual_dir`, alone or under a name that begins with MLRSNet.
    For the configurations with corrected labels put the folder `labels` of {CORRECTED_HOMEPAGE} into it as
    `labels_corrected`.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "labels": tfds.features.Tensor(shape=(len(LABELS),), dtype=np.uint8),
                    "category": tfds.features.ClassLabel(names=list(CATEGORIES)),
                    "filename": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "labels"),
            homepage=HOMEPAGE,
        )

    def source(self) -> str:
        """Return the sha256 of what is read: the labels, which of their images are there, and the configuration."""
        assert self._archive is not None
        archive = open_mlrsnet(self._archive)
        return self._source(list_images(archive, read_labels(archive, self.builder_config.labels)))

    def _source(self, listing: Listing) -> str:
        config = self.builder_config
        decisions = repr((config.labels, config.train_percent, config.validation_percent, config.seed))
        images = zip(listing.labels.filenames, listing.image_of_row, strict=True)
        rows = (f"{filename} {image is not None}" for filename, image in images)
        digest = hashlib.sha256("\n".join([decisions, *rows]).encode())
        digest.update(listing.labels.labels_nk.tobytes())
        return digest.hexdigest()

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[ImageExamples]]:
        config = self.builder_config
        archive = open_mlrsnet(self._archive_path(dl_manager), shared_folder=self._archive is None)
        listing = list_images(archive, read_labels(archive, config.labels))
        self._refuse_or_skip([f"{archive.path}/{line}" for line in listing.bad])
        self._report_damage(archive, listing)
        rows_of_split = split_rows(
            listing.labels.filenames,
            listing.labels.category_of_row,
            train_percent=config.train_percent,
            validation_percent=config.validation_percent,
            seed=config.seed,
        )
        self.info.metadata.update(
            source=self._source(listing),
            generated=is_generated(archive),
            label_names=list(LABELS),
            splits_from=f"{config.train_percent} % train and {config.validation_percent} % validation of every "
            f"category, seed {config.seed}",
        )
        splits = {split: self._examples(listing, rows) for split, rows in rows_of_split.items()}
        refuse_empty_split(archive.path, splits)
        return image_shards(archive, splits, self._scratch_dir(), limits=self._limits, skip_bad=self._skip_bad)

    def _examples(self, listing: Listing, rows: Sequence[int]) -> list[ArchiveExample]:
        """Return the examples of those rows that have an image: rows keep their split when other images are missing."""
        labels = listing.labels
        categories = list(CATEGORIES)
        return [
            ArchiveExample(
                {"image": image},
                {
                    "labels": labels.labels_nk[row],
                    "category": categories.index(labels.category_of_row[row]),
                    "filename": labels.filenames[row],
                },
            )
            for row in rows
            if (image := listing.image_of_row[row]) is not None
        ]

    def _report_damage(self, archive: Archive, listing: Listing) -> None:
        """Log the faults of the labels, and how the other label set differs; change nothing."""
        lines = damage_lines(listing.labels)
        files = label_files(archive)
        if listing.labels.name == "official" and "corrected" in files:
            lines += correction_lines(listing.labels, read_label_set(archive, "corrected", files["corrected"]))
        for line in lines:
            _LOG.warning("%s", line)
        self.info.metadata["damage"] = {category: entry._asdict() for category, entry in damage(listing.labels).items()}
