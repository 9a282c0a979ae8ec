"""The numbers of shift: what networks reach in a city that they know, in one that they do not, and the gap.

Of n cities, network f has learned from all but city f. In its own test scenes a city is judged by the n - 1 networks
that know it (in city, their mean) and by the one that does not (out of city): the same scenes, so the gap is paired.

Intervals of single cities are over resampled scenes. Those of the means over cities, and of their gap, are over
resampled cities too; of five cities they are a little narrow (89 % in simulations), and of the mean, not of a city.
What to expect of one more city is the prediction interval of Student's t, from the gaps of n cities as if these were
drawn from one normal distribution. The worst city has no interval: the least of noisy values is too low.
"""

from collections.abc import Sequence

import numpy as np

from mtsccd_jax.ops.bootstrap import percentile_interval
from mtsccd_jax.ops.paired_tests import resampled_metrics
from mtsccd_jax.report.measured import Measured

METRICS = ("oa", "kappa")
LEVEL = 0.95


def measure(
    truth_n: np.ndarray,
    predicted_fn: np.ndarray,
    city_n: np.ndarray,
    cities: Sequence[str],
    classes: int,
    *,
    resamples: int,
    seed: int,
) -> Measured:
    """Return the numbers of a shift row.

    Args:
        truth_n: The true class of every test scene, or whether a pair changed, (n,) int.
        predicted_fn: The same as predicted by the network that city f was left out for, (f, n) int.
        city_n: The city of every scene, (n,) int below the number of cities.
        cities: Their names; two or more.
        classes: The number of classes; 2 for changed and unchanged.
        resamples: Bootstrap resamples.
        seed: Of the bootstrap.
    """
    scores = [
        resampled_metrics(truth_n[city_n == c], predicted_fn[:, city_n == c], classes, resamples, [seed, c])
        for c in range(len(cities))
    ]
    random = np.random.default_rng(seed)
    drawn_rc = random.integers(len(cities), size=(resamples, len(cities)))
    # A city that is drawn twice brings different resamples of its scenes.
    place_rc = 1 + (np.arange(resamples)[:, None] + np.arange(len(cities))) % resamples
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float] | None] = {}

    def add(name: str, value: float, value_r: np.ndarray) -> None:
        values[name], intervals[name] = float(value), percentile_interval(value_r, LEVEL)

    for metric in METRICS:
        score_cfr = np.stack([of_city[metric] for of_city in scores])
        parts_cr = _parts(score_cfr)
        for part, value_cr in parts_cr.items():
            add(f"{part}_{metric}", value_cr[:, 0].mean(), value_cr[drawn_rc, place_rc].mean(1))
        values[f"worst_city_{metric}"] = float(parts_cr["out_of_city"][:, 0].min())
        intervals[f"worst_city_{metric}"] = None
        values[f"next_city_{metric}"] = values[f"gap_{metric}"]
        intervals[f"next_city_{metric}"] = prediction_interval(parts_cr["gap"][:, 0])
        for part, value_cr in parts_cr.items():
            for city, value_r in zip(cities, value_cr, strict=True):
                add(f"{part}_{metric}_{city}", value_r[0], value_r[1:])
    frequent = [np.bincount(truth_n[city_n == c]).max() / (city_n == c).sum() for c in range(len(cities))]
    kind = "most frequent class" if classes > 2 else "the more frequent of changed and unchanged"
    baseline = {"name": f"{kind} of each city", "out_of_city_oa": float(np.mean(frequent)), "out_of_city_kappa": 0.0}
    return Measured(len(truth_n), np.zeros((0, 0), np.int64), values, intervals, baseline)


def prediction_interval(value_c: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of one more value, as wide as Student's t makes it for so few."""
    from scipy.special import stdtrit

    n = len(value_c)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2) * value_c.std(ddof=1) * np.sqrt(1 + 1 / n))
    return float(value_c.mean()) - half, float(value_c.mean()) + half


def _parts(score_cfr: np.ndarray) -> dict[str, np.ndarray]:
    """Return in-city and out-of-city scores of each city and their gap, (c, r) each."""
    cities = len(score_cfr)
    own = np.arange(cities)
    out_cr = score_cfr[own, own]
    in_cr = (score_cfr.sum(1) - out_cr) / (cities - 1)
    return {"in_city": in_cr, "out_of_city": out_cr, "gap": in_cr - out_cr}
