"""Stored bands of all data sets: their sizes and types, the named sets of channels, and published statistics."""

from collections.abc import Mapping

from tfds_builders.bigearthnet.bands import BANDS, CHANNEL_SETS, Band, BandStatistics
from tfds_builders.catalog import ARCHIVES

__all__ = ["BANDS", "CHANNEL_SETS", "STATISTICS", "Band", "BandStatistics"]

# Data set -> band -> statistics of its training split.
STATISTICS: Mapping[str, Mapping[str, BandStatistics]] = {
    name: kind.band_statistics for kind in ARCHIVES.values() if kind.band_statistics for name in kind.data_sets
}
