"""Bootstrap uncertainty of multi-label metrics, and whether one model is better than another on the same examples.

Examples are re-drawn whole, with all their labels: a resample is a vector of integer weights over the examples, the
same for every metric and every model. Everything of `ops.multilabel` is then exact under these weights: counts and
means over examples are one matrix product of the weights, and average precision is one pass down an order that was
sorted once, all resamples abreast.

Thresholds stay as they are given. A class that is not in a resample has average precision 0.0 there, as everywhere.

Of a rare label average precision is biased upwards in resamples, the more so the fewer examples have it, because an
example that is drawn twice counts twice at its rank: the interval of `ap_macro` can lie mostly above its value. In the
difference of two models most of it cancels.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from mtsccd_jax.ops.distance_kernels import tiling
from mtsccd_jax.ops.multilabel import (
    DECISION_METRICS,
    FIGURES,
    METRICS,
    RANKING_METRICS,
    check_scores,
    decide,
    decision_averages,
    example_rankings,
    figures,
    multilabel_metrics,
)
from mtsccd_jax.ops.paired_tests import Difference

Resampled = dict[str, np.ndarray]

_WEIGHT_BYTES = 1 << 28  # weights held at once, one byte each: bounds memory, not results
_MOST_ABREAST = 1024  # beyond this many resamples a row of weights leaves the fastest cache
_PRODUCT_ROWS = 4096  # examples of one tile of the matrix product


class _Order(NamedTuple):
    """Decisions by falling score: whose they are, whether the label is there, and whether a threshold can cut."""

    example_m: np.ndarray
    label_m: np.ndarray
    end_m: np.ndarray


def bootstrap_metrics(
    label_nk: ArrayLike,
    score_nk: ArrayLike,
    threshold: ArrayLike = 0.5,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = 1000,
    seed: int = 0,
) -> Resampled:
    """`{metric: (resamples,) float64}` of re-drawn examples; the same examples for the same seed and n.

    Args:
        label_nk: bool or 0 and 1.
        score_nk: finite scores.
        threshold: for the decisions, one or (k,).
        metrics: some of `METRICS`; average precision costs most, `ap_micro` as much as all classes together.
        resamples: at least 1.
        seed: of NumPy's default generator.

    Raises:
        ValueError: as `multilabel_metrics`, an unknown metric, no resample.
    """
    label, score = check_scores(label_nk, score_nk)
    _check(metrics, resamples)
    return _resampled(label, [(score, decide(score, threshold))], metrics, resamples, seed)[0]


def bootstrap_intervals(
    label_nk: ArrayLike,
    score_nk: ArrayLike,
    threshold: ArrayLike = 0.5,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """`{metric: (low, high)}`: percentile intervals over re-drawn examples, 95 % unless told.

    Raises:
        ValueError: as `bootstrap_metrics`, a level outside (0, 1).
    """
    _check_level(level)
    drawn = bootstrap_metrics(label_nk, score_nk, threshold, metrics=metrics, resamples=resamples, seed=seed)
    return {metric: _interval(values, level) for metric, values in drawn.items()}


def paired_differences(
    label_nk: ArrayLike,
    score_a_nk: ArrayLike,
    score_b_nk: ArrayLike,
    threshold_a: ArrayLike = 0.5,
    threshold_b: ArrayLike = 0.5,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:
    """`{metric: Difference}`, that of a minus that of b with its percentile interval, on the same re-drawn examples.

    Exchanging a and b changes the sign of everything and nothing else.

    Raises:
        ValueError: as `bootstrap_metrics` for either model, a level outside (0, 1).
    """
    _check(metrics, resamples)
    _check_level(level)
    label, a = check_scores(label_nk, score_a_nk)
    _, b = check_scores(label, score_b_nk)
    models = [(a, decide(a, threshold_a)), (b, decide(b, threshold_b))]
    drawn_a, drawn_b = _resampled(label, models, metrics, resamples, seed)
    value_a, value_b = multilabel_metrics(label, a, threshold_a), multilabel_metrics(label, b, threshold_b)
    return {
        metric: Difference(value_a[metric] - value_b[metric], *_interval(drawn_a[metric] - drawn_b[metric], level))
        for metric in metrics
    }


def _resampled(
    label_nk: np.ndarray,
    models: Sequence[tuple[np.ndarray, np.ndarray]],
    metrics: Sequence[str],
    resamples: int,
    seed: int,
) -> list[Resampled]:
    """The metrics of every `(score_nk, called_nk)` over the same re-drawn examples."""
    n = len(label_nk)
    measures = [_measures(label_nk, score, called, frozenset(metrics)) for score, called in models]
    found: list[list[Resampled]] = [[] for _ in models]
    for weight_nr in _weights(n, resamples, seed):
        for model, some in enumerate(measures):
            drawn: Resampled = {}
            for measure in some:
                drawn |= measure(weight_nr)
            found[model].append(drawn)
    return [
        {metric: np.concatenate([part[metric] for part in parts])[:resamples] for metric in metrics} for parts in found
    ]


def _weights(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each example is drawn, (n, r) uint8 a tile; one stream of draws, so that the tiles do not matter.

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
    label_nk: np.ndarray, score_nk: np.ndarray, called_nk: np.ndarray, metrics: frozenset[str]
) -> list[Callable[[np.ndarray], Resampled]]:
    """What has to be computed for the metrics that are asked for, each a function of the weights (n, r)."""
    some: list[Callable[[np.ndarray], Resampled]] = []
    if metrics.intersection(DECISION_METRICS):
        some.append(_decisions(label_nk, called_nk))
    if metrics.intersection(RANKING_METRICS):
        some.append(_rankings(label_nk, score_nk))
    if metrics.intersection(("ap_macro", "ap_macro_present")):
        some.append(_ap_macro(label_nk, score_nk))
    if "ap_micro" in metrics:
        order = _order(label_nk, score_nk)
        some.append(lambda weight_nr: {"ap_micro": _average_precisions([order], weight_nr)[0][0]})
    return some


def _decisions(label_nk: np.ndarray, called_nk: np.ndarray) -> Callable[[np.ndarray], Resampled]:
    n, k = label_nk.shape
    hit_nk = label_nk & called_nk
    hit, called, true = (part.sum(1) for part in (hit_nk, called_nk, label_nk))
    exact = (hit == called) & (hit == true)
    value_nv = np.stack([*figures(hit, called - hit, true - hit).values(), exact], 1)

    def measure(weight_nr: np.ndarray) -> Resampled:
        sum_mr = _weighted_sums((hit_nk, called_nk, label_nk, value_nv), weight_nr)
        tp, called, true, value = np.split(sum_mr, [k, 2 * k, 3 * k])
        *sample, exact = value / n
        return decision_averages(tp, called - tp, true - tp, dict(zip(FIGURES, sample, strict=True)), exact, n)

    return measure


def _rankings(label_nk: np.ndarray, score_nk: np.ndarray) -> Callable[[np.ndarray], Resampled]:
    n, k = label_nk.shape
    with jax.enable_x64(score_nk.dtype == np.float64):
        covered, misordered = jax.device_get(example_rankings(label_nk, score_nk))
    pairs = label_nk.sum(1) * (k - label_nk.sum(1))
    value_nv = np.stack([covered, misordered / np.maximum(pairs, 1)], 1)

    def measure(weight_nr: np.ndarray) -> Resampled:
        return dict(zip(RANKING_METRICS, _weighted_sums((value_nv,), weight_nr) / n, strict=True))

    return measure


def _weighted_sums(parts: Sequence[np.ndarray], weight_nr: np.ndarray) -> np.ndarray:
    """The columns of all parts summed with each resample's weights, (columns, r) float64; exact for counts."""
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
    value = flat[order]
    end = np.append(value[1:] != value[:-1], True)
    return _Order((order // score_nk.shape[1]).astype(np.int32), label_nk.ravel()[order], end)


def _average_precisions(orders: Sequence[_Order], weight_nr: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """`(average precision, whether the label occurs)` of each order, each (r,)."""
    # One long loop of short steps: on a processor a nanosecond a decision and resample, on an accelerator mere delay.
    device = _host_device()
    weight = jax.device_put(weight_nr, device)

    def one(order: _Order) -> tuple[np.ndarray, np.ndarray]:
        with jax.enable_x64(True):  # holds for this thread alone
            area_r, tp_r = jax.device_get(_walk(weight, jax.device_put(order, device)))
        return np.divide(area_r, tp_r, out=np.zeros_like(area_r), where=tp_r > 0), tp_r > 0

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, orders))


@jax.jit
def _walk(weight_nr: jax.Array, order: _Order) -> tuple[jax.Array, jax.Array]:
    """`(hits gained x precision, summed, float64; hits int32)` of each resample, down one order."""

    def step(
        carry: tuple[jax.Array, jax.Array, jax.Array, jax.Array], decision: _Order
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array, jax.Array], None]:
        called_r, tp_r, cut_r, area_r = carry  # `cut_r`: the hits at the last place where a threshold can cut
        weight_r = weight_nr[decision.example_m].astype(jnp.int32)
        called_r += weight_r
        tp_r += jnp.where(decision.label_m, weight_r, 0)
        gained_r = (tp_r - cut_r).astype(jnp.float64) * tp_r / jnp.maximum(called_r, 1)
        area_r += jnp.where(decision.end_m, gained_r, 0.0)
        return (called_r, tp_r, jnp.where(decision.end_m, tp_r, cut_r), area_r), None

    zero = jnp.zeros(weight_nr.shape[1], jnp.int32)
    (_, tp_r, _, area_r), _ = lax.scan(step, (zero, zero, zero, zero.astype(jnp.float64)), order)
    return area_r, tp_r


def _host_device() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX was told to know of no processor
        return jax.local_devices()[0]


def _interval(value_r: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(value_r, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check(metrics: Sequence[str], resamples: int) -> None:
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}, known are {', '.join(METRICS)}")
    if not metrics:
        raise ValueError("no metric is asked for")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is a coverage between 0 and 1, got {level}")
