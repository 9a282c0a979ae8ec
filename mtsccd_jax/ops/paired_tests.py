"""Whether one method is better than another on the same examples: McNemar's test, the paired bootstrap.

Two methods tested on one set err together, so the intervals of their metrics overlap long before their difference is in
doubt. What is compared here is always paired.

As in `ops.bootstrap`, a resample draws from counts and not from examples: the metrics of both methods are functions of
the counts of (truth, prediction of a, prediction of b), and resampling examples makes these multinomial.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Shaped

from mtsccd_jax.ops.bootstrap import percentile_interval
from mtsccd_jax.ops.calls import check_at_least_one, check_known, check_level, class_vector
from mtsccd_jax.ops.metrics import BINARY_METRICS, metrics_of_many


class McNemar(NamedTuple):
    """The exact McNemar test of two methods.

    `p_value` is the chance of a difference at least this large if a and b are equally often the only one right; 1.0
    where no example has only one right.
    """

    only_a: int  # examples that only a has right
    only_b: int
    p_value: float


class Difference(NamedTuple):
    """A metric of a minus that of b, with its interval."""

    value: float
    low: float
    high: float


def mcnemar(correct_a_n: Shaped[ArrayLike, " n"], correct_b_n: Shaped[ArrayLike, " n"]) -> McNemar:
    """Compute McNemar's test, exact (binomial) and two-sided, from whether a and b have each example right.

    Raises:
        ValueError: empty input, unequal lengths, values other than 0 and 1.
    """
    from scipy.special import betainc

    a, b = (correct.astype(bool) for correct in _vectors(2, correct_a_n=correct_a_n, correct_b_n=correct_b_n))
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant, fewer = only_a + only_b, min(only_a, only_b)
    # Both tails of the binomial distribution of 1/2, unless they meet; `scipy.stats` takes half a second to import.
    p_value = float(2 * betainc(discordant - fewer, fewer + 1, 0.5)) if 2 * fewer + 1 < discordant else 1.0
    return McNemar(only_a, only_b, p_value)


def paired_difference(
    truth_n: Shaped[ArrayLike, " n"],
    predicted_a_n: Shaped[ArrayLike, " n"],
    predicted_b_n: Shaped[ArrayLike, " n"],
    classes: int = 2,
    metric: str = "kappa",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Return the metric of a minus that of b with its percentile interval, over the same resampled examples.

    Exchanging a and b changes the sign of everything and nothing else. Labels are integers in [0, classes), or bool.
    With 2 classes, 1 is "changed" and the metrics are `binary_metrics`; with more they are `scene_metrics`.

    Raises:
        ValueError: empty input, unequal lengths, labels out of range, an unknown metric, no resample, a level outside
            (0, 1), fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    check_known("metric", metric, BINARY_METRICS)
    check_at_least_one(resamples=resamples)
    check_level(level)
    truth, a, b = _vectors(classes, truth_n=truth_n, predicted_a_n=predicted_a_n, predicted_b_n=predicted_b_n)
    # The draws depend on the order of the cells. One order for (a, b) and (b, a) makes the exchange exact.
    differing = np.flatnonzero(a != b)
    exchanged = bool(differing.size and a[differing[0]] > b[differing[0]])
    first, second = (b, a) if exchanged else (a, b)
    values_a, values_b = resampled_metrics(truth, np.stack([first, second]), classes, resamples, seed)[metric]
    difference = (-1.0 if exchanged else 1.0) * (values_a - values_b)
    return Difference(float(difference[0]), *percentile_interval(difference[1:], level))


def resampled_metrics(
    truth_n: Shaped[ArrayLike, " n"],
    predicted_mn: Shaped[ArrayLike, "m n"],
    classes: int = 2,
    resamples: int = 1000,
    seed: int | Sequence[int] = 0,
) -> dict[str, Float64[np.ndarray, "m r"]]:
    """Return the metrics of m methods on the examples as they are, and then on the same resampled examples.

    The first column is of the examples themselves. Labels and metrics are those of `paired_difference`.

    Raises:
        ValueError: empty input, unequal lengths, labels out of range, no resample, fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    check_at_least_one(resamples=resamples)
    methods = {f"predicted_mn[{m}]": predicted_n for m, predicted_n in enumerate(np.asarray(predicted_mn))}
    lines = _vectors(classes, truth_n=truth_n, **methods)
    cells, counts = np.unique(np.stack(lines), axis=1, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(lines[0]), counts / len(lines[0]), size=resamples)
    count_rc = np.concatenate([counts[None], draws])
    found = [
        metrics_of_many(_confusions(cells[0], predicted_c, count_rc, classes), binary=classes == 2)
        for predicted_c in cells[1:]
    ]
    return {metric: np.stack([of_method[metric] for of_method in found]) for metric in BINARY_METRICS}


def _confusions(truth_c: np.ndarray, predicted_c: np.ndarray, count_rc: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusions (r, classes, classes) of cells with counts."""
    place_cp = np.eye(classes**2)[truth_c * classes + predicted_c]
    return np.reshape(count_rc @ place_cp, (-1, classes, classes))


def _vectors(classes: int, **values: ArrayLike) -> list[np.ndarray]:
    """Return the arguments as vectors of class numbers; raise ValueError unless they are of one length."""
    vectors = {name: class_vector(name, value, classes) for name, value in values.items()}
    if len({len(vector) for vector in vectors.values()}) > 1:
        lengths = ", ".join(f"{name} {len(vector)}" for name, vector in vectors.items())
        raise ValueError(f"the examples must be the same, got lengths {lengths}")
    return list(vectors.values())
