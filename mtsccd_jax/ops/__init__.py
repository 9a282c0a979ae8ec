"""Numerics of change detection on device arrays: distances, thresholds, metrics and their uncertainty.

Nothing here imports the rest of the project, so each module can be used alone.
"""

from mtsccd_jax.ops import distance, metrics, statistics, threshold

__all__ = ["distance", "metrics", "statistics", "threshold"]
