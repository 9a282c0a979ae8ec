"""What the numbers of certainty mean, here and elsewhere."""

from collections.abc import Mapping

import numpy as np

from mtsccd_jax.ops.certainty.calibration import calibration_error, equal_width_bins
from mtsccd_jax.report.meaning.definitions import (
    SCIKIT_LEARN,
    TORCHMETRICS,
    Arrays,
    Definition,
    Definitions,
    Evidence,
    Peer,
    own,
)
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.certainty import METHODS
from mtsccd_jax.tasks.certainty.measure import event

_GAP = "Mean gap between the probability that was said and the share of events that came, over {bins} bins"
METRICS = {
    "oa": Definition("micro", "{n} examples", "Share of the examples whose most probable answer is right."),
    "ece": Definition("none", "{n} examples", "Expected calibration error. " + _GAP + " of equal width."),
    "ece_adaptive": Definition("none", "{n} examples", _GAP + " that hold equally many examples."),
    "ece_before": Definition("none", "{n} examples", "The expected calibration error without the calibration."),
    "ece_floor": Definition(
        "none",
        "{n} examples",
        "The expected calibration error that a perfect forecaster of these probabilities would show, by chance alone.",
    ),
    "brier": Definition(
        "none",
        "{n} examples",
        "Mean squared difference of all probabilities from the truth, summed over the classes; of pairs half of that.",
    ),
    "log_loss": Definition(
        "none", "{n} examples", "Mean negative logarithm (nats) of the true answer's probability, of at least 1e-6."
    ),
    "aurc": Definition(
        "none",
        "{n} coverages",
        "Area under risk against coverage: the share of errors among the most certain examples, mean over how many are "
        "answered.",
    ),
    "accuracy_kept": Definition("micro", "{kept} answered examples", "Share of the answered examples that are right."),
    "abstention": Definition("none", "{n} examples", "Share of the examples that are left without an answer."),
    "coverage": Definition("micro", "{n} examples", "Share of the examples whose set of answers holds the truth."),
    "coverage_lost": Definition("micro", "{n} examples", "The coverage that was asked for, less the coverage."),
    "coverage_KIND": Definition(
        "none",
        "the examples of the kind",
        "The coverage of the changed or of the unchanged pairs, or of the class that is covered least.",
    ),
    "set_size": Definition("none", "{n} examples", "Mean number of answers in a set."),
    "empty": Definition("none", "{n} examples", "Share of the sets that hold no answer."),
    "several": Definition("none", "{n} examples", "Share of the sets that hold more than one answer."),
    "look_found": Definition(
        "none",
        "the changed pairs, or the wrong scenes",
        "Share of them that stand among the first {look} of the list of what to look at.",
    ),
}
_KINDS = ("coverage_unchanged", "coverage_changed", "coverage_lowest")
# What the libraries take unless told otherwise.
_TORCH_BINS = 15


def name_of(row: Row, metric: str) -> str:
    """Return the name of a metric, with KIND in place of a kind of example."""
    return "coverage_KIND" if metric in _KINDS else metric


def truth_of(arrays: Arrays) -> np.ndarray:
    """Return the true class of every example, (n,) int; of pairs 1 where changed."""
    return np.asarray(arrays["changed" if "changed" in arrays else "label"], np.int64)


def _torch_error(evidence: Evidence, metric: str) -> float:
    """Return the calibration error over as many bins as torchmetrics takes."""
    arrays = evidence.arrays
    probability, came = event(arrays["probability"], truth_of(arrays), "changed" in arrays)
    return float(calibration_error(probability, came, equal_width_bins(probability, _TORCH_BINS))[0])


def _sklearn_log_loss(evidence: Evidence, metric: str) -> float:
    """Return the log loss of probabilities that are clipped at the type's resolution."""
    probability = np.asarray(evidence.arrays["probability"], np.float64)
    true_n = probability[np.arange(len(probability)), truth_of(evidence.arrays)]
    least = np.finfo(np.float64).eps
    return float(-np.log(np.clip(true_n, least, 1 - least)).mean())


PEERS = (
    Peer(SCIKIT_LEARN, "accuracy_score", "oa", "The same, of the most probable answers.", own),
    Peer(
        SCIKIT_LEARN, "brier_score_loss", "brier", "The same; since 1.7 also of many classes, then without half.", own
    ),
    Peer(
        SCIKIT_LEARN,
        "log_loss",
        "log_loss",
        "Clips at the resolution of the type, about 2e-16, so one wrong certainty weighs 36 and not 14.",
        _sklearn_log_loss,
        ("probability",),
    ),
    Peer(
        TORCHMETRICS,
        "CalibrationError",
        "ece",
        f"The same by default, over {_TORCH_BINS} bins; of many classes it is of the most probable one.",
        _torch_error,
        ("probability",),
    ),
    Peer("netcal 1.4", "ECE", "ece", "The same, over the bins that it is given.", own),
    Peer("mapie 1.6", "classification_coverage_score", "coverage", "The same.", own),
    Peer("mapie 1.6", "classification_mean_width_score", "set_size", "The same.", own),
)


def decision(row: Row) -> str:
    """Say by what decision a row was made."""
    settings = row.recipe.get("certainty") or {}
    calibration = "a temperature" if METHODS[row.protocol] == "scene" else f"{settings.get('calibration')} calibration"
    fitted = "on the validation split" if "validation" in row.artefacts else "by cross-fitting on the split itself"
    return f"{calibration} and sets that are to hold {settings.get('coverage')} of the truths, both fitted {fitted}"


def facts(evidence: Evidence) -> Mapping[str, str]:
    """Return the facts of a row that stand in denominators and definitions."""
    settings, kept = evidence.row.recipe.get("certainty") or {}, evidence.arrays.get("kept")
    return {
        "n": f"{evidence.row.n:,}",
        "kept": "the" if kept is None else f"{int(kept.sum()):,}",
        "bins": str(settings.get("bins")),
        "look": str(settings.get("look")),
    }


def absent(evidence: Evidence) -> list[str]:
    """Return the names of the classes that no example has."""
    true_k = evidence.confusion.sum(1)
    return [name for name, count in zip(evidence.row.class_names, true_k, strict=True) if not count]


DEFINITIONS = Definitions(METRICS, PEERS, "predictions", decision, facts, absent, name_of)
