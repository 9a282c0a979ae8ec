"""What the numbers of a search mean, here and elsewhere."""

from collections.abc import Mapping

import numpy as np

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

_QUERIES = "{known} of {n} queries, those with a relevant image"
METRICS = {
    "map": Definition(
        "samples",
        _QUERIES,
        "Mean average precision over the whole ranked list: the sum of the precisions at the ranks of relevant images "
        "over their number.",
    ),
    "ndcg": Definition(
        "samples",
        _QUERIES,
        "Discounted gain of the list over that of the best list. The gain of an image is the number of labels that it "
        "shares with the query (1 or 0 with one class), or 2 to that power minus 1, as the recipe says.",
    ),
    "anmrr": Definition(
        "samples",
        _QUERIES,
        "MPEG-7's mean normalised modified rank of the relevant images. 0 is best, 1 worst.",
    ),
    "map_at_k": Definition(
        "samples",
        _QUERIES,
        "Average precision of the first k hits, over the most that they could give: min(k, relevant images).",
    ),
    "map_at_k_of_found": Definition(
        "samples",
        _QUERIES,
        "Average precision of the first k hits, over the relevant images among them: never lower.",
    ),
    "precision_at_k": Definition("samples", _QUERIES, "Share of the first k hits that are relevant."),
    "ndcg_at_k": Definition("samples", _QUERIES, "Discounted gain of the first k hits over that of the best k."),
}


def _with_empty(evidence: Evidence, metric: str) -> float | None:
    """Return the mean over all queries, those without a relevant image counted as 0."""
    value = evidence.value(metric)
    return None if value is None else value * float((evidence.arrays["relevant"] > 0).mean())


def _with_empty_linear(evidence: Evidence, metric: str) -> float | None:
    """Return the same of a discounted gain, whose gain must be the number of shared labels; None of another."""
    gain = (evidence.row.recipe.get("retrieval") or {}).get("gain", "overlap")
    return _with_empty(evidence, metric) if gain == "overlap" else None


def _mean_of_classes(evidence: Evidence, metric: str) -> float | None:
    """Return the mean over classes of the mean average precision of their queries; None with several labels."""
    label, ap = evidence.arrays["label"], evidence.arrays["ap"]
    known = evidence.arrays["relevant"] > 0
    if label.ndim != 1 or not known.any() or np.isnan(ap[known]).any():
        return None
    return float(np.mean([ap[known & (label == one)].mean() for one in np.unique(label[known])]))


_RELEVANT = ("relevant",)
_EMPTY = "A query without a relevant image counts 0 (empty_target_action); ours leaves it out."
PEERS = (
    Peer(SCIKIT_LEARN, "average_precision_score of each query, mean", "map", "The same, of a list without ties.", own),
    Peer(TORCHMETRICS, "RetrievalMAP", "map", _EMPTY, _with_empty, _RELEVANT),
    Peer(
        "class-balanced search",
        "mean over classes of mAP",
        "map",
        "The mean of the classes' means, so rare classes count as much as frequent ones (avg_of_avgs of "
        "pytorch-metric-learning). Undefined with several labels an image.",
        _mean_of_classes,
        ("label", "relevant", "ap"),
    ),
    Peer(
        SCIKIT_LEARN,
        "ndcg_score",
        "ndcg",
        "With the number of shared labels as gain; a query without a relevant image counts 0, ours leaves it out.",
        _with_empty_linear,
        _RELEVANT,
    ),
    Peer(TORCHMETRICS, "RetrievalNormalizedDCG", "ndcg", _EMPTY, _with_empty_linear, _RELEVANT),
    Peer(
        "Google Landmarks",
        "mAP@k",
        "map_at_k",
        "Over min(k, relevant images): the same.",
        own,
    ),
    Peer(
        TORCHMETRICS,
        "RetrievalMAP(top_k=k)",
        "map_at_k_of_found",
        "Over the relevant images among the first k. A query without a relevant image counts 0; ours leaves it out.",
        _with_empty,
        _RELEVANT,
    ),
    Peer(TORCHMETRICS, "RetrievalPrecision(top_k=k)", "precision_at_k", _EMPTY, _with_empty, _RELEVANT),
    Peer(TORCHMETRICS, "RetrievalNormalizedDCG(top_k=k)", "ndcg_at_k", _EMPTY, _with_empty_linear, _RELEVANT),
)


def decision(row: Row) -> str:
    """Say by what decision a row was made."""
    settings = row.recipe.get("retrieval") or {}
    gallery, metric = settings.get("gallery", "an unnamed gallery"), settings.get("metric", "unknown")
    return (
        f"the images of {gallery} in the order of the {metric} distance of their features; relevant is what has the "
        "query's class, or shares a label with it; no threshold"
    )


def facts(evidence: Evidence) -> Mapping[str, str]:
    """Return the facts of a row that stand in denominators."""
    relevant = evidence.arrays.get("relevant")
    known = "some" if relevant is None else f"{int((relevant > 0).sum()):,}"
    return {"n": f"{evidence.row.n:,}", "known": known}


def absent(evidence: Evidence) -> list[str]:
    """Return the names of the classes or labels that no query has; none where the labels are not there."""
    label = evidence.arrays.get("label")
    if label is None:
        return []
    names = evidence.row.class_names
    present: np.ndarray = np.any(label, 0) if label.ndim == 2 else np.isin(np.arange(len(names)), label)
    return [name for name, there in zip(names, present, strict=True) if not there]


DEFINITIONS = Definitions(METRICS, PEERS, "queries", decision, facts, absent)
