"""The TFDS builder of MLRSNet."""

import hashlib
import logging
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
from tfds_builders.mlrsnet.labels import correction_lines, damage, damage_lines, read_label_set
from tfds_builders.mlrsnet.names import CATEGORIES, CONFIGS, LABELS, MlrsnetConfig
from tfds_builders.mlrsnet.splits import split_rows
from tfds_builders.reading.archive import Archive, ArchiveError, is_generated
from tfds_builders.writing.builder import SHARD_BYTES, DualFormatBuilder, manual_folder
from tfds_builders.writing.examples import ExampleFiles, ShardExamples
from tfds_builders.writing.image_shards import common_size, image_file, image_shards

_IMAGE_FEATURES = ("image",)
_VALUE_FEATURES = ("labels", "category", "filename")
_LOG = logging.getLogger(__name__)


class Builder(DualFormatBuilder):
    """MLRSNet: scenes with several of 60 labels each."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS: ClassVar[list[MlrsnetConfig]] = CONFIGS
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
        """Return the sha256 of the archive's file names, of its label files, and of what decides the splits."""
        assert self._archive is not None
        archive = open_mlrsnet(self._archive)
        return self._source(archive, list_images(archive, read_labels(archive, self.builder_config.labels)))

    def _source(self, archive: Archive, listing: Listing) -> str:
        config = self.builder_config
        decisions = repr((config.labels, config.train_percent, config.validation_percent, config.seed))
        digest = hashlib.sha256("\n".join([decisions, *archive.names, *listing.bad]).encode())
        digest.update(listing.labels.labels_nk.tobytes())
        return digest.hexdigest()

    def _open(self, dl_manager: tfds.download.DownloadManager) -> Archive:
        """Return the archive that was given, or else what TFDS's manual download folder holds."""
        if self._archive is not None:
            return open_mlrsnet(self._archive)
        return open_mlrsnet(manual_folder(dl_manager, DOWNLOAD_HINT), shared_folder=True)

    def _shard_iterators_per_split(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[ShardExamples]]:
        config = self.builder_config
        archive = self._open(dl_manager)
        listing = list_images(archive, read_labels(archive, config.labels))
        self._refuse_or_skip(archive, listing)
        self._report_damage(archive, listing)
        labels = listing.labels
        rows_of_split = split_rows(
            labels.filenames,
            labels.category_of_row,
            train_percent=config.train_percent,
            validation_percent=config.validation_percent,
            seed=config.seed,
        )
        # Rows keep their splits when images of other rows are missing.
        rows_of_split = {
            split: [row for row in rows if listing.image_of_row[row] is not None]
            for split, rows in rows_of_split.items()
        }
        for split, rows in rows_of_split.items():
            if not rows:
                raise ArchiveError(f"{archive.path}: split '{split}' would be empty; is a part of the archive missing?")
        self.info.metadata["source"] = self._source(archive, listing)
        self.info.metadata["generated"] = is_generated(archive)
        self.info.metadata["label_names"] = list(LABELS)
        self.info.metadata["splits_from"] = (
            f"{config.train_percent} % train and {config.validation_percent} % validation of every category,"
            f" seed {config.seed}"
        )
        images = [name for name in listing.image_of_row if name is not None]
        paths = archive.files(images, self._scratch_dir())
        size, image_bytes = common_size(archive, paths)
        self._examples_per_split = {split: len(rows) for split, rows in rows_of_split.items()}
        category_label = {category: label for label, category in enumerate(CATEGORIES)}
        shards = {}
        for split, rows in rows_of_split.items():
            examples = []
            for row in rows:
                image = listing.image_of_row[row]
                assert image is not None  # rows without were left out above
                category = category_label[labels.category_of_row[row]]
                values = (labels.labels_nk[row], category, labels.filenames[row])
                examples.append(ExampleFiles((image_file(archive, image, paths[image]),), values))
            shards[split] = image_shards(
                examples,
                image_features=_IMAGE_FEATURES,
                value_features=_VALUE_FEATURES,
                image_size=size,
                image_bytes=image_bytes,
                shard_bytes=SHARD_BYTES,
                skip_bad=self._skip_bad,
            )
        return shards

    def _refuse_or_skip(self, archive: Archive, listing: Listing) -> None:
        """Raise the first thing that cannot be used, or tells of them all in `skipped`."""
        if listing.bad and not self._skip_bad:
            more = f" (and {len(listing.bad) - 1} more)" if len(listing.bad) > 1 else ""
            raise ArchiveError(f"{archive.path}/{listing.bad[0]}{more}; or build with --skip-bad")
        self.skipped += [f"{archive.path}/{line}" for line in listing.bad]

    def _report_damage(self, archive: Archive, listing: Listing) -> None:
        """Log what is wrong with the labels, and how the other label set differs; nothing is changed."""
        lines = damage_lines(listing.labels)
        files = label_files(archive)
        if listing.labels.name == "official" and "corrected" in files:
            lines += correction_lines(listing.labels, read_label_set(archive, "corrected", files["corrected"]))
        for line in lines:
            _LOG.warning("%s", line)
        self.info.metadata["damage"] = {
            category: {"without_labels": entry.without_labels, "above_13": entry.above_13}
            for category, entry in damage(listing.labels).items()
        }
