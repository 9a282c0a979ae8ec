"""Numerics of change detection on device arrays: distances, clusters, classifiers, thresholds, metrics, uncertainty.

Nothing here imports the rest of the project, so each module can be used alone.
"""

from mtsccd_jax.ops import comparison, distance, kmeans, metrics, statistics, svm, threshold

__all__ = ["comparison", "distance", "kmeans", "metrics", "statistics", "svm", "threshold"]
