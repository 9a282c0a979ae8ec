"""Forecasts of examples from others whose truth is known: probabilities, conformal sets, and whether to answer at all.

Everything that is fitted comes from the known examples: the map to probabilities, the quantiles of the sets, and the
least confidence at which an example is answered. Where the examples are of the split that is judged, cross-fitting
takes each fold's from the other folds, so that nothing is judged on what it was fitted on.

**Sets.** Classes have the nonconformity 1 - p of the network's own softmax, with one quantile for all (LAC, Sadinle et
al. 2019). Pairs have the distance as nonconformity of "unchanged" and its negative as that of "changed", each with the
quantile of its own kind, since few pairs change. Neither uses the fitted map, so what split conformal prediction
promises holds although the map was fitted on the same examples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.ops.certainty.conformal import class_quantiles, conformal_quantile, prediction_sets
from mtsccd_jax.recipes.config import Certainty
from mtsccd_jax.tasks.certainty.maps import FITS, DistanceMap, fit_temperature, softmax

FOLDS = 5
# Of a forecast in an artefact.
ARRAYS = ("probability", "before", "in_set", "kept", "has_sets")


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is said of n examples of k classes; of pairs the classes are "unchanged" and "changed"."""

    probability_nk: np.ndarray  # calibrated, float64
    before_nk: np.ndarray  # before calibration, float64
    in_set_nk: np.ndarray  # bool
    kept_n: np.ndarray  # whether the example is answered, bool
    has_sets: bool  # whether there were known examples enough for the coverage that is asked for

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the forecast as artefacts hold it."""
        columns = (self.probability_nk, self.before_nk, self.in_set_nk, self.kept_n, np.array(self.has_sets))
        return dict(zip(ARRAYS, columns, strict=True))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Forecast":
        """Return the forecast that an artefact holds."""
        probability, before, in_set, kept, has_sets = (arrays[name] for name in ARRAYS)
        return cls(probability, before, in_set, kept, bool(has_sets))


# (known scores, known truth, scores of the examples) -> their forecast
Forecaster = Callable[[np.ndarray, np.ndarray, np.ndarray], Forecast]


def forecaster(method: str, settings: Certainty, *, is_probability: bool = False) -> Forecaster:
    """Return what forecasts scenes from class scores (n, k), or pairs from distances (n,).

    `is_probability` tells of distances that they are to be read as probabilities of change as they are. Others are read
    as their place in the range of the known ones.
    """

    def of_scenes(known_mk: np.ndarray, label_m: np.ndarray, score_nk: np.ndarray) -> Forecast:
        temperature = fit_temperature(known_mk, label_m)
        own_mk, own_nk = softmax(known_mk), softmax(score_nk)
        quantile = conformal_quantile(1 - own_mk[np.arange(len(label_m)), label_m], settings.coverage)
        known, probability = softmax(known_mk, temperature), softmax(score_nk, temperature)
        in_set, kept = prediction_sets(1 - own_nk, quantile), answered(known, probability, settings.coverage)
        return Forecast(probability, own_nk, in_set, kept, np.isfinite(quantile).item())

    def of_pairs(known_m: np.ndarray, changed_m: np.ndarray, distance_n: np.ndarray) -> Forecast:
        fitted = fit_map(known_m, changed_m, settings)
        known_mk, score_nk = (np.stack([d, -d], 1).astype(np.float64) for d in (known_m, distance_n))
        true_m = known_mk[np.arange(len(changed_m)), changed_m.astype(int)]
        quantile_k = class_quantiles(true_m, changed_m, 2, settings.coverage)
        # A distance of 1 may be a rounding above it.
        before = np.clip(distance_n, 0, 1) if is_probability else place_in_range(known_m, distance_n)
        probability = two_columns(fitted(distance_n))
        kept = answered(two_columns(fitted(known_m)), probability, settings.coverage)
        return Forecast(
            probability,
            two_columns(before),
            prediction_sets(score_nk, quantile_k),
            kept,
            bool(np.isfinite(quantile_k).all()),
        )

    return of_scenes if method == "scene" else of_pairs


def fit_map(distance_n: np.ndarray, changed_n: np.ndarray, settings: Certainty) -> DistanceMap:
    """Fit the map from distances to probabilities that the settings ask for."""
    return FITS[settings.calibration](distance_n, changed_n)


def cross_fit(forecast: Forecaster, score_n: np.ndarray, truth_n: np.ndarray, fold_n: np.ndarray) -> Forecast:
    """Forecast the examples of every fold from those of the others."""
    parts = {int(fold): np.flatnonzero(fold_n == fold) for fold in np.unique(fold_n)}
    made = [forecast(score_n[fold_n != fold], truth_n[fold_n != fold], score_n[rows]) for fold, rows in parts.items()]
    order = np.argsort(np.concatenate(list(parts.values())))

    def whole(name: str) -> np.ndarray:
        return np.concatenate([part.arrays()[name] for part in made])[order]

    has_sets = np.array(all(part.has_sets for part in made))
    return Forecast.of_arrays({**{name: whole(name) for name in ARRAYS[:-1]}, "has_sets": has_sets})


def stratified_folds(truth_n: np.ndarray, group_n: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each example, 0 to FOLDS - 1: seeded, groups whole, with about as many of each class in each.

    A group counts as of the class of its first example.
    """
    _, first, group = np.unique(group_n, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(truth_n[first[order]], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[group.ravel()]


def answered(known_mk: np.ndarray, probability_nk: np.ndarray, coverage: float) -> np.ndarray:
    """Return the examples that are at least as confident as the share `coverage` of the known ones, (n,) bool."""
    least = np.quantile(known_mk.max(1), 1 - coverage, method="lower")
    kept_n: np.ndarray = probability_nk.max(1) >= least
    return kept_n


def place_in_range(known_m: np.ndarray, distance_n: np.ndarray) -> np.ndarray:
    """Return the place of each distance in the range of the known ones, in [0, 1]; 0 where these are all equal."""
    low, span = float(known_m.min()), float(np.ptp(known_m)) or 1.0
    return np.clip((np.asarray(distance_n, np.float64) - low) / span, 0, 1)


def two_columns(probability_n: np.ndarray) -> np.ndarray:
    """Return the probabilities of "unchanged" and "changed", (n, 2) float64."""
    changed = np.asarray(probability_n, np.float64)
    return np.stack([1 - changed, changed], 1)
