"""Whether the numbers of a search follow from its ranked lists and the labels of queries and gallery.

The first hits of every query are saved, and the whole lists of some. So metrics at cut-offs are recomputed for all
queries. Average precision, NDCG and NMRR are recomputed where the whole list was saved, and their means from the saved
values of all queries.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from mtsccd_jax.ops.retrieval import GAINS, QueryFigures, joined, query_figures, relevant_counts
from mtsccd_jax.report.published import Published
from mtsccd_jax.report.verify import TOLERANCE, Arrays, Check
from mtsccd_jax.tasks.search.evaluate import measure, relevant_hits

_WHOLE = ("ap", "ndcg", "nmrr")
_NEEDED = ("filename", "label", "relevant", *_WHOLE, "itself", "ranked", "gallery_label", "whole_row", "whole_ranked")


class SearchCheck(Check):
    """Compares a row of a search with its artefacts."""

    main = "queries"

    def published(self) -> Published | None:
        """Return None: no search has a published value."""
        return None

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """Compare the numbers of the row with those of the lists of its queries."""
        row, queries = self.row, arrays["queries"]
        if not self.holds(queries, *_NEEDED):
            return
        settings = row.recipe.get("retrieval")
        settings = settings if isinstance(settings, dict) else {}
        cutoffs, gain = _cutoffs(settings), str(settings.get("gain"))
        if not cutoffs or gain not in GAINS:
            self.fault("recipe.retrieval", "has no cut-offs, or a gain that is not known")
            return
        self.compare("threshold", row.threshold, None)
        self.compare("objective", row.objective, None)
        self.compare("metrics_rechosen", row.metrics_rechosen, None)
        if not self.lists(queries):
            return
        itself, gallery_label = queries["itself"], queries["gallery_label"]
        relevant = relevant_counts(queries["label"], gallery_label, itself)
        if not np.array_equal(relevant, queries["relevant"]):
            self.fault("artefacts.queries.relevant", "not the images of the gallery that share a label")
            return
        self.whole_lists(queries, gain)
        figures = _figures(queries, np.arange(len(relevant)), queries["ranked"], cutoffs, gain)
        figures = replace(figures, ap_q=queries["ap"], ndcg_q=queries["ndcg"], nmrr_q=queries["nmrr"])
        size = len(gallery_label)
        self.compare_measured(measure(figures, itself, size, resamples=self.resamples or 1, seed=row.seed))
        if (hits := arrays.get("hits")) is not None:
            self.hits(hits, queries)

    def lists(self, queries: Arrays) -> bool:
        """Check that a list holds rows of the gallery, none twice, and not the query."""
        ranked, itself, size = queries["ranked"], queries["itself"], len(queries["gallery_label"])
        ordered = np.sort(ranked, 1)
        twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        among = (ranked == itself[:, None]) & (ranked >= 0)
        wrong = (ranked < -1).any() or (ranked >= size).any() or twice.any() or among.any()
        if wrong:
            reason = "a row outside the gallery, one twice in a list, or the query itself"
            self.fault("artefacts.queries.ranked", reason)
        return not wrong

    def whole_lists(self, queries: Arrays, gain: str) -> None:
        """Check that whole lists begin as `ranked` does, and compare the values of their queries."""
        row, whole, ranked = queries["whole_row"], queries["whole_ranked"], queries["ranked"]
        size = len(queries["gallery_label"])
        complete = np.where(whole < 0, queries["itself"][row][:, None], whole)
        if not (np.sort(complete, 1) == np.arange(size)).all() or not np.array_equal(
            whole[:, : ranked.shape[1]], ranked[row]
        ):
            self.fault("artefacts.queries.whole_ranked", "not the whole gallery, or not as the first hits have it")
            return
        figures = _figures(queries, row, whole, (1,), gain)
        for name in _WHOLE:
            saved, expected = queries[name][row], getattr(figures, f"{name}_q")
            if not np.allclose(saved, expected, rtol=0, atol=TOLERANCE, equal_nan=True):
                self.fault(f"artefacts.queries.{name}", "not what the whole lists give")

    def hits(self, hits: Arrays, queries: Arrays) -> None:
        """Check that the shown hits are the first of their queries, and relevant where they share a label."""
        needed = ("row", "name_query", "thumb_query", "thumb_hit", "name_hit", "relevant_hit", "distance_hit")
        if not self.holds(hits, *needed, artefact="hits"):
            return
        row, relevant = hits["row"], hits["relevant_hit"]
        if not np.array_equal(hits["name_query"], queries["filename"][row]):
            self.fault("artefacts.hits.name_query", "not the names of these queries")
        first = queries["ranked"][row, : relevant.shape[1]]
        if not np.array_equal(relevant, relevant_hits(queries["label"][row], queries["gallery_label"], first)):
            self.fault("artefacts.hits.relevant_hit", "not whether the first hits share a label with the query")
        if (np.diff(hits["distance_hit"], axis=1) < 0).any():
            self.fault("artefacts.hits.distance_hit", "not the nearest first")


def _cutoffs(settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the cut-offs of a recipe, ascending; empty where it has none that are possible."""
    given = settings.get("cutoffs")
    fits = isinstance(given, list) and all(isinstance(k, int) and k > 0 for k in given)
    return tuple(sorted(set(given))) if fits else ()  # type: ignore[arg-type]


def _figures(
    queries: Arrays, row_q: np.ndarray, list_qm: np.ndarray, cutoffs: tuple[int, ...], gain: str
) -> QueryFigures:
    """Return the figures of some queries from saved lists, which leave the query itself out.

    `query_figures` takes lists with the query in them, wherever it is in the gallery: it is put at the end.
    """
    itself_q = queries["itself"][row_q]
    whole = list_qm.shape[1] == len(queries["gallery_label"])
    parts, order = [], []
    for some in (np.flatnonzero(itself_q >= 0), np.flatnonzero(itself_q < 0)):
        if not len(some):
            continue
        itself, lists = itself_q[some], list_qm[some]
        if whole:
            lists = np.where(lists < 0, itself[:, None], lists)
        elif itself[0] >= 0:
            lists = np.concatenate([lists, itself[:, None]], 1)
        part = query_figures(
            lists,
            queries["label"][row_q[some]],
            queries["gallery_label"],
            cutoffs=cutoffs,
            itself_q=itself,
            gain=gain,
            largest_relevant=int(queries["relevant"].max()),
        )
        parts.append(part)
        order.append(some)
    both, place = joined(parts), np.argsort(np.concatenate(order))
    names = [field.name for field in fields(QueryFigures) if field.name != "cutoffs"]
    return replace(both, **{name: getattr(both, name)[place] for name in names})
