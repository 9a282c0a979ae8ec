"""A call of every public function of `ops` that uses JAX, on n examples."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mtsccd_jax import ops
from mtsccd_jax.ops.svm import KERNELS

_RANDOM = np.random.default_rng(0)
_MOST = 64
X, Y = (_RANDOM.normal(size=(_MOST, 6)).astype(np.float32) for _ in range(2))
CROWD = np.repeat(Y[:2], 120, 0)
LABEL, OTHER = _RANDOM.integers(0, 3, (2, _MOST))
CHANGED = _RANDOM.random(_MOST) < 0.4
DISTANCE = (_RANDOM.random(_MOST) + 0.5 * CHANGED).astype(np.float32)
LABELS = _RANDOM.random((_MOST, 4)) < 0.3
SCORES = (_RANDOM.random((_MOST, 4)) + 0.3 * LABELS).astype(np.float32)


def _by_histogram(n: int) -> Any:
    histogram = ops.threshold_histogram.ThresholdHistogram()
    histogram.add(DISTANCE[:n], CHANGED[:n])
    while not histogram.is_settled():
        histogram = histogram.refined()
        histogram.add(DISTANCE[:n], CHANGED[:n])
    return vars(histogram.result())


def _found(n: int) -> Any:
    _, index = ops.distance.nearest_neighbors(X[:n], X[:n], 10)
    label = LABEL[:n]
    figures = ops.retrieval.query_figures(np.asarray(index), label, label, cutoffs=(3,), itself_q=np.arange(n))
    return ops.retrieval.retrieval_metrics(figures), ops.retrieval.retrieval_intervals(figures, resamples=20)


def _linear_svm(n: int) -> Any:
    gentle = ops.svm.fit_linear(X[:n], LABEL[:n], 3)
    steep = ops.svm.fit_linear(X[:n], LABEL[:n], 3, 100.0, start=gentle.svm)
    return gentle, steep, steep.svm.scores(Y[:n])


def _kernel_svm(n: int, kernel: str) -> Any:
    return ops.svm.fit_kernel(abs(X[:n]), LABEL[:n], 3, kernel=kernel).svm.scores(abs(Y[:n]))


CALLS: dict[str, Callable[[int], Any]] = {
    "paired": lambda n: ops.distance.paired_distance(X[:n], Y[:n]),
    "pairwise": lambda n: ops.distance.pairwise_distance(X[:n], Y[:n], "cosine"),
    "nearest": lambda n: ops.distance.nearest_neighbors(X[:n].astype(np.float64), Y[:n].astype(np.float64), 5),
    "nearest in a crowd": lambda n: ops.distance.nearest_neighbors(X[:n], CROWD[-2 * n :], 3, unit_length=True),
    "nearest of arrays of JAX": lambda n: ops.distance.nearest_neighbors(*jax.device_put((X[:n], Y[:n])), 5),
    "k-means": lambda n: ops.kmeans.fit_kmeans(X[:n], 5),
    "nearest centre": lambda n: ops.kmeans.nearest_center(X[:n], Y[:4]),
    "confusion": lambda n: ops.metrics.confusion_matrix(LABEL[:n], OTHER[:n], 3, CHANGED[:n]),
    "linear SVM": _linear_svm,
    **{f"{kernel} SVM": lambda n, kernel=kernel: _kernel_svm(n, kernel) for kernel in KERNELS},
    "labels": lambda n: ops.multilabel.multilabel_metrics(LABELS[:n], SCORES[:n]),
    "labels of float64": lambda n: ops.multilabel.multilabel_metrics(LABELS[:n], SCORES[:n].astype(np.float64)),
    "class thresholds": lambda n: ops.multilabel.class_thresholds(LABELS[:n], SCORES[:n]),
    "label intervals": lambda n: ops.multilabel_bootstrap.bootstrap_intervals(LABELS[:n], SCORES[:n], resamples=20),
    "label differences": lambda n: ops.multilabel_bootstrap.paired_differences(
        LABELS[:n], SCORES[:n], 1 - SCORES[:n], resamples=20
    ),
    "threshold": lambda n: vars(ops.threshold.best_threshold(DISTANCE[:n], CHANGED[:n], "balanced")),
    "threshold by histogram": _by_histogram,
    "threshold resampled": lambda n: ops.bootstrap.bootstrap_thresholds(DISTANCE[:n], CHANGED[:n], 20),
    "threshold rechosen": lambda n: ops.bootstrap.rechosen_threshold_interval(
        DISTANCE[:n], CHANGED[:n], DISTANCE[:n], CHANGED[:n], resamples=20
    ),
    "difference": lambda n: ops.paired_tests.paired_difference(LABEL[:n], LABEL[:n], OTHER[:n], 3, resamples=20),
    "retrieval": _found,
}
