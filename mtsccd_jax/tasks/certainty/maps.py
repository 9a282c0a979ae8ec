"""Maps from what a network says to probabilities, fitted on examples whose truth is known.

- *Isotonic* (Zadrozny and Elkan 2002): the best map that never falls, of distances. It follows any shape and needs some
  hundred examples.
- *Platt* (1999): a sigmoid of the distance, its targets smoothed as Platt says. Two numbers, for few examples.
- *Temperature* (Guo et al. 2017, arXiv:1706.04599): class scores divided by one number before the softmax. It leaves
  the order of the classes, so accuracy stays as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

# Bounds of the logarithm of a temperature: where every example is right, none is small enough.
_LOG_TEMPERATURES = (-5.0, 5.0)
# Of the logistic regression: as good as no penalty, which versions of scikit-learn ask for in different ways.
_NO_PENALTY = 1e10


@dataclass(frozen=True, eq=False)
class Isotonic:
    """A map that never falls: linear between its knots, constant outside of them."""

    knot_m: np.ndarray  # distances, ascending
    value_m: np.ndarray  # probabilities there

    def __call__(self, distance_n: np.ndarray) -> np.ndarray:
        """Return the probability of change of each distance, (n,) float64."""
        probability_n: np.ndarray = np.interp(np.asarray(distance_n, np.float64), self.knot_m, self.value_m)
        return probability_n


@dataclass(frozen=True)
class Platt:
    """A sigmoid: 1 / (1 + exp(-(slope distance + intercept)))."""

    slope: float
    intercept: float

    def __call__(self, distance_n: np.ndarray) -> np.ndarray:
        """Return the probability of change of each distance, (n,) float64."""
        from scipy.special import expit

        probability_n: np.ndarray = expit(self.slope * np.asarray(distance_n, np.float64) + self.intercept)
        return probability_n


DistanceMap = Isotonic | Platt


def fit_isotonic(distance_n: np.ndarray, changed_n: np.ndarray) -> Isotonic:
    """Fit scikit-learn's isotonic regression of change on distance."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    fitted.fit(np.asarray(distance_n, np.float64), np.asarray(changed_n, np.float64))
    return Isotonic(fitted.X_thresholds_, fitted.y_thresholds_)


def fit_platt(distance_n: np.ndarray, changed_n: np.ndarray) -> Platt:
    """Fit Platt's sigmoid by scikit-learn's logistic regression.

    The targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2) and not 1 and 0, so that separable examples give no step. As
    weights: every example counts as changed with its target, and as unchanged with the rest.
    """
    from sklearn.linear_model import LogisticRegression

    changed = np.asarray(changed_n, bool)
    target = np.where(changed, (changed.sum() + 1) / (changed.sum() + 2), 1 / ((~changed).sum() + 2))
    distance = np.asarray(distance_n, np.float64)
    mean, spread = distance.mean(), distance.std() or 1.0  # the solver wants inputs of about 1
    column = np.tile((distance - mean) / spread, 2)[:, None]
    is_change, weight = np.repeat([1, 0], len(distance)), np.concatenate([target, 1 - target])
    fitted = LogisticRegression(C=_NO_PENALTY, tol=1e-10, max_iter=1000).fit(column, is_change, sample_weight=weight)
    slope = float(fitted.coef_[0, 0]) / spread
    return Platt(float(slope), float(fitted.intercept_[0] - slope * mean))


FITS: dict[str, Callable[[np.ndarray, np.ndarray], DistanceMap]] = {"isotonic": fit_isotonic, "platt": fit_platt}


def fit_temperature(score_nk: np.ndarray, label_n: np.ndarray) -> float:
    """Return the temperature of least log loss; scores (n, k) are logits or decision values."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    score, rows = np.asarray(score_nk, np.float64), np.arange(len(label_n))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(score / np.exp(log_temperature), axis=1)[rows, label_n].mean())

    found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))


def softmax(score_nk: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the softmax of scores (n, k) divided by a temperature, float64."""
    from scipy import special

    probability_nk: np.ndarray = special.softmax(np.asarray(score_nk, np.float64) / temperature, axis=1)
    return probability_nk


def map_arrays(fitted: DistanceMap) -> dict[str, np.ndarray]:
    """Return the arrays that `map_of` makes the map of again."""
    return {name: np.asarray(value) for name, value in asdict(fitted).items()}


def map_of(arrays: Mapping[str, np.ndarray]) -> DistanceMap:
    """Return the map of saved arrays; KeyError where they are of none."""
    if "knot_m" in arrays:
        return Isotonic(arrays["knot_m"], arrays["value_m"])
    return Platt(float(arrays["slope"]), float(arrays["intercept"]))
