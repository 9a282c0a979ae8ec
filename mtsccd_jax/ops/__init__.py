"""Numerics of scene labels, retrieval and change: distances, clusters, classifiers, thresholds, metrics, uncertainty.

The modules import no other part of the project, so each can be used alone.
"""

from mtsccd_jax.ops import (
    bootstrap,
    certainty,
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
    "certainty",
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
