"""What the numbers of scene classification mean, here and elsewhere."""

from collections.abc import Callable, Mapping

import numpy as np

from mtsccd_jax.report.meaning import averages
from mtsccd_jax.report.meaning.averages import ClassCounts, Over, kappa_or_none, macro, of_classes, weighted
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
    "oa": Definition("micro", "{n} scenes", "Share of the scenes whose class is predicted."),
    "kappa": Definition(
        "none",
        "1 - chance agreement, of {n} scenes",
        "Cohen's kappa: agreement beyond what the class shares of truth and predictions alone would give. 0 where "
        "both are one and the same class.",
    ),
    "precision": Definition(
        "macro",
        "{seen} of {k} classes",
        "Mean over the classes of truth or predictions; a class that is never predicted counts 0.",
    ),
    "recall": Definition(
        "macro",
        "{seen} of {k} classes",
        "Mean over the classes of truth or predictions; a class that is only predicted counts 0.",
    ),
    "f1": Definition(
        "macro",
        "{seen} of {k} classes",
        "Mean of each class's F1 (not the F1 of means) over the classes of truth or predictions.",
    ),
    "balanced": Definition("macro", "{present} of {k} classes", "Mean recall over the classes of the truth."),
}


def _mean(score: Callable[[ClassCounts], np.ndarray], which: Over) -> Callable[[Evidence, str], float | None]:
    """Return the mean of a score over some classes, as the value of a peer."""

    def value(evidence: Evidence, metric: str) -> float | None:
        counts = of_classes(evidence.confusion)
        return macro(score(counts), counts, which)

    return value


def _weighted(score: Callable[[ClassCounts], np.ndarray]) -> Callable[[Evidence, str], float | None]:
    """Return the mean of a score weighted by the scenes of each class, as the value of a peer."""

    def value(evidence: Evidence, metric: str) -> float | None:
        counts = of_classes(evidence.confusion)
        return weighted(score(counts), counts)

    return value


def _micro_f1(evidence: Evidence, metric: str) -> float:
    """Return the F1 of all decisions on all classes."""
    return float(averages.f1(averages.pooled(of_classes(evidence.confusion)))[0])


def _kappa(evidence: Evidence, metric: str) -> float | None:
    """Return kappa, undefined where truth and predictions are one class."""
    return kappa_or_none(evidence.confusion)


PEERS = (
    Peer(SCIKIT_LEARN, "accuracy_score", "oa", "The same.", own),
    Peer(SCIKIT_LEARN, 'f1_score(average="micro")', "oa", "Of one class a scene every micro average is OA.", _micro_f1),
    Peer(
        TORCHMETRICS,
        "MulticlassAccuracy(num_classes)",
        "oa",
        "Its default average is macro: the mean recall over the classes of truth or predictions, not OA.",
        _mean(averages.recall, "seen"),
    ),
    Peer(TORCHMETRICS, 'MulticlassAccuracy(average="micro")', "oa", "The same.", own),
    Peer(
        "MtSCCD paper",
        "OA, Table 6",
        "oa",
        "The share of scenes named rightly; nothing else is printed for scenes.",
        own,
        dataset="mtsccd",
    ),
    Peer(SCIKIT_LEARN, "cohen_kappa_score", "kappa", "The same; undefined where ours is 0 by convention.", _kappa),
    Peer(TORCHMETRICS, "MulticlassCohenKappa", "kappa", "The same; undefined where ours is 0 by convention.", _kappa),
    Peer(
        SCIKIT_LEARN,
        'precision_score(average="macro")',
        "precision",
        "The same: without labels= it is over the classes of truth or predictions.",
        _mean(averages.precision, "seen"),
    ),
    Peer(
        SCIKIT_LEARN,
        'recall_score(average="macro")',
        "recall",
        "The same: without labels= it is over the classes of truth or predictions.",
        _mean(averages.recall, "seen"),
    ),
    Peer(
        SCIKIT_LEARN,
        'f1_score(average="macro")',
        "f1",
        "The same: without labels= it is over the classes of truth or predictions.",
        _mean(averages.f1, "seen"),
    ),
    Peer(
        SCIKIT_LEARN,
        'f1_score(average="macro", labels=all)',
        "f1",
        "Over all classes: one that is neither true nor predicted counts 0 (zero_division).",
        _mean(averages.f1, "all"),
    ),
    Peer(
        SCIKIT_LEARN,
        'f1_score(average="weighted")',
        "f1",
        "Weighted by the scenes of each class, so frequent classes count more.",
        _weighted(averages.f1),
    ),
    Peer(
        TORCHMETRICS,
        "MulticlassF1Score(num_classes)",
        "f1",
        "Its default average is macro, over the classes of truth or predictions: the same.",
        _mean(averages.f1, "seen"),
    ),
    Peer(
        SCIKIT_LEARN,
        "balanced_accuracy_score",
        "balanced",
        "The same: classes that are only predicted are left out, with a warning.",
        _mean(averages.recall, "present"),
    ),
    Peer(
        TORCHMETRICS,
        'MulticlassRecall(average="macro")',
        "balanced",
        "A class that is only predicted counts 0 here and is left out by ours.",
        _mean(averages.recall, "seen"),
    ),
    Peer(
        "remote-sensing papers",
        "AA, average accuracy",
        "balanced",
        "The mean of the classes' producer's accuracies, which are recalls.",
        _mean(averages.recall, "present"),
    ),
)


def decision(row: Row) -> str:
    """Say by what decision a row was made."""
    if (row.recipe.get("scene") or {}).get("classifier") == "svm":
        return "the class of the highest decision value of an SVM, its penalty chosen on validation; no threshold"
    return "the class of the highest probability of the network's own head; no threshold"


def facts(evidence: Evidence) -> Mapping[str, str]:
    """Return the facts of a row that stand in denominators."""
    counts = of_classes(evidence.confusion)
    return {
        "n": f"{evidence.row.n:,}",
        "k": str(len(evidence.row.class_names)),
        "present": str(int(counts.over("present").sum())),
        "seen": str(int(counts.over("seen").sum())),
    }


def absent(evidence: Evidence) -> list[str]:
    """Return the names of the classes that no scene has."""
    present = of_classes(evidence.confusion).over("present")
    return [name for name, there in zip(evidence.row.class_names, present, strict=True) if not there]


DEFINITIONS = Definitions(METRICS, PEERS, "predictions", decision, facts, absent)
