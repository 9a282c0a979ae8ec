"""The figures of a search from its ranked lists and labels, query by query, by the definitions of `ops.ranking`."""

import numpy as np

# What a hit of so many shared labels is worth to NDCG.
_WORTH = {"overlap": lambda grade: grade.astype(np.float64), "exponential": lambda grade: 2.0**grade - 1}
GAINS = tuple(_WORTH)

_GRADES_AT_ONCE = 1 << 24  # queries x gallery; bounds memory, not results


def grades(label: np.ndarray, listed_label: np.ndarray) -> np.ndarray:
    """How many labels a query shares with each image of its list, (m,) int64; 0 or 1 with one class an image.

    Args:
        label: the query's class (), or its labels (k,) of 0 and 1.
        listed_label: likewise of the listed images, (m,) or (m, k).
    """
    shared = listed_label == label if label.ndim == 0 else (listed_label & label).sum(1)
    return shared.astype(np.int64)


def relevant_and_best(
    label: np.ndarray, gallery_label: np.ndarray, itself_q: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """(relevant images of each query (q,), its `longest` best grades, descending (q, at most longest)).

    Args:
        label: (q,) int32 classes or (q, k) uint8 labels.
        gallery_label: likewise of the gallery.
        itself_q: gallery row of each query, -1 for none; it is not counted.
        longest: how many of the best grades.
    """
    step = max(1, _GRADES_AT_ONCE // len(gallery_label))
    relevant, best = [], []
    for start in range(0, len(label), step):
        own, own_row = label[start : start + step], itself_q[start : start + step]
        if label.ndim == 2:
            grade = (own.astype(np.float32) @ gallery_label.T.astype(np.float32)).astype(np.int16)
        else:
            grade = (own[:, None] == gallery_label).astype(np.int16)
        among = np.flatnonzero(own_row >= 0)
        grade[among, own_row[among]] = 0
        relevant.append((grade > 0).sum(1))
        most = min(longest, grade.shape[1])
        best.append(-np.sort(np.partition(-grade, most - 1, 1)[:, :most], 1))
    return np.concatenate(relevant), np.concatenate(best)


def at_cutoffs(
    grade_m: np.ndarray, best_m: np.ndarray, relevant: int, cutoffs: tuple[int, ...], gain: str
) -> dict[str, float]:
    """The figures of one query at every cut-off, by name ("precision_at_10").

    Args:
        grade_m: of its hits, nearest first.
        best_m: the best grades that there are, descending.
        relevant: relevant images of the gallery, at least 1.
        cutoffs: values of k.
        gain: of NDCG, one of `GAINS`.
    """
    hit_m = grade_m > 0
    precision_m = np.cumsum(hit_m) / np.arange(1, len(hit_m) + 1)
    figures: dict[str, float] = {}
    for k in cutoffs:
        found = precision_m[:k][hit_m[:k]]
        figures[f"map_at_{k}"] = float(found.sum() / min(relevant, k))
        figures[f"map_at_{k}_of_found"] = float(found.mean()) if len(found) else 0.0
        figures[f"precision_at_{k}"] = float(hit_m[:k].sum() / k)
        figures[f"ndcg_at_{k}"] = _gained(grade_m[:k], gain) / _gained(best_m[:k], gain)
    return figures


def of_whole_list(grade_g: np.ndarray, most_relevant: int, gain: str) -> dict[str, float]:
    """Average precision, NDCG and NMRR of one query, as "ap", "ndcg" and "nmrr".

    Args:
        grade_g: of the whole gallery, nearest first; at least one is not 0.
        most_relevant: MPEG-7's GTM, the most relevant images of any query.
        gain: of NDCG, one of `GAINS`.
    """
    rank = np.flatnonzero(grade_g) + 1
    relevant = len(rank)
    limit = min(4 * relevant, 2 * most_relevant)
    first = 0.5 * (1 + relevant)
    counted = np.where(rank <= limit, rank, 1.25 * limit)
    return {
        "ap": float((np.arange(1, relevant + 1) / rank).mean()),
        "ndcg": _gained(grade_g, gain) / _gained(np.sort(grade_g)[::-1], gain),
        "nmrr": float((counted.mean() - first) / (1.25 * limit - first)),
    }


def in_random_order(relevant_q: np.ndarray, listed_q: np.ndarray, cutoffs: tuple[int, ...]) -> dict[str, float | None]:
    """What mAP, mAP at k and precision at k are on average over all orders, rank by rank; None without any query.

    Args:
        relevant_q: relevant images of each query, each at least 1.
        listed_q: images of its list.
        cutoffs: values of k.
    """
    pairs, count = np.unique(np.stack([relevant_q, listed_q]), axis=1, return_counts=True)
    total = dict.fromkeys(("map", *(f"{name}_at_{k}" for k in cutoffs for name in ("map", "precision"))), 0.0)
    for relevant, listed, queries in zip(*pairs, count, strict=True):
        earlier = np.arange(listed)  # ranks before each
        # That the rank is relevant, times the precision there: itself and the share of the earlier ones.
        gained = relevant / listed * (1 + earlier * (relevant - 1) / max(listed - 1, 1)) / (earlier + 1)
        total["map"] += queries * gained.sum() / relevant
        for k in cutoffs:
            total[f"map_at_{k}"] += queries * gained[:k].sum() / min(relevant, k)
            total[f"precision_at_{k}"] += queries * relevant / listed * min(k, listed) / k
    return {name: float(value / len(relevant_q)) if len(relevant_q) else None for name, value in total.items()}


def _gained(grade_m: np.ndarray, gain: str) -> float:
    """The discounted gains of a list."""
    return float((_WORTH[gain](grade_m) / np.log2(np.arange(2, len(grade_m) + 2))).sum())
