"""How far the dates of a city are from those that a network has learned from, in months of the year and of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Fields with dates, "yyyymm".
FIELDS = ("date", "date_t1", "date_t2")


@dataclass(frozen=True)
class Dates:
    """The dates of one city's scenes, and how far they are from the nearest of the other cities, in months."""

    first: str  # the earliest and the latest, "yyyy-mm"
    last: str
    season_gap: float  # mean over scenes, whatever the year: 0 to 6
    date_gap: float  # mean over scenes
    between: float | None  # of pairs: months of the year between both dates, mean over pairs


def dates_of(arrays: Mapping[str, np.ndarray], city_n: np.ndarray, cities: int) -> Sequence[Dates] | None:
    """Return the dates of every city from arrays of texts "yyyymm", (n,) each; None where there are none."""
    fields = [field for field in FIELDS if field in arrays]
    if not fields:
        return None
    month_fn = np.stack([_months(arrays[field]) for field in fields])
    found = []
    for city in range(cities):
        own_m = month_fn[:, city_n == city].ravel()
        known_k = np.unique(month_fn[:, city_n != city])
        apart_mk = np.abs(own_m[:, None] - known_k)
        between = None
        if len(fields) == 2:
            t1, t2 = month_fn[:, city_n == city]
            between = float(_of_year(np.abs(t1 - t2)).mean())
        found.append(
            Dates(
                _text(own_m.min()),
                _text(own_m.max()),
                float(_of_year(apart_mk).min(1).mean()),
                float(apart_mk.min(1).mean()),
                between,
            )
        )
    return found


def _months(date_n: np.ndarray) -> np.ndarray:
    """Return the number of months since year 0 of texts "yyyymm", (n,) int."""
    date = date_n.astype(np.int64)
    return date // 100 * 12 + date % 100 - 1


def _text(month: int) -> str:
    return f"{month // 12}-{month % 12 + 1:02d}"


def _of_year(apart: np.ndarray) -> np.ndarray:
    """Return distances in months as distances between months of the year, 0 to 6."""
    nearest: np.ndarray = np.minimum(apart % 12, 12 - apart % 12)
    return nearest
