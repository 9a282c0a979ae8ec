"""The numbers of a row of certainty, as they follow from forecasts and truth."""

import numpy as np

from mtsccd_jax.ops.certainty.calibration import (
    brier_losses,
    calibration_error,
    equal_mass_bins,
    equal_width_bins,
    log_losses,
    perfect_calibration_errors,
)
from mtsccd_jax.ops.certainty.resampling import (
    Measure,
    defined_interval,
    error_interval,
    resampled,
    weighted_means,
)
from mtsccd_jax.ops.certainty.selection import area_under_risk_coverage
from mtsccd_jax.ops.metrics import confusion_matrix
from mtsccd_jax.recipes.config import Certainty
from mtsccd_jax.report.measured import Interval, Measured
from mtsccd_jax.tasks.certainty.forecast import Forecast

# Of fewer examples a bin no calibration error is told, and of a class with fewer no coverage.
FEWEST_A_BIN, FEWEST_OF_CLASS = 2, 10
_ERRORS = ("ece", "ece_adaptive", "ece_before")
_SETS = ("coverage", "coverage_lost", "set_size", "empty", "several")


def event(probability_nk: np.ndarray, truth_n: np.ndarray, of_change: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability whose calibration is judged, and whether its event came, both (n,).

    Of pairs it is that of a change; of scenes that of the most probable class, and the event that it is the true one.
    """
    if of_change:
        return probability_nk[:, 1], truth_n == 1
    return probability_nk.max(1), probability_nk.argmax(1) == truth_n


def look_order(probability_nk: np.ndarray, score_n: np.ndarray, of_change: bool) -> np.ndarray:
    """Return the examples in the order in which to look at them, (n,) int64.

    Pairs: the most probable changes first, of equal probability the largest distance, so that the time finds the most
    changes. Scenes: the least certain first, so that it finds the most errors. What is equal stays in its order.
    """
    if of_change:
        return np.lexsort((-score_n, -probability_nk[:, 1]))
    return np.argsort(probability_nk.max(1), kind="stable")


def measure(
    forecast: Forecast,
    truth_n: np.ndarray,
    known_n: np.ndarray,
    order_n: np.ndarray,
    settings: Certainty,
    *,
    of_change: bool,
    resamples: int,
    seed: int,
) -> Measured:
    """Return the numbers of a row.

    Metrics of probabilities: `oa`, `ece` (equally wide bins), `ece_adaptive` (equally full ones), `ece_before` the
    calibration, `ece_floor` (what a perfect forecaster would show by chance), `brier`, `log_loss`. Of abstention:
    `aurc`, `accuracy_kept` of the answered examples, `abstention`. Of sets: `coverage`, `coverage_lost` (what was asked
    for, less that), the coverage of each kind of pair or of the class that is covered least, `set_size`, `empty` and
    `several` (shares of the sets). `look_found` is the share of the changed pairs, or of the wrong scenes, among the
    first `settings.look` of the list.

    What cannot be told is None: calibration errors of fewer than FEWEST_A_BIN examples a bin, the least coverage where
    every class has fewer than FEWEST_OF_CLASS, sets that too few known examples bound, and shares among no example.
    `known_n` is the truth that was known, whose shares of the classes the trivial forecaster gives to all.
    """
    n, k = forecast.probability_nk.shape
    of_weights = _measures(forecast, truth_n, order_n, settings, of_change)
    value = {name: float(value_r[0]) for name, value_r in of_weights(np.ones((1, n))).items()}
    drawn = resampled(of_weights, n, resamples, seed)
    interval: dict[str, Interval | None] = {name: defined_interval(value_r) for name, value_r in drawn.items()}
    if "coverage_lowest" in interval:
        interval["coverage_lowest"] = None  # the least of noisy values is too low
    for name, (p, bins) in _judged(forecast, truth_n, settings, of_change).items():
        floor = perfect_calibration_errors(p, bins, resamples, seed)
        interval[name] = error_interval(value[name], drawn[name], floor)
        if name == "ece":
            value["ece_floor"], interval["ece_floor"] = float(floor.mean()), defined_interval(floor)
    untold = [name for name, told in value.items() if np.isnan(told) or not _is_told(name, forecast, n, settings)]
    return Measured(
        n=n,
        confusion=np.asarray(confusion_matrix(truth_n, forecast.probability_nk.argmax(1), k), np.int64),
        values={name: None if name in untold else told for name, told in value.items()},
        intervals={name: None if name in untold else ends for name, ends in interval.items()},
        baseline=_trivial(truth_n, known_n, k, settings),
    )


def _judged(
    forecast: Forecast, truth_n: np.ndarray, settings: Certainty, of_change: bool
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the probabilities (n,) and the bins of each calibration error."""
    p, before = (event(of, truth_n, of_change)[0] for of in (forecast.probability_nk, forecast.before_nk))
    return {
        "ece": (p, equal_width_bins(p, settings.bins)),
        "ece_adaptive": (p, equal_mass_bins(p, settings.bins)),
        "ece_before": (before, equal_width_bins(before, settings.bins)),
    }


def _measures(
    forecast: Forecast, truth_n: np.ndarray, order_n: np.ndarray, settings: Certainty, of_change: bool
) -> Measure:
    """Return what makes the metrics, by name, of resamples from their weights."""
    n = len(truth_n)
    probability_nk, in_set, everywhere = forecast.probability_nk, forecast.in_set_nk, np.ones(n, bool)
    right, size, covered = probability_nk.argmax(1) == truth_n, in_set.sum(1), in_set[np.arange(n), truth_n]
    first = np.isin(np.arange(n), order_n[: settings.look])
    (p, wide), (_, full), (before, wide_before) = _judged(forecast, truth_n, settings, of_change).values()
    came, came_before = (event(of, truth_n, of_change)[1] for of in (probability_nk, forecast.before_nk))
    # Metrics that are means: of which value, among which examples.
    means = {
        "oa": (right, everywhere),
        "brier": (brier_losses(probability_nk, truth_n), everywhere),
        "log_loss": (log_losses(probability_nk, truth_n), everywhere),
        "accuracy_kept": (right, forecast.kept_n),
        "abstention": (~forecast.kept_n, everywhere),
        "coverage": (covered, everywhere),
        "coverage_lost": (settings.coverage - covered, everywhere),
        **{name: (covered, of_kind) for name, of_kind in _kinds(covered, truth_n, of_change).items()},
        "set_size": (size, everywhere),
        "empty": (size == 0, everywhere),
        "several": (size > 1, everywhere),
        "look_found": (first, truth_n == 1 if of_change else ~right),
    }
    value_nv, among_nv = (np.stack(columns, 1) for columns in zip(*means.values(), strict=True))

    def of_weights(weight_rn: np.ndarray) -> dict[str, np.ndarray]:
        mean_rv = weighted_means(value_nv, among_nv, weight_rn)
        return {
            "ece": calibration_error(p, came, wide, weight_rn),
            "ece_adaptive": calibration_error(p, came, full, weight_rn),
            "ece_before": calibration_error(before, came_before, wide_before, weight_rn),
            "aurc": area_under_risk_coverage(probability_nk.max(1), ~right, weight_rn),
            **dict(zip(means, mean_rv.T, strict=True)),
        }

    return of_weights


def _kinds(covered_n: np.ndarray, truth_n: np.ndarray, of_change: bool) -> dict[str, np.ndarray]:
    """Return which examples the coverage of a kind is of: of both kinds of pair, or of the class covered least."""
    if of_change:
        return {"coverage_unchanged": truth_n == 0, "coverage_changed": truth_n == 1}
    label_k, count_k = np.unique(truth_n, return_counts=True)
    known = label_k[count_k >= FEWEST_OF_CLASS]
    least = min(known, key=lambda label: covered_n[truth_n == label].mean(), default=-1)
    return {"coverage_lowest": truth_n == least}


def _is_told(name: str, forecast: Forecast, n: int, settings: Certainty) -> bool:
    """Return whether there are examples enough to tell of a metric; at a coverage of 1 a set holds every class."""
    if name in (*_ERRORS, "ece_floor"):
        return n >= FEWEST_A_BIN * settings.bins
    return forecast.has_sets or settings.coverage == 1 or not (name in _SETS or name.startswith("coverage_"))


def _trivial(truth_n: np.ndarray, known_n: np.ndarray, k: int, settings: Certainty) -> dict[str, str | float]:
    """Return the scores of a forecaster that knows the shares of the classes alone, and looks at random examples."""
    share_nk = np.tile(np.bincount(known_n, minlength=k) / len(known_n), (len(truth_n), 1))
    scores = {"brier": brier_losses(share_nk, truth_n), "log_loss": log_losses(share_nk, truth_n)}
    return {
        "name": "shares of the classes",
        **{name: float(loss_n.mean()) for name, loss_n in scores.items()},
        "look_found": min(1.0, settings.look / len(truth_n)),
    }
