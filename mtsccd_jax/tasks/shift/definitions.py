"""What the numbers of shift mean, here and elsewhere."""

from collections.abc import Mapping

import numpy as np

from mtsccd_jax.report.meaning.averages import kappa_or_none
from mtsccd_jax.report.meaning.definitions import Definition, Definitions, Evidence, Peer, own
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.shift import SUMS_UP

_SCORES = {"oa": "overall accuracy", "kappa": "Cohen's kappa"}
_PARTS = {
    "in_city": "{score} by the networks that have learned from the city, their mean",
    "out_of_city": "{score} by the one network that has not learned from the city",
    "gap": "{score} in city less out of city, on the same examples",
}
METRICS = {
    **{
        f"{part}_{metric}": Definition("macro", "{cities} cities", f"Mean over cities: {text.format(score=score)}.")
        for metric, score in _SCORES.items()
        for part, text in _PARTS.items()
    },
    **{
        f"worst_city_{metric}": Definition("none", "one of {cities} cities", f"The least {score} out of city.")
        for metric, score in _SCORES.items()
    },
    **{
        f"next_city_{metric}": Definition(
            "macro",
            "{cities} cities",
            f"The mean gap in {score}, with the prediction interval of Student's t for the gap of one more city.",
        )
        for metric, score in _SCORES.items()
    },
    **{
        f"{part}_{metric}_CITY": Definition(
            "none", "the examples of the city", f"In this city: {text.format(score=score)}."
        )
        for metric, score in _SCORES.items()
        for part, text in _PARTS.items()
    },
}


def name_of(row: Row, metric: str) -> str:
    """Return the name of a metric with CITY in place of a city of the row."""
    found = (metric.removesuffix(f"_{city}") for city in row.class_names if metric.endswith(f"_{city}"))
    return next((f"{name}_CITY" for name in found), metric)


def _out_of_city(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and prediction of every example, by the network that has not learned from its city, (n,) each."""
    truth, city = evidence.arrays["truth"], evidence.arrays["city"]
    return truth, evidence.arrays["predicted"][city, np.arange(len(truth))]


def _pooled_accuracy(evidence: Evidence, metric: str) -> float:
    """Return overall accuracy out of city over the examples of all cities at once."""
    truth, predicted = _out_of_city(evidence)
    return float((truth == predicted).mean())


def _pooled_kappa(evidence: Evidence, metric: str) -> float | None:
    """Return kappa out of city over the examples of all cities at once."""
    confusion = np.zeros((int(evidence.arrays["classes"]),) * 2, np.int64)
    np.add.at(confusion, _out_of_city(evidence), 1)
    return kappa_or_none(confusion)


_NEEDED = ("truth", "predicted", "city")
_POOLED = "Over the examples of all cities at once, so large cities count more than small ones."
PEERS = (
    Peer("WILDS (arXiv:2012.07421)", "average accuracy", "out_of_city_oa", _POOLED, _pooled_accuracy, _NEEDED),
    Peer("WILDS (arXiv:2012.07421)", "worst-region accuracy", "worst_city_oa", "The same, of cities.", own),
    Peer(
        "papers that pool cities",
        "kappa of all examples",
        "out_of_city_kappa",
        _POOLED,
        _pooled_kappa,
        (*_NEEDED, "classes"),
    ),
)


def decision(row: Row) -> str:
    """Say by what decision a row was made."""
    return f"that of each network's own {SUMS_UP[row.protocol]} row; what is chosen is chosen on its validation split"


def facts(evidence: Evidence) -> Mapping[str, str]:
    """Return the facts of a row that stand in denominators."""
    return {"n": f"{evidence.row.n:,}", "cities": str(len(evidence.row.class_names))}


def absent(evidence: Evidence) -> list[str]:
    """Return none: the classes of a shift row are its cities, all of which have examples."""
    return []


DEFINITIONS = Definitions(METRICS, PEERS, "predictions", decision, facts, absent, name_of)
