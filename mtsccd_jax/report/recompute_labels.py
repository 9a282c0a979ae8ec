"""The figures of several labels an image from truth, scores and calls, by another way than the one that made the row.

scikit-learn measures the row's values. For the intervals, examples are re-drawn as `ops.multilabel_bootstrap` says it
draws them (the next `integers(0, n, n)` of NumPy's default generator a resample), and counted by NumPy.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mtsccd_jax.ops.multilabel import METRICS
from mtsccd_jax.report.recompute import ratio

_FIGURES = ("precision", "recall", "f1", "f2")
_ABREAST = 16  # resamples that threads work on at once; bounds memory, not results


def measured(label_nk: np.ndarray, score_nk: np.ndarray, called_nk: np.ndarray) -> dict[str, float]:
    """`ops.multilabel.METRICS` as scikit-learn measures them; what is undefined is 0.

    Args:
        label_nk: (n, k) bool, the truth; k is 2 or more.
        score_nk: (n, k) finite, higher is likelier.
        called_nk: (n, k) bool, what was called present.
    """
    from sklearn import metrics

    values: dict[str, float] = {}
    for average in ("samples", "micro", "macro"):
        settings = {"average": average, "zero_division": 0}
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(label_nk, called_nk, **settings)
        f2 = metrics.fbeta_score(label_nk, called_nk, beta=2, **settings)
        named = zip(_FIGURES, (precision, recall, f1, f2), strict=True)
        values |= {f"{figure}_{average}": value for figure, value in named}
    values["hamming_loss"] = metrics.hamming_loss(label_nk, called_nk)
    values["subset_accuracy"] = metrics.accuracy_score(label_nk, called_nk)
    values["coverage_error"] = metrics.coverage_error(label_nk, score_nk)
    values["ranking_loss"] = metrics.label_ranking_loss(label_nk, score_nk)
    present = np.flatnonzero(label_nk.any(0))
    known = [metrics.average_precision_score(label_nk[:, column], score_nk[:, column]) for column in present]
    values["ap_macro"] = sum(known) / label_nk.shape[1]
    values["ap_macro_present"] = sum(known) / max(len(known), 1)
    values["ap_micro"] = metrics.average_precision_score(label_nk.ravel(), score_nk.ravel()) if known else 0.0
    return {name: float(values[name]) for name in METRICS}


def redrawn(
    label_nk: np.ndarray, score_nk: np.ndarray, called_nk: np.ndarray, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """The same of re-drawn examples, {metric: (resamples,) float64}."""
    n, k = label_nk.shape
    random = np.random.default_rng(seed)
    by_label, pooled = _Ranks(label_nk, score_nk), _Ranks(label_nk.reshape(-1, 1), score_nk.reshape(-1, 1))
    hit_nk = label_nk & called_nk
    counted = np.concatenate([hit_nk, called_nk, label_nk], 1).astype(np.float64)
    hits, calls, truths = (part.sum(1) for part in (hit_nk, called_nk, label_nk))
    examples = [*_figures(hits, calls, truths), (hits == calls) & (hits == truths), *_orders(label_nk, score_nk)]
    of_example = np.stack([np.asarray(value, np.float64) for value in examples], 1)

    def of(times_n: np.ndarray) -> list[float]:
        tp, called, true = np.split(times_n @ counted, 3)
        mean = times_n @ of_example / n
        ap_k, present_k = by_label.average_precision(times_n)
        values = {
            "hamming_loss": (called + true - 2 * tp).sum() / (n * k),
            **dict(zip(("subset_accuracy", "coverage_error", "ranking_loss"), mean[4:], strict=True)),
            "ap_macro": ap_k.mean(),
            "ap_macro_present": ap_k.sum() / max(present_k.sum(), 1),
            "ap_micro": pooled.average_precision(np.repeat(times_n, k))[0][0],
        }
        macro = [part.mean() for part in _figures(tp, called, true)]
        micro = _figures(*(np.asarray(part.sum()) for part in (tp, called, true)))
        for average, figures in (("samples", mean[:4]), ("micro", micro), ("macro", macro)):
            values |= {f"{name}_{average}": value for name, value in zip(_FIGURES, figures, strict=True)}
        return [float(values[name]) for name in METRICS]

    found: list[list[float]] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, resamples, _ABREAST):
            draws = [random.integers(0, n, n) for _ in range(start, min(start + _ABREAST, resamples))]
            found += pool.map(of, [np.bincount(draw, minlength=n) for draw in draws])
    return dict(zip(METRICS, np.array(found).T, strict=True))


class _Ranks:
    """The examples of every label by falling score, and the average precision of each under weights.

    Examples of equal score are called together: each hit has the precision at the end of its run of equal scores.
    """

    def __init__(self, label_nk: np.ndarray, score_nk: np.ndarray):
        self.order_nk = np.argsort(-score_nk, axis=0, kind="stable")
        self.label_nk = np.take_along_axis(label_nk, self.order_nk, 0)
        score_nk = np.take_along_axis(score_nk, self.order_nk, 0)
        is_end = np.concatenate([score_nk[1:] != score_nk[:-1], np.ones((1, score_nk.shape[1]), bool)])
        place_nk = np.where(is_end, np.arange(len(score_nk))[:, None], len(score_nk))
        self.end_nk = np.minimum.accumulate(place_nk[::-1])[::-1]

    def average_precision(self, times_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(average precision (k,), whether the label occurs (k,)) where each example occurs so many times."""
        times_nk = times_n[self.order_nk]
        called_nk, hit_nk = times_nk.cumsum(0), times_nk * self.label_nk
        tp_nk = hit_nk.cumsum(0)
        precision_nk = np.take_along_axis(ratio(tp_nk, called_nk), self.end_nk, 0)
        return ratio((hit_nk * precision_nk).sum(0), tp_nk[-1]), tp_nk[-1] > 0


def _figures(hits: np.ndarray, calls: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, ...]:
    """Precision, recall, F1 and F2 of how many were hit, called and true."""
    f1, f2 = ratio(2 * hits, calls + truths), ratio(5 * hits, calls + 4 * truths)
    return ratio(hits, calls), ratio(hits, truths), f1, f2


def _orders(label_nk: np.ndarray, score_nk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The coverage and the ranking loss of every example, (n,) each."""
    coverage, loss = np.zeros(len(label_nk)), np.zeros(len(label_nk))
    for example, (label, score) in enumerate(zip(label_nk, score_nk, strict=True)):
        true, untrue = score[label], score[~label]
        if len(true):
            coverage[example] = (score >= true.min()).sum()
        if len(true) and len(untrue):
            loss[example] = (true[:, None] <= untrue).mean()
    return coverage, loss
