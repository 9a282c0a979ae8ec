"""What the numbers of several labels an image mean, here and elsewhere."""

import functools
from collections.abc import Callable, Mapping

import numpy as np

from mtsccd_jax.ops.multilabel import average_precision
from mtsccd_jax.report import text
from mtsccd_jax.report.meaning import averages
from mtsccd_jax.report.meaning.averages import ClassCounts, macro, of_decisions, of_labels, weighted
from mtsccd_jax.report.meaning.definitions import (
    SCIKIT_LEARN,
    TORCHMETRICS,
    Definition,
    Definitions,
    Evidence,
    Peer,
    own,
)
from mtsccd_jax.report.rows import Row

# Where a mean is taken, what it is divided by, and what has no denominator.
_MEANS = {
    "samples": ("{n} images", "mean over images; an image where it is 0/0 counts 0"),
    "micro": ("{decisions} decisions, pooled", "over all decisions on all labels"),
    "macro": ("all {k} labels ({present} occur)", "mean over all labels; a label where it is 0/0 counts 0"),
}
_FIGURES = {
    "precision": "Share of the predicted labels that are true",
    "recall": "Share of the true labels that are predicted",
    "f1": "2 tp / (2 tp + fp + fn)",
    "f2": "5 tp / (5 tp + 4 fn + fp), for which a missed label weighs more than a false one",
}
METRICS = {
    "ap_macro": Definition(
        "macro",
        "all {k} labels ({present} occur)",
        "Area under precision as a step function of recall, by the order of the scores, equal scores in one step; mean "
        "over all labels, and one that no image has counts 0.",
    ),
    "ap_micro": Definition("micro", "{decisions} decisions, pooled", "The same area over the scores of all labels."),
    "ap_macro_present": Definition(
        "macro", "the {present} labels that occur", "Mean average precision without labels that no image has."
    ),
    **{
        f"{figure}_{average}": Definition(average, denominator, f"{what}; {how}.")  # type: ignore[arg-type]
        for average, (denominator, how) in _MEANS.items()
        for figure, what in _FIGURES.items()
    },
    "hamming_loss": Definition("micro", "{decisions} decisions", "Share of the decisions that are wrong; low is good."),
    "subset_accuracy": Definition("samples", "{n} images", "Share of the images whose labels are all decided rightly."),
    "coverage_error": Definition(
        "samples",
        "{n} images",
        "How many labels score at least as high as the lowest true one; 0 of an image without labels. Low is good.",
    ),
    "ranking_loss": Definition(
        "samples",
        "{n} images",
        "Share of the pairs of a true and an untrue label of an image in which the true one does not score higher; 0 "
        "where there is no pair. Low is good.",
    ),
}


def _label(evidence: Evidence) -> np.ndarray:
    """Return the truth, (n, k) bool."""
    return evidence.arrays["label"].astype(bool)


def _above_half(evidence: Evidence) -> np.ndarray:
    """Return the decisions of torchmetrics, (n, k) bool: a probability above one half, not one half itself."""
    return np.asarray(evidence.arrays["probability"] > 0.5)


def _macro(score: Callable[[ClassCounts], np.ndarray]) -> Callable[[Evidence, str], float | None]:
    """Return the mean of a score over all labels at our decisions, as the value of a peer."""
    return lambda evidence, metric: macro(score(of_labels(evidence.confusion)), of_labels(evidence.confusion))


def _weighted(score: Callable[[ClassCounts], np.ndarray]) -> Callable[[Evidence, str], float | None]:
    """Return the mean of a score weighted by the images of each label, as the value of a peer."""
    return lambda evidence, metric: weighted(score(of_labels(evidence.confusion)), of_labels(evidence.confusion))


def _halves(score: Callable[[ClassCounts], np.ndarray], *, micro: bool) -> Callable[[Evidence, str], float | None]:
    """Return the average of a score at the decisions of torchmetrics, as the value of a peer."""

    def value(evidence: Evidence, metric: str) -> float | None:
        counts = of_decisions(_label(evidence), _above_half(evidence))
        counts = averages.pooled(counts) if micro else counts
        return macro(score(counts), counts)

    return value


