"""The numbers of a row as they follow from its predictions: tasks write them, `verify` computes them again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Interval = tuple[float, float]
Metrics = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Measured:
    """The numbers of a row.

    Attributes:
        n: number of examples.
        confusion: integer counts, as `rows.Row` describes them.
        values: value of each metric, None where it is undefined.
        intervals: 95 % interval of each metric, None where it is undefined.
        baseline: the trivial predictor of the split: its name and its metrics.
    """

    n: int
    confusion: np.ndarray
    values: Mapping[str, float | None]
    intervals: Mapping[str, Interval | None]
    baseline: Mapping[str, Any]

    @property
    def metrics(self) -> Metrics:
        """The metrics with their intervals, as rows hold them."""
        return self.metrics_within(self.intervals)

    def metrics_within(self, intervals: Mapping[str, Interval | None]) -> Metrics:
        """Return the metrics that have an interval, with these intervals."""
        metrics: Metrics = {}
        for name, value in self.values.items():
            if name in intervals:
                low, high = intervals[name] or (None, None)
                metrics[name] = {"value": value, "low": low, "high": high}
        return metrics
