"""The numbers of a row as they follow from its predictions: tasks write them, `verify` computes them again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Interval = tuple[float, float]
Metrics = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Measured:
    """The numbers of a row; a value or an interval is None where it is undefined."""

    n: int
    confusion: np.ndarray  # integer counts, as `rows.Row` describes them
    values: Mapping[str, float | None]
    intervals: Mapping[str, Interval | None]  # of 95 %
    baseline: Mapping[str, Any]  # of the trivial predictor: its name and its metrics

    def with_leaked(self, leaked_n: np.ndarray) -> "Measured":
        """Return the numbers with the share of examples that have a copy in training, (n,) bool, a count of no doubt.

        It is a metric of the row, `leaked`, without an interval.
        """
        share = {"leaked": float(np.mean(leaked_n))}
        return replace(self, values={**self.values, **share}, intervals={**self.intervals, "leaked": None})

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
