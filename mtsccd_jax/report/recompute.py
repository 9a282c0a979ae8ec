"""A row's figures from truth and verdicts, by another way than the one that made the row.

scikit-learn counts and measures; thresholds are searched over every distinct distance by NumPy; the metrics of all
re-drawn samples are computed at once.
"""

import numpy as np

METRICS = ("oa", "kappa", "precision", "recall", "f1", "balanced")

# Objectives closer than this are equal, and the larger threshold wins (ops.threshold).
EQUAL_VALUES = 1e-12
FOLDS = 5


def measured(truth: np.ndarray, predicted: np.ndarray, k: int, *, binary: bool = False) -> dict[str, float]:
    """The metrics as scikit-learn measures them; what is undefined is 0."""
    from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_recall_fscore_support, recall_score

    # Kappa is 0/0 where truth and prediction are one and the same class throughout.
    constant = len(np.unique(np.concatenate([truth, predicted]))) == 1
    kappa = 0.0 if constant else float(cohen_kappa_score(truth, predicted, labels=np.arange(k)))
    average = "binary" if binary else "macro"
    precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
    present = np.unique(truth)
    balanced = recall_score(truth, predicted, labels=present, average="macro", zero_division=0)
    values = (accuracy_score(truth, predicted), kappa, precision, recall, f1, balanced)
    return {name: float(value) for name, value in zip(METRICS, values, strict=True)}


def figures(counts_rkk: np.ndarray, *, binary: bool) -> dict[str, np.ndarray]:
    """The metrics of many confusion matrices (r, k, k) at once, each (r,) float64."""
    counts = counts_rkk.astype(np.float64)
    n, right_rk = counts.sum((1, 2)), np.diagonal(counts, axis1=1, axis2=2)
    true_rk, called_rk = counts.sum(2), counts.sum(1)
    chance = (true_rk * called_rk).sum(1)
    precision_rk, recall_rk = ratio(right_rk, called_rk), ratio(right_rk, true_rk)
    f1_rk = ratio(2 * right_rk, true_rk + called_rk)

    def mean(values_rk: np.ndarray, chosen_rk: np.ndarray) -> np.ndarray:
        return ratio((values_rk * chosen_rk).sum(1), chosen_rk.sum(1))

    seen_rk = true_rk + called_rk > 0
    precision, recall, f1 = (v[:, 1] if binary else mean(v, seen_rk) for v in (precision_rk, recall_rk, f1_rk))
    right = right_rk.sum(1)
    kappa = ratio(n * right - chance, n * n - chance)
    values = (ratio(right, n), kappa, precision, recall, f1, mean(recall_rk, true_rk > 0))
    return dict(zip(METRICS, values, strict=True))


def interval(values: np.ndarray) -> dict[str, float]:
    """The middle 95 % of the values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return {"low": float(low), "high": float(high)}


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The ratio as float64, 0 where the denominator is 0."""
    result = np.zeros(np.shape(numerator), np.float64)
    return np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)


def best_threshold(distance: np.ndarray, changed: np.ndarray, objective: str) -> float:
    """The largest of the best thresholds among all distinct distances and infinity ("nothing changed")."""
    candidates = np.concatenate([[np.inf], np.unique(distance)[::-1]])
    far, near = np.sort(distance[changed]), np.sort(distance[~changed])
    fn, tn = np.searchsorted(far, candidates), np.searchsorted(near, candidates)  # those below the candidate
    counts = np.stack([tn, len(near) - tn, fn, len(far) - fn], 1).reshape(-1, 2, 2)
    value = figures(counts, binary=True)[objective]
    return float(candidates[np.argmax(value >= value.max() - EQUAL_VALUES)])


def cross_validated(distance: np.ndarray, changed: np.ndarray, objective: str, seed: int) -> tuple[float, np.ndarray]:
    """(median threshold, verdicts): each pair judged by the threshold of the folds it is not in.

    Folds are dealt out in turn to the changed pairs and then to the unchanged ones, each in a seeded order.
    """
    random = np.random.default_rng(seed)
    fold = np.zeros(len(changed), np.int64)
    for members in (np.flatnonzero(changed), np.flatnonzero(~changed)):
        fold[random.permutation(members)] = np.arange(len(members)) % FOLDS
    best = np.array([best_threshold(distance[fold != f], changed[fold != f], objective) for f in range(FOLDS)])
    return float(np.median(best)), distance >= best[fold]