def _halves_of_images(score: Callable[[ClassCounts], np.ndarray]) -> Callable[[Evidence, str], float | None]:
    """Return the mean over images of a score at the decisions of torchmetrics, as the value of a peer."""
    return lambda evidence, metric: float(score(of_decisions(_label(evidence).T, _above_half(evidence).T)).mean())


def _exact_match(evidence: Evidence, metric: str) -> float:
    """Return the share of images whose labels are all right at the decisions of torchmetrics."""
    return float((_label(evidence) == _above_half(evidence)).all(1).mean())


def _f1_of_means(evidence: Evidence, metric: str) -> float:
    """Return the harmonic mean of macro precision and macro recall."""
    counts = of_labels(evidence.confusion)
    p, r = float(averages.precision(counts).mean()), float(averages.recall(counts).mean())
    return 2 * p * r / (p + r) if p + r else 0.0


@functools.lru_cache(maxsize=1)  # several peers ask for it in turn
def _average_precision(evidence: Evidence) -> tuple[np.ndarray, float]:
    """Return the average precision of each label, (k,), and that of all decisions."""
    return average_precision(_label(evidence), evidence.arrays["probability"])


def _weighted_ap(evidence: Evidence, metric: str) -> float | None:
    """Return the average precision weighted by the images of each label."""
    return weighted(_average_precision(evidence)[0], of_labels(evidence.confusion))


