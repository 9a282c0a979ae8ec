"""Bootstrap resamples of examples as weights, where a measure needs the examples and not only their counts."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64, Real, Shaped

from mtsccd_jax.ops.bootstrap import percentile_interval
from mtsccd_jax.ops.calls import check_at_least_one, check_level

# weight_rn -> {name: value_r}
Measure = Callable[[Float64[np.ndarray, "r n"]], dict[str, Float64[np.ndarray, " r"]]]

_WEIGHTS_AT_ONCE = 1 << 22  # bounds memory, not results


def bootstrap_weights(n: int, resamples: int, seed: int) -> Iterator[Float64[np.ndarray, "r n"]]:
    """Yield how often each of n examples is drawn in some of the `resamples` bootstrap resamples, until all are there.

    A resample draws n examples with replacement, so its weights are integers that sum to n.

    Raises:
        ValueError: no example, no resample.
    """
    check_at_least_one(n=n, resamples=resamples)
    random, at_once = np.random.default_rng(seed), max(1, _WEIGHTS_AT_ONCE // n)
    for start in range(0, resamples, at_once):
        r = min(at_once, resamples - start)
        cell = random.integers(0, n, (r, n)) + n * np.arange(r)[:, None]
        yield np.bincount(cell.ravel(), minlength=r * n).reshape(r, n).astype(np.float64)


def resampled(measure: Measure, n: int, resamples: int, seed: int) -> dict[str, Float64[np.ndarray, " r"]]:
    """Return what `measure` makes of each of `resamples` bootstrap resamples of n examples, by name.

    Raises:
        ValueError: as `bootstrap_weights`.
    """
    parts = [measure(weight_rn) for weight_rn in bootstrap_weights(n, resamples, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def defined_interval(value_r: Real[np.ndarray, " r"], level: float = 0.95) -> tuple[float, float] | None:
    """Return the percentile interval over the resamples in which a value is defined (not NaN); None without any.

    Raises:
        ValueError: a level outside (0, 1).
    """
    check_level(level)
    defined = value_r[~np.isnan(value_r)]
    return percentile_interval(defined, level) if len(defined) else None


def error_interval(
    value: float, value_r: Real[np.ndarray, " r"], floor_r: Real[np.ndarray, " r"], level: float = 0.95
) -> tuple[float, float]:
    """Return the basic bootstrap interval of a calibration error; from 0 where chance alone may explain the value.

    A calibration error is a sum of absolute gaps, to which noise adds: an estimate is too large, and resamples are too
    large again by about as much. The basic interval turns them around the value; `floor_r` are the errors that a
    perfect forecaster would show. In simulations of 226 and 1,358 examples, with true errors of 0 to 0.1, it held the
    true one in 80 to 99 %.

    Raises:
        ValueError: a level outside (0, 1).
    """
    check_level(level)
    low, high = percentile_interval(value_r, level)
    by_chance = value <= percentile_interval(floor_r, level)[1]
    return 0.0 if by_chance else min(max(2 * value - high, 0.0), value), max(2 * value - low, value)


def weighted_means(
    value_nv: Real[np.ndarray, "n v"], among_nv: Shaped[np.ndarray, "n v"], weight_rn: Real[np.ndarray, "r n"]
) -> Float64[np.ndarray, "r v"]:
    """Return the means of v values in each resample, each over the examples where `among_nv` is 1; NaN without any."""
    among = np.asarray(among_nv, np.float64)
    total_rv, count_rv = weight_rn @ (np.asarray(value_nv, np.float64) * among), weight_rn @ among
    mean_rv: np.ndarray = np.divide(total_rv, count_rv, out=np.full(count_rv.shape, np.nan), where=count_rv > 0)
    return mean_rv
