"""The common part of the builders of both BigEarthNets: features, metadata and shard sizes."""

import abc
import logging
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.bigearthnet.bands import BANDS, BandStatistics
from tfds_builders.bigearthnet.names import SEASONS
from tfds_builders.writing.builder import DualFormatBuilder

_LOG = logging.getLogger(__name__)


class BigEarthNetBuilder(DualFormatBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Describe patches of named bands with several land-cover labels; a subclass reads its archive.

    The builder's configurations have `bands`, each of which is a feature of its own.
    """

    STATISTICS: ClassVar[dict[str, BandStatistics]]
    COUNTRY_NAMES: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def _classes(self) -> tuple[str, ...]:
        """Return the classes of the feature `labels`, in its order."""

    @abc.abstractmethod
    def _own_features(self) -> dict[str, Any]:
        """Return the features that the other BigEarthNet does not have."""

    def _info(self) -> tfds.core.DatasetInfo:
        bands = self.builder_config.bands
        features = {
            name: tfds.features.Tensor(shape=BANDS[name].shape, dtype=np.dtype(BANDS[name].dtype), encoding="bytes")
            for name in bands
        }
        features |= {
            "labels": tfds.features.Tensor(shape=(len(self._classes()),), dtype=np.uint8),
            "patch_id": tfds.features.Text(),
            "s1_name": tfds.features.Text(),
            "acquired": tfds.features.Text(),
            "s1_acquired": tfds.features.Text(),
            "season": tfds.features.ClassLabel(names=list(SEASONS)),
            "country": tfds.features.ClassLabel(names=list(self.COUNTRY_NAMES)),
            "tile": tfds.features.Text(),
            "x": tfds.features.Scalar(np.int32),
            "y": tfds.features.Scalar(np.int32),
            "has_snow": tfds.features.Scalar(np.bool_),
            "has_cloud_or_shadow": tfds.features.Scalar(np.bool_),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features | self._own_features()),
            supervised_keys=(tuple(bands) or "reference_map", "labels"),
            homepage="https://bigearth.net",
        )

    def _describe(self, **metadata: Any) -> None:
        """Add to the data set's metadata `metadata`, the names of its labels and the statistics of its bands."""
        statistics = {name: self.STATISTICS[name] for name in self.builder_config.bands}
        self.info.metadata.update(
            label_names=list(self._classes()),
            band_statistics={name: {"mean": entry.mean, "std": entry.std} for name, entry in statistics.items()},
            **metadata,
        )

    def _band_bytes(self) -> int:
        """Return the bytes of all bands of a patch."""
        bands = [BANDS[name] for name in self.builder_config.bands]
        return sum(math.prod(band.shape) * np.dtype(band.dtype).itemsize for band in bands)

    def _count_absent(self, archive: Path, absent: Collection[str], listed: int, where: str) -> None:
        """Count the patches that are listed `where` and of which the archive has nothing, and warn of them."""
        self.absent = len(absent)
        if absent:
            which = f"{len(absent)} of the {listed} patches in {where}"
            _LOG.warning("%s: %s are not in the archive, the first: %s", archive, which, min(absent))
