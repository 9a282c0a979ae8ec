"""What the numbers of change detection mean, here and elsewhere."""

from collections.abc import Callable, Mapping

import numpy as np

from mtsccd_jax.report import text
from mtsccd_jax.report.meaning import averages
from mtsccd_jax.report.meaning.averages import ClassCounts, kappa_or_none, macro, of_classes, weighted
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

METRICS = {
    "oa": Definition("micro", "{n} pairs", "Share of the pairs that are decided rightly."),
    "kappa": Definition(
        "none",
        "1 - chance agreement, of {n} pairs",
        "Cohen's kappa of both classes: agreement beyond what the shares of changed pairs in truth and decisions alone "
        "would give. 0 where all is one class in both.",
    ),
    "precision": Definition("none", "{predicted} pairs decided changed", "Share of them that are; of no pair it is 0."),
    "recall": Definition("none", "{positives} changed pairs", "Share of them that are found; of no pair it is 0."),
    "f1": Definition(
        "none",
        "the mean of {positives} changed pairs and {predicted} decided so",
        "F1 of the class “changed” alone.",
    ),
    "balanced": Definition("macro", "the classes of the truth", "Mean of the shares found of changed and unchanged."),
    "transition": Definition(
        "none",
        "{positives} changed pairs",
        "Share of the changed pairs whose classes at both dates are named rightly.",
    ),
}


def _of_changed(score: Callable[[ClassCounts], np.ndarray]) -> Callable[[Evidence, str], float | None]:
    """Return a score of the class “changed”, as the value of a peer."""
    return lambda evidence, metric: float(score(of_classes(evidence.confusion))[1])


def _of_both(score: Callable[[ClassCounts], np.ndarray]) -> Callable[[Evidence, str], float | None]:
    """Return the mean of a score over both classes where they are seen, as the value of a peer."""

    def value(evidence: Evidence, metric: str) -> float | None:
        counts = of_classes(evidence.confusion)
        return macro(score(counts), counts, "seen")

    return value


def _weighted_f1(evidence: Evidence, metric: str) -> float | None:
    """Return the mean F1 weighted by the pairs of each class."""
    counts = of_classes(evidence.confusion)
    return weighted(averages.f1(counts), counts)


def _balanced(evidence: Evidence, metric: str) -> float | None:
    """Return the mean recall of the classes of the truth."""
    counts = of_classes(evidence.confusion)
    return macro(averages.recall(counts), counts, "present")


def _kappa(evidence: Evidence, metric: str) -> float | None:
    """Return kappa, undefined where truth and decisions are one class."""
    return kappa_or_none(evidence.confusion)


_UNDEFINED = "The same; undefined where ours is 0 by convention."
PEERS = (
    Peer(SCIKIT_LEARN, "accuracy_score", "oa", "The same.", own),
    Peer(TORCHMETRICS, "BinaryAccuracy", "oa", "The same, of decisions.", own),
    Peer(
        TORCHMETRICS,
        "MulticlassAccuracy(num_classes=2)",
        "oa",
        "Its default average is macro: the mean recall of both classes, not OA.",
        _of_both(averages.recall),
    ),
    Peer("MtSCCD paper", "OA, Table 7", "oa", "The share of pairs decided rightly.", own, dataset="mtsccd"),
    Peer(SCIKIT_LEARN, "cohen_kappa_score", "kappa", _UNDEFINED, _kappa),
    Peer(TORCHMETRICS, "BinaryCohenKappa", "kappa", _UNDEFINED, _kappa),
    Peer(
        "MtSCCD paper",
        "kappa, Table 7",
        "kappa",
        "Cohen's kappa. 24 of the 46 printed values do not follow from any table beside their OA (“mtsccd-jax audit”).",
        own,
        dataset="mtsccd",
    ),
    Peer(SCIKIT_LEARN, "precision_score", "precision", "The same, of class 1.", _of_changed(averages.precision)),
    Peer(SCIKIT_LEARN, "recall_score", "recall", "The same, of class 1.", _of_changed(averages.recall)),
    Peer(SCIKIT_LEARN, "f1_score", "f1", "The same: its default is the F1 of class 1.", _of_changed(averages.f1)),
    Peer(TORCHMETRICS, "BinaryF1Score", "f1", "The same, of decisions.", _of_changed(averages.f1)),
    Peer(
        SCIKIT_LEARN,
        'f1_score(average="macro")',
        "f1",
        "The mean of the F1 of changed and of unchanged: where few pairs change it is far higher.",
        _of_both(averages.f1),
    ),
    Peer(
        SCIKIT_LEARN,
        'f1_score(average="weighted")',
        "f1",
        "Both F1 weighted by their pairs: where few change, mostly that of unchanged.",
        _weighted_f1,
    ),
    Peer(
        TORCHMETRICS,
        "MulticlassF1Score(num_classes=2)",
        "f1",
        "Its default average is macro: the mean of both classes.",
        _of_both(averages.f1),
    ),
    Peer(
        "Open-CD (IoUMetric of MMSegmentation)",
        "mFscore",
        "f1",
        "The mean of the F1 of changed and of unchanged, there of pixels.",
        _of_both(averages.f1),
    ),
    Peer(
        SCIKIT_LEARN,
        "jaccard_score",
        "f1",
        "Intersection over union of “changed”: F1 / (2 - F1), so never higher.",
        _of_changed(averages.iou),
    ),
    Peer(
        "Open-CD (IoUMetric of MMSegmentation)",
        "mIoU",
        "f1",
        "The mean of the intersection over union of changed and of unchanged, there of pixels.",
        _of_both(averages.iou),
    ),
    Peer(SCIKIT_LEARN, "balanced_accuracy_score", "balanced", "The same.", _balanced),
)


def decision(row: Row) -> str:
    """Say by what decision a row was made."""
    if row.threshold_from is None:
        return "changed where the classes named for both dates differ; no threshold"
    best = f"the best {text.metric_name(str(row.objective)).lower()}"
    where = "on validation pairs"
    if row.threshold_from != "validation":
        folds = row.threshold_from.rpartition("_")[2]
        where = (
            f"by {folds}-fold cross-validation on these pairs; each pair is decided by the threshold of the other folds"
        )
    median = "the median of the folds, " if row.threshold_from != "validation" else ""
    if row.threshold is None:
        return f"a threshold that predicts no pair changed, {median}{best} {where}"
    return f"changed where the distance is at least {text.number(row.threshold, 4)}, {median}{best} {where}"


def facts(evidence: Evidence) -> Mapping[str, str]:
    """Return the facts of a row that stand in denominators."""
    confusion = evidence.confusion
    return {
        "n": f"{evidence.row.n:,}",
        "positives": f"{int(confusion[1].sum()):,}",
        "predicted": f"{int(confusion[:, 1].sum()):,}",
    }


def absent(evidence: Evidence) -> list[str]:
    """Return "changed" or "unchanged" where no pair is."""
    present = evidence.confusion.sum(1) > 0
    return [name for name, there in zip(evidence.row.class_names, present, strict=True) if not there]


DEFINITIONS = Definitions(METRICS, PEERS, "predictions", decision, facts, absent)
