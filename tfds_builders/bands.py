"""Stored bands of all data sets: their sizes and types, the named sets of channels, and published statistics."""

from collections.abc import Mapping

from tfds_builders.bigearthnet.bands import BANDS, CHANNEL_SETS, V1_STATISTICS, V2_STATISTICS, Band, BandStatistics

__all__ = ["BANDS", "CHANNEL_SETS", "STATISTICS", "Band", "BandStatistics"]

# Data set -> band -> statistics of its training split: one line for each data set with bands.
STATISTICS: Mapping[str, Mapping[str, BandStatistics]] = {
    "bigearthnet_v1": V1_STATISTICS,
    "bigearthnet_v2": V2_STATISTICS,
}
