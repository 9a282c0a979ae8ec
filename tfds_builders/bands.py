"""Stored bands of all data sets: sizes and types, named sets of channels, published statistics, sound values."""

from collections.abc import Mapping

from tfds_builders.bigearthnet.bands import BANDS, CHANNEL_SETS, Band, BandStatistics
from tfds_builders.bigearthnet.pixels import not_finite
from tfds_builders.catalog import ARCHIVES

__all__ = ["BANDS", "CHANNEL_SETS", "STATISTICS", "Band", "BandStatistics", "not_finite"]

# Data set -> band -> statistics of its training split.
STATISTICS: Mapping[str, Mapping[str, BandStatistics]] = {
    name: kind.band_statistics for kind in ARCHIVES.values() if kind.band_statistics for name in kind.data_sets
}
