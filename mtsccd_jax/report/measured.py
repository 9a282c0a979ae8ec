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

    def with_share(self, name: str, chosen_n: np.ndarray) -> "Measured":
        """Return the numbers with a metric more: a share of the examples, (n,) bool, that is counted, not estimated."""
        values = {**self.values, name: float(np.mean(chosen_n))}
        return replace(self, values=values, intervals={**self.intervals, name: None})

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
