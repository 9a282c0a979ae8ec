"""Whether the figures of a search follow from its ranked lists and the labels of queries and gallery.

The first hits of every query are saved, and the whole lists of some. So what is measured at cut-offs is computed again
for all queries; average precision, NDCG and NMRR for those whose whole list there is, and of the others their means.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtsccd_jax.report import recompute, recompute_ranking
from mtsccd_jax.report.row_check import TOLERANCE, Arrays, Check

_WHOLE = {"ap": "map", "ndcg": "ndcg", "nmrr": "anmrr"}
_NEEDED = ("filename", "label", "relevant", *_WHOLE, "itself", "ranked", "gallery_label", "whole_row", "whole_ranked")


class RetrievalCheck(Check):
    """Compares a row of a search with its artefacts."""

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """The figures of the row follow from the lists of its queries."""
        row, queries = self.row, arrays["queries"]
        if not self.holds(queries, *_NEEDED):
            return
        settings = row.recipe.get("retrieval")
        settings = settings if isinstance(settings, dict) else {}
        cutoffs, gain = self.cutoffs(settings), str(settings.get("gain"))
        if not cutoffs or gain not in recompute_ranking.GAINS:
            self.fault("recipe.retrieval", "has no cut-offs, or a gain that is not known")
            return
        self.compare("n", row.n, len(queries["label"]))
        self.compare("threshold", row.threshold, None)
        self.compare("objective", row.objective, None)
        self.lists(queries)
        relevant, best = recompute_ranking.relevant_and_best(
            queries["label"], queries["gallery_label"], queries["itself"], max(cutoffs)
        )
        if not np.array_equal(relevant, queries["relevant"]):
            self.fault("artefacts.queries.relevant", "not the images of the gallery that share a label")
            return
        known = np.flatnonzero(relevant)
        self.whole_lists(queries, relevant, gain)
        columns = {name: queries[saved][known] for saved, name in _WHOLE.items()}
        of_query = [
            recompute_ranking.at_cutoffs(_grades(queries, q), best[q], int(relevant[q]), cutoffs, gain) for q in known
        ]
        columns |= {name: np.array([figures[name] for figures in of_query]) for name in of_query[0]} if of_query else {}
        self.figures(columns)
        listed = len(queries["gallery_label"]) - (queries["itself"] >= 0)
        chance = recompute_ranking.in_random_order(relevant[known], listed[known], cutoffs)
        self.compare("baseline", row.baseline, {"name": "random order", **chance})
        if (hits := arrays.get("hits")) is not None:
            self.hits(hits, queries)

    def cutoffs(self, settings: Mapping[str, Any]) -> tuple[int, ...]:
        """The lengths of hit lists that the recipe asks for, rising; empty where it has none that can be."""
        given = settings.get("cutoffs")
        fits = isinstance(given, list) and all(isinstance(k, int) and k > 0 for k in given)
        return tuple(sorted(set(given))) if fits else ()  # type: ignore[arg-type]

    def lists(self, queries: Arrays) -> None:
        """A list holds rows of the gallery, none twice, and not the query."""
        ranked, itself, size = queries["ranked"], queries["itself"], len(queries["gallery_label"])
        ordered = np.sort(ranked, 1)
        twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        among = (ranked == itself[:, None]) & (ranked >= 0)
        if (ranked < -1).any() or (ranked >= size).any() or twice.any() or among.any():
            self.fault(
                "artefacts.queries.ranked", "a row outside the gallery, one twice in a list, or the query itself"
            )

    def whole_lists(self, queries: Arrays, relevant: np.ndarray, gain: str) -> None:
        """The figures of the queries whose whole list there is are those of the list, which begins as `ranked` does."""
        size = len(queries["gallery_label"])
        wrong = set()
        for q, whole in zip(queries["whole_row"], queries["whole_ranked"], strict=True):
            first = queries["ranked"][q]
            listed = whole[whole >= 0]
            others = np.delete(np.arange(size), [queries["itself"][q]] if queries["itself"][q] >= 0 else [])
            if not np.array_equal(np.sort(listed), others) or not np.array_equal(first, whole[: len(first)]):
                self.fault("artefacts.queries.whole_ranked", "not the whole gallery, or not as the first hits have it")
                return
            if relevant[q]:
                grade = recompute_ranking.grades(queries["label"][q], queries["gallery_label"][listed])
                figures = recompute_ranking.of_whole_list(grade, int(relevant.max()), gain)
                wrong |= {name for name in _WHOLE if abs(figures[name] - queries[name][q]) > TOLERANCE}
        for name in sorted(wrong):
            self.fault(f"artefacts.queries.{name}", "not what the whole lists give")

    def figures(self, columns: Mapping[str, np.ndarray]) -> None:
        """Every metric is the mean over queries, with the interval over re-drawn ones."""
        if self.resamples is None:
            return
        expected: dict[str, dict[str, float | None]] = {}
        queries = len(columns["map"])
        random = np.random.default_rng(self.row.seed)
        draws = [random.integers(0, queries, queries) for _ in range(self.resamples)] if queries else []
        for name in columns if queries else self.row.metrics:
            value: dict[str, float | None] = dict.fromkeys(("value", "low", "high"))
            if queries:
                means = np.array([columns[name][draw].mean() for draw in draws])
                value = {"value": float(columns[name].mean()), **recompute.interval(means)}
            expected[name] = value
        self.compare("metrics", self.row.metrics, expected)
        self.compare("metrics_rechosen", self.row.metrics_rechosen, None)

    def hits(self, hits: Arrays, queries: Arrays) -> None:
        """The shown hits are the first of their queries, and relevant where they share a label."""
        needed = ("row", "name_query", "thumb_query", "thumb_hit", "name_hit", "relevant_hit", "distance_hit")
        if absent := [name for name in needed if name not in hits]:
            self.fault("artefacts.hits", f"lacks {', '.join(absent)}")
            return
        if not np.array_equal(hits["name_query"], queries["filename"][hits["row"]]):
            self.fault("artefacts.hits.name_query", "not the names of these queries")
        for place, q in enumerate(hits["row"]):
            relevant = hits["relevant_hit"][place]
            shown = _grades(queries, q)[: len(relevant)] > 0
            if not np.array_equal(relevant, np.pad(shown, (0, len(relevant) - len(shown)))):
                self.fault("artefacts.hits.relevant_hit", "not whether the first hits share a label with the query")
                return
        apart = np.diff(hits["distance_hit"], axis=1)
        if (apart < 0).any():
            self.fault("artefacts.hits.distance_hit", "not the nearest first")


def _grades(queries: Arrays, q: np.integer) -> np.ndarray:
    """How many labels the first hits of a query share with it, nearest first."""
    ranked = queries["ranked"][q]
    return recompute_ranking.grades(queries["label"][q], queries["gallery_label"][ranked[ranked >= 0]])
