"""A table of several labels, of any size, with given macro and micro averages.

One label is so frequent that the micro averages are its own; the others bring the macro averages to what is wanted.
They are all alike, unless macro precision, recall and F1 are given at once: then they are spread until their mean F1 is
right.
"""

from collections.abc import Mapping

import numpy as np

# Of each other label, and of the frequent one.
_DECISIONS, _FREQUENT = 10**7, 10**16
_HALVINGS = 60


def labels_with(
    macro: Mapping[str, float], precision: float, recall: float, k: int
) -> tuple[list[int], list[int], list[int]] | None:
    """Return true positives, false positives and false negatives of k >= 2 labels; None where this finds no table.

    `macro` holds the wanted averages, of "precision", "recall" and "f1" those that are known. `precision` and `recall`
    are the micro averages.
    """
    own = {"precision": precision, "recall": recall, "f1": _f1(precision, recall)}
    others = {name: (k * value - own[name]) / (k - 1) for name, value in macro.items()}
    spread = _spread(others.get("precision"), others.get("recall"), others.get("f1"), k - 1)
    if spread is None or not all(np.all((part > 0) & (part <= 1)) for part in spread):
        return None
    p_k, r_k = (np.append(part, value) for part, value in zip(spread, (precision, recall), strict=True))
    decisions = [_DECISIONS] * (k - 1) + [_FREQUENT]
    parts = p_k * r_k, r_k * (1 - p_k), p_k * (1 - r_k)  # of tp, fp and fn: their ratios are p and r
    tp, fp, fn = ([round(n * float(share)) for n, share in zip(decisions, part, strict=True)] for part in parts)
    return tp, fp, fn


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _spread(
    precision: float | None, recall: float | None, f1: float | None, k: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return precision and recall of k labels with these means, (k,) each; None where there are none."""
    if f1 is None:
        first = precision if precision is not None else recall
        p, r = (value if value is not None else first for value in (precision, recall))
    elif precision is not None and recall is not None:
        return _between(precision, recall, f1, k)
    elif precision is None and recall is None:
        p = r = f1
    else:
        given = precision if precision is not None else recall
        assert given is not None
        if 2 * given <= f1:
            return None
        rest = f1 * given / (2 * given - f1)
        p, r = (given, rest) if precision is not None else (rest, given)
    return None if p is None or r is None else (np.full(k, p), np.full(k, r))


def _between(precision: float, recall: float, f1: float, k: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return labels between all alike and the corner of least F1, where their mean F1 is the wanted one."""
    corner = [np.clip(mean * k - np.arange(k), 0.0, 1.0) for mean in (precision, recall)]

    def at(t: float) -> tuple[np.ndarray, np.ndarray]:
        return (1 - t) * precision + t * corner[0], (1 - t) * recall + t * corner[1][::-1]

    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        p_k, r_k = at(middle)
        mean = float(np.divide(2 * p_k * r_k, p_k + r_k, out=np.zeros(k), where=p_k + r_k > 0).mean())
        low, high = (middle, high) if mean > f1 else (low, middle)
    return at(low)
