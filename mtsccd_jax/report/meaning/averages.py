"""Scores of classes from counts, and their averages as libraries and papers take them.

Libraries agree on precision, recall and F1 of one class. They differ in which classes an average is over, and in what a
ratio with denominator zero counts: here 0 unless said otherwise.
"""

from typing import Literal, NamedTuple

import numpy as np

from mtsccd_jax.ops.metrics import divide

Over = Literal["all", "seen", "present"]


class ClassCounts(NamedTuple):
    """The decisions on each class, (k,) int64 each."""

    tp_k: np.ndarray
    fp_k: np.ndarray
    fn_k: np.ndarray
    tn_k: np.ndarray

    def over(self, which: Over) -> np.ndarray:
        """Return which classes an average is over: all, those seen in truth or predictions, or those of the truth."""
        seen = {
            "all": self.tp_k >= 0,
            "seen": self.tp_k + self.fp_k + self.fn_k > 0,
            "present": self.tp_k + self.fn_k > 0,
        }
        return np.asarray(seen[which])


def of_classes(confusion: np.ndarray) -> ClassCounts:
    """Return the counts of a confusion matrix (k, k) whose rows are the truth."""
    tp_k = np.diag(confusion)
    fp_k, fn_k = confusion.sum(0) - tp_k, confusion.sum(1) - tp_k
    return ClassCounts(tp_k, fp_k, fn_k, confusion.sum() - tp_k - fp_k - fn_k)


def of_labels(confusion: np.ndarray) -> ClassCounts:
    """Return the counts of (tn, fp, fn, tp) of each label, (k, 4)."""
    tn_k, fp_k, fn_k, tp_k = confusion.T
    return ClassCounts(tp_k, fp_k, fn_k, tn_k)


def of_decisions(label_nk: np.ndarray, predicted_nk: np.ndarray) -> ClassCounts:
    """Return the counts of decisions on labels, bool."""
    label, predicted = label_nk.astype(bool), predicted_nk.astype(bool)
    pairs = (label & predicted, ~label & predicted, label & ~predicted, ~label & ~predicted)
    return ClassCounts(*(pair.sum(0) for pair in pairs))


def precision(counts: ClassCounts) -> np.ndarray:
    """Return tp / (tp + fp) of each class."""
    return divide(counts.tp_k, counts.tp_k + counts.fp_k)


def recall(counts: ClassCounts) -> np.ndarray:
    """Return tp / (tp + fn) of each class."""
    return divide(counts.tp_k, counts.tp_k + counts.fn_k)


def f1(counts: ClassCounts) -> np.ndarray:
    """Return 2 tp / (2 tp + fp + fn) of each class."""
    return divide(2 * counts.tp_k, 2 * counts.tp_k + counts.fp_k + counts.fn_k)


def iou(counts: ClassCounts) -> np.ndarray:
    """Return the intersection over the union, tp / (tp + fp + fn), of each class."""
    return divide(counts.tp_k, counts.tp_k + counts.fp_k + counts.fn_k)


def binary_accuracy(counts: ClassCounts) -> np.ndarray:
    """Return (tp + tn) / n of each class."""
    right_k = counts.tp_k + counts.tn_k
    return divide(right_k, right_k + counts.fp_k + counts.fn_k)


def pooled(counts: ClassCounts) -> ClassCounts:
    """Return the counts of all classes together, as those of one: the micro average of any score."""
    return ClassCounts(*(count_k.sum(keepdims=True) for count_k in counts))


def macro(value_k: np.ndarray, counts: ClassCounts, which: Over = "all") -> float | None:
    """Return the mean over some classes; None over no class."""
    chosen = counts.over(which)
    return float(value_k[chosen].mean()) if chosen.any() else None


def weighted(value_k: np.ndarray, counts: ClassCounts) -> float | None:
    """Return the mean weighted by the examples of each class; None without any."""
    true_k = counts.tp_k + counts.fn_k
    return float(value_k @ true_k / true_k.sum()) if true_k.any() else None


def kappa_or_none(confusion: np.ndarray) -> float | None:
    """Return Cohen's kappa; None where truth and predictions are one and the same class."""
    n, chance = int(confusion.sum()), int(confusion.sum(0) @ confusion.sum(1))
    return (n * int(np.trace(confusion)) - chance) / (n * n - chance) if n * n > chance else None
