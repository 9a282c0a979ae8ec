"""Bootstrap intervals of multi-label metrics, and of the difference of two models on the same examples.

Examples are resampled whole, with all their labels: a resample is a vector of integer weights over the examples, the
same for every metric and every model. All metrics of `ops.multilabel` are then exact under these weights. Counts and
means over examples are one matrix product with the weights. Average precision is one pass down an order that was sorted
once, many resamples side by side.

Thresholds stay as they are given. A class that does not occur in a resample has average precision 0.0 there.

The average precision of a rare label is biased upwards in resamples, because an example that is drawn twice counts
twice at its rank. The fewer examples have the label, the larger the bias: the interval of `ap_macro` can lie mostly
above its value. In the difference of two models most of the bias cancels.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Float64, Real, Shaped

from mtsccd_jax.ops.bootstrap import Intervals, percentile_interval
from mtsccd_jax.ops.calls import check_at_least_one, check_known, check_level, own_settings, padded, row_bucket
from mtsccd_jax.ops.distance_kernels import tiling
from mtsccd_jax.ops.metrics import divide
from mtsccd_jax.ops.multilabel import (
    DECISION_METRICS,
    METRICS,
    RANKING_METRICS,
    check_scores,
    decide,
    decision_averages,
    example_figures,
    example_rankings,
    multilabel_metrics,
)
from mtsccd_jax.ops.paired_tests import Difference
from mtsccd_jax.ops.threshold import ends_of_ties

Resampled = dict[str, Float64[np.ndarray, " r"]]

_Carry = tuple[Array, Array, Array, Array]

_WEIGHT_BYTES = 1 << 28  # weights held at once, one byte each: bounds memory, not results
_MOST_ABREAST = 1024  # beyond this many resamples a row of weights leaves the fastest cache
_PRODUCT_ROWS = 4096  # examples of one tile of the matrix product


class _Order(NamedTuple):
    """Decisions by falling score: the example, whether it has the label, and whether a threshold can cut behind it."""

    example_m: np.ndarray
    label_m: np.ndarray
    end_m: np.ndarray


def bootstrap_metrics(
    label_nk: Shaped[ArrayLike, "n k"],
    score_nk: Real[ArrayLike, "n k"],
    threshold: float | Real[ArrayLike, " k"] = 0.5,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = 1000,
    seed: int = 0,
) -> Resampled:
    """Return each metric of each resample; the same examples are drawn for the same seed and n.

    Args:
        label_nk: bool, or 0 and 1.
        score_nk: finite scores.
        threshold: of the decisions, one or one a class.
        metrics: some of `METRICS`; average precision costs most, `ap_micro` as much as all classes together.
        resamples: at least 1.
        seed: of NumPy's default generator.

    Raises:
        ValueError: as `multilabel_metrics`, an unknown metric, no resample.
    """
    label, score = check_scores(label_nk, score_nk)
    _check_settings(metrics, resamples)
    return _resample(label, [(score, decide(score, threshold))], metrics, resamples, seed)[0]


def bootstrap_intervals(
    label_nk: Shaped[ArrayLike, "n k"],
    score_nk: Real[ArrayLike, "n k"],
    threshold: float | Real[ArrayLike, " k"] = 0.5,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Intervals:
    """Return `{metric: (low, high)}`: percentile intervals over resampled examples.

    Raises:
        ValueError: as `bootstrap_metrics`, a level outside (0, 1).
    """
    check_level(level)
    resampled = bootstrap_metrics(label_nk, score_nk, threshold, metrics=metrics, resamples=resamples, seed=seed)
    return {metric: percentile_interval(value_r, level) for metric, value_r in resampled.items()}


def paired_differences(
    label_nk: Shaped[ArrayLike, "n k"],
    score_a_nk: Real[ArrayLike, "n k"],
    score_b_nk: Real[ArrayLike, "n k"],
    threshold_a: float | Real[ArrayLike, " k"] = 0.5,
    threshold_b: float | Real[ArrayLike, " k"] = 0.5,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:
    """Return each metric of a minus that of b with its percentile interval, over the same resampled examples.

    Exchanging a and b changes the sign of everything and nothing else.

    Raises:
        ValueError: as `bootstrap_metrics` for either model, a level outside (0, 1).
    """
    _check_settings(metrics, resamples)
    check_level(level)
    label, a = check_scores(label_nk, score_a_nk)
    _, b = check_scores(label, score_b_nk)
    models = [(a, decide(a, threshold_a)), (b, decide(b, threshold_b))]
    resampled_a, resampled_b = _resample(label, models, metrics, resamples, seed)
    value_a, value_b = multilabel_metrics(label, a, threshold_a), multilabel_metrics(label, b, threshold_b)
    return {
        metric: Difference(
            value_a[metric] - value_b[metric], *percentile_interval(resampled_a[metric] - resampled_b[metric], level)
        )
        for metric in metrics
    }


def _check_settings(metrics: Sequence[str], resamples: int) -> None:
    for metric in metrics:
        check_known("metric", metric, METRICS)
    if not metrics:
        raise ValueError("no metric is asked for")
    check_at_least_one(resamples=resamples)


def _resample(
    label_nk: np.ndarray,
    models: Sequence[tuple[np.ndarray, np.ndarray]],
    metrics: Sequence[str],
    resamples: int,
    seed: int,
) -> list[Resampled]:
    """Return the metrics of every `(score_nk, predicted_nk)` over the same resampled examples."""
    measures = [_measures(label_nk, score, predicted, frozenset(metrics)) for score, predicted in models]
    tiles: list[list[Resampled]] = [[] for _ in models]
    for weight_nr in _weights(len(label_nk), resamples, seed):
        for of_model, some in zip(tiles, measures, strict=True):
            of_model.append({metric: value for measure in some for metric, value in measure(weight_nr).items()})
    return [
        {metric: np.concatenate([tile[metric] for tile in of_model])[:resamples] for metric in metrics}
        for of_model in tiles
    ]


def _weights(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each example is drawn, (n, r) uint8 a tile; one stream of draws, so tiles change nothing.

    The last tile may end with resamples that are empty: all tiles have one shape, and one compiled program.
    """
    random = np.random.default_rng(seed)
    tiles, abreast = tiling(resamples, min(_MOST_ABREAST, max(1, _WEIGHT_BYTES // n)))
    for tile in range(tiles):
        weight_rn = np.zeros((abreast, n), np.uint8)
        for row in range(min(abreast, resamples - tile * abreast)):
            count_n = np.bincount(random.integers(0, n, n), minlength=n)
            assert count_n.max() < 256  # an example drawn that often has a chance below 1 in 256!
            weight_rn[row] = count_n
        yield np.ascontiguousarray(weight_rn.T)


def _measures(
    label_nk: np.ndarray, score_nk: np.ndarray, predicted_nk: np.ndarray, metrics: frozenset[str]
) -> list[Callable[[np.ndarray], Resampled]]:
    """Return functions of the weights (n, r), which compute the metrics that are asked for."""
    some: list[Callable[[np.ndarray], Resampled]] = []
    if metrics.intersection(DECISION_METRICS):
        some.append(_decisions(label_nk, predicted_nk))
    if metrics.intersection(RANKING_METRICS):
        some.append(_rankings(label_nk, score_nk))
    if metrics.intersection(("ap_macro", "ap_macro_present")):
        some.append(_ap_macro(label_nk, score_nk))
    if "ap_micro" in metrics:
        order = _order(label_nk, score_nk)
        some.append(lambda weight_nr: {"ap_micro": _average_precisions([order], weight_nr)[0][0]})
    return some


def _decisions(label_nk: np.ndarray, predicted_nk: np.ndarray) -> Callable[[np.ndarray], Resampled]:
    n, k = label_nk.shape
    columns = (label_nk & predicted_nk, predicted_nk, label_nk, example_figures(label_nk, predicted_nk).T)

    def measure(weight_nr: np.ndarray) -> Resampled:
        tp_kr, predicted_kr, true_kr, value_vr = np.split(_weighted_sums(columns, weight_nr), [k, 2 * k, 3 * k])
        return decision_averages(tp_kr, predicted_kr - tp_kr, true_kr - tp_kr, value_vr / n, n)

    return measure


def _rankings(label_nk: np.ndarray, score_nk: np.ndarray) -> Callable[[np.ndarray], Resampled]:
    value_nv = np.stack(example_rankings(label_nk, score_nk), 1)

    def measure(weight_nr: np.ndarray) -> Resampled:
        return dict(zip(RANKING_METRICS, _weighted_sums((value_nv,), weight_nr) / len(value_nv), strict=True))

    return measure


def _weighted_sums(parts: Sequence[np.ndarray], weight_nr: np.ndarray) -> np.ndarray:
    """Sum the columns of all parts with each resample's weights, (columns, r) float64; exact for counts."""
    total: np.ndarray | float = 0.0
    for start in range(0, len(weight_nr), _PRODUCT_ROWS):
        rows = slice(start, start + _PRODUCT_ROWS)
        column_nm = np.concatenate([part[rows] for part in parts], 1, dtype=np.float64)
        total = total + column_nm.T @ weight_nr[rows].astype(np.float64)
    return np.asarray(total)


def _ap_macro(label_nk: np.ndarray, score_nk: np.ndarray) -> Callable[[np.ndarray], Resampled]:
    orders = [_order(label_nk[:, [column]], score_nk[:, [column]]) for column in range(label_nk.shape[1])]

    def measure(weight_nr: np.ndarray) -> Resampled:
        ap_kr, present_kr = (np.stack(part) for part in zip(*_average_precisions(orders, weight_nr), strict=True))
        present_r = np.maximum(present_kr.sum(0), 1)
        return {"ap_macro": ap_kr.mean(0), "ap_macro_present": ap_kr.sum(0) / present_r}

    return measure


def _order(label_nk: np.ndarray, score_nk: np.ndarray) -> _Order:
    flat = score_nk.ravel()
    order = np.argsort(-flat)
    return _Order((order // score_nk.shape[1]).astype(np.int32), label_nk.ravel()[order], ends_of_ties(flat[order]))


def _average_precisions(orders: Sequence[_Order], weight_nr: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return `(average precision, whether the label occurs)` of each order, each (r,)."""
    # One long loop of short steps: a nanosecond a decision and resample on a processor, mostly delay on an accelerator.
    device = _host_device()
    weight = jax.device_put(padded(weight_nr, row_bucket(len(weight_nr))), device)

    def of_order(order: _Order) -> tuple[np.ndarray, np.ndarray]:
        decisions = len(order.end_m)
        order = _Order(*(np.pad(part, (0, row_bucket(decisions) - decisions)) for part in order))
        with own_settings(), jax.enable_x64(True):  # they hold for this thread alone
            area_r, tp_r = jax.device_get(_walk(weight, jax.device_put(order, device), np.int32(decisions)))
        return divide(area_r, tp_r), tp_r > 0

    with ThreadPoolExecutor() as pool:
        return list(pool.map(of_order, orders))


@jax.jit
def _walk(weight_nr: Array, order: _Order, decisions: Array) -> tuple[Array, Array]:
    """Go down an order's first decisions; return `(sum of hits gained x precision float64, hits int32)`, each (r,)."""

    def step(place: Array, carry: _Carry) -> _Carry:
        decision = _Order(*(part[place] for part in order))
        predicted_r, tp_r, cut_r, area_r = carry  # `cut_r`: the hits at the last place where a threshold can cut
        weight_r = weight_nr[decision.example_m].astype(jnp.int32)
        predicted_r += weight_r
        tp_r += jnp.where(decision.label_m, weight_r, 0)
        gained_r = (tp_r - cut_r).astype(jnp.float64) * tp_r / jnp.maximum(predicted_r, 1)
        area_r += jnp.where(decision.end_m, gained_r, 0.0)
        return predicted_r, tp_r, jnp.where(decision.end_m, tp_r, cut_r), area_r

    zero = jnp.zeros(weight_nr.shape[1], jnp.int32)
    _, tp_r, _, area_r = lax.fori_loop(0, decisions, step, (zero, zero, zero, zero.astype(jnp.float64)))
    return area_r, tp_r


def _host_device() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX was told to know of no processor
        return jax.local_devices()[0]
