"""Numerics of scene labels, retrieval and change: distances, clusters, classifiers, thresholds, metrics, uncertainty.

Nothing here imports the rest of the project, so each module can be used alone.
"""

from mtsccd_jax.ops import (
    bootstrap,
    distance,
    kmeans,
    metrics,
    multilabel,
    multilabel_bootstrap,
    paired_tests,
    retrieval,
    svm,
    threshold,
    threshold_histogram,
)

__all__ = [
    "bootstrap",
    "distance",
    "kmeans",
    "metrics",
    "multilabel",
    "multilabel_bootstrap",
    "paired_tests",
    "retrieval",
    "svm",
    "threshold",
    "threshold_histogram",
]