_SCORES = ("label", "probability")
_CONFIGILM = f"ConfigILM, by {TORCHMETRICS}"
_REBEN = "bigearthnet_v2"
PEERS = (
    Peer(
        SCIKIT_LEARN,
        'average_precision_score(average="macro")',
        "ap_macro",
        "The same: a label that no image has counts 0, with a warning.",
        lambda evidence, metric: float(_average_precision(evidence)[0].mean()),
        _SCORES,
    ),
    Peer(
        SCIKIT_LEARN,
        'average_precision_score(average="weighted")',
        "ap_macro",
        "Weighted by the images of each label, so frequent labels count more.",
        _weighted_ap,
        _SCORES,
    ),
    Peer(
        TORCHMETRICS,
        "MultilabelAveragePrecision(num_labels)",
        "ap_macro",
        "Its default average is macro, over all labels: the same. With thresholds= it is of bins, and rougher.",
        lambda evidence, metric: float(_average_precision(evidence)[0].mean()),
        _SCORES,
    ),
    Peer(
        _CONFIGILM,
        "AveragePrecision, macro",
        "ap_macro",
        "The collection that reBEN's scripts train with: torchmetrics' macro average, the same.",
        lambda evidence, metric: float(_average_precision(evidence)[0].mean()),
        _SCORES,
        _REBEN,
    ),
    Peer(
        "MLRSNet paper (as quoted)",
        "mAP",
        "ap_macro",
        "The mean over labels, as far as is known: over what it is averaged is not said.",
        own,
        dataset="mlrsnet",
    ),
    Peer(
        SCIKIT_LEARN,
        'average_precision_score(average="micro")',
        "ap_micro",
        "The same.",
        lambda evidence, metric: _average_precision(evidence)[1],
        _SCORES,
    ),
    *(
        Peer(
            SCIKIT_LEARN,
            f'{figure}_score(average="macro")',
            f"{figure}_macro",
            "The same: over all labels, 0/0 counts 0.",
            _macro(score),
        )
        for figure, score in (("precision", averages.precision), ("recall", averages.recall), ("f1", averages.f1))
    ),
    Peer(
        SCIKIT_LEARN,
        'f1_score(average="weighted")',
        "f1_macro",
        "Weighted by the images of each label, so frequent labels count more.",
        _weighted(averages.f1),
    ),
    Peer(
        TORCHMETRICS,
        "MultilabelF1Score(num_labels)",
        "f1_macro",
        "Its default average is macro over all labels; a label is predicted above 0.5, whatever was chosen here.",
        _halves(averages.f1, micro=False),
        _SCORES,
    ),
    Peer(
        _CONFIGILM,
        "F1Score, macro",
        "f1_macro",
        "The collection that reBEN's scripts train with: torchmetrics', predicted above 0.5.",
        _halves(averages.f1, micro=False),
        _SCORES,
        _REBEN,
    ),
    Peer(
        "papers without a library",
        "F1 of macro precision and macro recall",
        "f1_macro",
        "Of the means, not the mean of F1: never lower (arXiv:1911.03347).",
        _f1_of_means,
    ),
    Peer(
        "MLRSNet paper (as quoted)",
        "F1",
        "f1_macro",
        "The mean over labels, as far as is known: over what it is averaged is not said.",
        own,
        dataset="mlrsnet",
    ),
    Peer(SCIKIT_LEARN, 'f1_score(average="micro")', "f1_micro", "The same.", own),
    Peer(
        TORCHMETRICS,
        'MultilabelF1Score(average="micro")',
        "f1_micro",
        "A label is predicted above 0.5, whatever was chosen here.",
        _halves(averages.f1, micro=True),
        _SCORES,
    ),
    Peer(
        _CONFIGILM,
        "F1Score, micro",
        "f1_micro",
        "The collection that reBEN's scripts train with: torchmetrics', predicted above 0.5.",
        _halves(averages.f1, micro=True),
        _SCORES,
        _REBEN,
    ),
    Peer(
        SCIKIT_LEARN, 'f1_score(average="samples")', "f1_samples", "The same: an image where it is 0/0 counts 0.", own
    ),
    Peer(
        TORCHMETRICS,
        'MultilabelF1Score(average="micro", multidim_average="samplewise"), mean',
        "f1_samples",
        "The sample average of ConfigILM, of arrays (n, k, 1): of each image over its labels, predicted above 0.5.",
        _halves_of_images(averages.f1),
        _SCORES,
    ),
    *(
        Peer(
            "BigEarthNet paper (arXiv:1902.06148)",
            name,
            metric,
            "The mean over images, as far as is known: the paper does not name its average.",
            own,
            dataset="bigearthnet_v1",
        )
        for name, metric in (
            ("P", "precision_samples"),
            ("R", "recall_samples"),
            ("F1", "f1_samples"),
            ("F2", "f2_samples"),
        )
    ),
    Peer(SCIKIT_LEARN, "accuracy_score", "subset_accuracy", "The same: of label rows it is subset accuracy.", own),
    Peer(
        TORCHMETRICS,
        "MultilabelExactMatch",
        "subset_accuracy",
        "Share of the images whose labels are all right, predicted above 0.5.",
        _exact_match,
        _SCORES,
    ),
    Peer(
        TORCHMETRICS,
        "MultilabelAccuracy(num_labels)",
        "subset_accuracy",
        "Not of images: the share of right decisions, 1 minus Hamming loss, predicted above 0.5. It is high wherever "
        "most labels are absent.",
        _halves(averages.binary_accuracy, micro=False),
        _SCORES,
    ),
    Peer(SCIKIT_LEARN, "hamming_loss", "hamming_loss", "The same.", own),
    Peer(SCIKIT_LEARN, "coverage_error", "coverage_error", "The same.", own),
    Peer(SCIKIT_LEARN, "label_ranking_loss", "ranking_loss", "The same.", own),
)


def decision(row: Row) -> str:
    """Say by what decision a row was made."""
    if row.threshold_from is None:
        return "a label is predicted where its probability is at least 0.5; average precision needs no decision"
    best = text.metric_name(str(row.objective)).lower()
    return (
        f"a label is predicted where its probability is at least its own threshold, the best {best} on validation; "
        "average precision needs no decision"
    )


def facts(evidence: Evidence) -> Mapping[str, str]:
    """Return the facts of a row that stand in denominators."""
    row, counts = evidence.row, of_labels(evidence.confusion)
    return {
        "n": f"{row.n:,}",
        "k": str(len(row.class_names)),
        "present": str(int(counts.over("present").sum())),
        "decisions": f"{row.n * len(row.class_names):,}",
    }


def absent(evidence: Evidence) -> list[str]:
    """Return the names of the labels that no image has."""
    present = of_labels(evidence.confusion).over("present")
    return [name for name, there in zip(evidence.row.class_names, present, strict=True) if not there]


DEFINITIONS = Definitions(METRICS, PEERS, "predictions", decision, facts, absent)
