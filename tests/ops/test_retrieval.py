"""Retrieval metrics against plain Python, one query and one rank at a time, and scikit-learn where it has them."""

import itertools
import math
from dataclasses import fields

import numpy as np
import pytest
from sklearn import metrics as sk

from mtsccd_jax.ops import retrieval

FIGURES = [field.name for field in fields(retrieval.QueryFigures)][2:]


def _shared(query, gallery_row) -> int:
    """Count the labels that two images share."""
    if np.ndim(query) == 0:
        return int(query == gallery_row)
    return sum(bool(a) and bool(b) for a, b in zip(query, gallery_row, strict=True))


def _plain(index, query, gallery, itself, k, gtm, exponential=False) -> dict[str, float]:
    """Compute all figures of one query from their definitions; the list holds the whole gallery."""
    graded = [_shared(query, gallery[row]) for row in index if row != itself]
    ranks = [rank for rank, grade in enumerate(graded, 1) if grade > 0]
    relevant = len(ranks)
    if not relevant:
        return dict.fromkeys(FIGURES, math.nan)

    def dcg(grades, limit) -> float:
        gains = [2.0**grade - 1 if exponential else float(grade) for grade in grades]
        return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1) if rank <= limit)

    precisions = [found / rank for found, rank in enumerate(ranks, 1)]
    first = [precision for precision, rank in zip(precisions, ranks, strict=True) if rank <= k]
    ideal = sorted(graded, reverse=True)
    window = min(4 * relevant, 2 * gtm)
    average = sum(rank if rank <= window else 1.25 * window for rank in ranks) / relevant
    return {
        "precision_qc": len(first) / k,
        "ap_qc": sum(first) / min(relevant, k),
        "ap_of_found_qc": sum(first) / len(first) if first else 0.0,
        "ndcg_qc": dcg(graded, k) / dcg(ideal, k),
        "ap_q": sum(precisions) / relevant,
        "ndcg_q": dcg(graded, math.inf) / dcg(ideal, math.inf),
        "nmrr_q": (average - 0.5 - relevant / 2) / (1.25 * window - 0.5 - 0.5 * relevant),
    }


def _case(queries: int, rows: int, labels: int | None, seed: int, among: bool):
    """Make rankings that know something of the labels: `(index_qm, query, gallery, itself)`."""
    random = np.random.default_rng(seed)

    def draw(n: int) -> np.ndarray:
        return random.integers(0, 6, n) if labels is None else random.random((n, labels)) < 0.25

    gallery, itself = draw(rows), np.full(queries, -1)
    if among:
        itself = random.permutation(rows)[:queries]
        itself[1::5] = -1
    query = gallery[itself].copy() if among else draw(queries)
    query[2::7] = 99 if labels is None else False
    overlap = np.array([[_shared(q, g) for g in gallery] for q in query])
    return np.argsort(random.normal(size=overlap.shape) - overlap, 1), query, gallery, itself


CASES = {
    "classes": _case(15, 40, None, 0, False),
    "classes, among themselves": _case(15, 40, None, 1, True),
    "labels": _case(12, 33, 6, 2, False),
    "labels, among themselves": _case(20, 33, 5, 3, True),
    "a gallery of four": _case(4, 4, 4, 6, True),
}


@pytest.mark.parametrize("gain", retrieval.GAINS)
@pytest.mark.parametrize("name", CASES)
def test_every_figure_equals_plain_python(name, gain):
    index, query, gallery, itself = CASES[name]
    cutoffs = (1, 4, 10)
    found = retrieval.query_figures(index, query, gallery, cutoffs=cutoffs, itself_q=itself, gain=gain)
    counts = [
        sum(_shared(q, other) > 0 for place, other in enumerate(gallery) if place != own)
        for q, own in zip(query, itself, strict=True)
    ]
    assert found.relevant_q.tolist() == counts
    assert retrieval.relevant_counts(query, gallery, itself).tolist() == counts
    for row, (column, k) in itertools.product(range(len(query)), enumerate(cutoffs)):
        ours = {name: getattr(found, name)[(row, column) if name.endswith("_qc") else row] for name in FIGURES}
        expected = _plain(index[row], query[row], gallery, itself[row], k, max(counts), gain == "exponential")
        assert ours == pytest.approx(expected, abs=1e-12, nan_ok=True)
    metrics, known = retrieval.retrieval_metrics(found), np.array(counts) > 0
    assert (metrics["queries"], metrics["without_relevant"]) == (len(query), counts.count(0))
    assert metrics["map"] == pytest.approx(found.ap_q[known].mean(), abs=1e-12)
    assert metrics["anmrr"] == pytest.approx(found.nmrr_q[known].mean(), abs=1e-12)
    assert metrics["ndcg_at_4"] == pytest.approx(found.ndcg_qc[known, 1].mean(), abs=1e-12)
    assert metrics["map_at_10_of_found"] >= metrics["map_at_10"]


@pytest.mark.parametrize("name", ["labels", "classes"])
def test_average_precision_and_ndcg_equal_scikit_learn(name):
    index, query, gallery, itself = CASES[name]
    found = retrieval.query_figures(index, query, gallery, cutoffs=(5,), itself_q=itself)
    for row in np.flatnonzero(found.relevant_q):
        overlap = np.array([_shared(query[row], other) for other in gallery])
        score = np.empty(len(gallery))
        score[index[row]] = -np.arange(len(gallery))
        assert found.ap_q[row] == pytest.approx(sk.average_precision_score(overlap > 0, score), abs=1e-12)
        assert found.ndcg_q[row] == pytest.approx(sk.ndcg_score([overlap], [score]), abs=1e-12)
        assert found.ndcg_qc[row, 0] == pytest.approx(sk.ndcg_score([overlap], [score], k=5), abs=1e-12)


def test_leaving_out_a_query_equals_a_gallery_without_it():
    index, query, gallery, itself = CASES["labels, among themselves"]
    found = retrieval.query_figures(index, query, gallery, cutoffs=(3,), itself_q=itself, largest_relevant=30)
    for row in np.flatnonzero(itself >= 0):
        kept = np.delete(np.arange(len(gallery)), itself[row])
        place = np.full(len(gallery), -1)
        place[kept] = np.arange(len(kept))
        shorter = place[index[row][index[row] != itself[row]]]
        alone = retrieval.query_figures(shorter[None], query[[row]], gallery[kept], cutoffs=(3,), largest_relevant=30)
        for name in ("relevant_q", *FIGURES):
            np.testing.assert_allclose(getattr(found, name)[row], getattr(alone, name)[0], atol=1e-13)


def test_anmrr_by_hand():
    # Query 0: NG = 2, GTM = 2, K = min(8, 4) = 4; ranks 1 and 6, the second beyond K: AVR = (1 + 5) / 2 = 3,
    # NMRR = (3 - 1.5) / (5 - 1.5). Query 1: NG = 1, K = min(4, 4) = 4, rank 3: (3 - 1) / (5 - 1).
    gallery = np.array([0, 0, 1, 2, 2, 2])
    lists = np.array([[0, 3, 4, 5, 2, 1], [0, 1, 2, 3, 4, 5]])
    found = retrieval.query_figures(lists, np.array([0, 1]), gallery, largest_relevant=2)
    assert found.nmrr_q.tolist() == pytest.approx([1.5 / 3.5, 2 / 4])
    perfect = retrieval.query_figures(np.array([[2, 0, 1, 3, 4, 5]]), np.array([1]), gallery, cutoffs=(1,))
    assert (perfect.nmrr_q[0], perfect.ap_q[0], perfect.ndcg_q[0], perfect.precision_qc[0, 0]) == (0, 1, 1, 1)
    last = retrieval.query_figures(np.array([[0, 1, 3, 4, 5, 2]]), np.array([1]), gallery, cutoffs=(1,))
    assert last.nmrr_q[0] == 1


def test_a_list_that_ends_early_has_only_the_figures_that_are_certain():
    index, query, gallery, itself = CASES["labels, among themselves"]
    whole = retrieval.query_figures(index, query, gallery, cutoffs=(2, 5), itself_q=itself)
    for length in (6, 20):
        short = retrieval.query_figures(index[:, :length], query, gallery, cutoffs=(2, 5), itself_q=itself)
        for name in ("relevant_q", *FIGURES):
            ours, theirs = getattr(short, name), getattr(whole, name)
            kept = ~np.isnan(ours) if name.endswith("_q") else slice(None)
            np.testing.assert_allclose(ours[kept], theirs[kept], atol=1e-14)
        listed = [set(index[row, :length]) - {itself[row]} for row in range(len(query))]
        hits = np.array([sum(_shared(query[row], gallery[i]) > 0 for i in rows) for row, rows in enumerate(listed)])
        complete = (hits == whole.relevant_q) & (whole.relevant_q > 0)
        np.testing.assert_array_equal(~np.isnan(short.ap_q), complete)
        np.testing.assert_array_equal(~np.isnan(short.ndcg_q), complete)
        window = np.minimum(4 * whole.relevant_q, 2 * whole.relevant_q.max())
        reached = (np.array([len(rows) for rows in listed]) >= window) & (whole.relevant_q > 0)
        np.testing.assert_array_equal(~np.isnan(short.nmrr_q), complete | reached)
        assert retrieval.retrieval_metrics(short)["map"] is None


def test_tiles_and_merged_parts_are_the_whole(monkeypatch):
    index, query, gallery, itself = CASES["labels, among themselves"]
    whole = retrieval.query_figures(index, query, gallery, cutoffs=(2,), itself_q=itself)
    largest = int(retrieval.relevant_counts(query, gallery, itself).max())
    halves = [
        retrieval.query_figures(
            index[part], query[part], gallery, cutoffs=(2,), itself_q=itself[part], largest_relevant=largest
        )
        for part in (slice(0, 9), slice(9, None))
    ]
    monkeypatch.setattr(retrieval, "_TILE_ELEMENTS", 3 * len(gallery))
    tiled = retrieval.query_figures(index, query, gallery, cutoffs=(2,), itself_q=itself)
    for other in (retrieval.joined(halves), tiled):
        assert len(other) == len(query)
        for name in ("relevant_q", *FIGURES):
            np.testing.assert_array_equal(getattr(other, name), getattr(whole, name))
        assert retrieval.retrieval_metrics(other) == retrieval.retrieval_metrics(whole)


@pytest.mark.parametrize("length", [33, 6])
def test_intervals_are_those_of_resampled_queries(length, monkeypatch):
    index, query, gallery, itself = CASES["labels, among themselves"]
    figures = retrieval.query_figures(index[:, :length], query, gallery, cutoffs=(2, 5), itself_q=itself)
    found = retrieval.retrieval_intervals(figures, resamples=40, seed=9)
    known, random = np.flatnonzero(figures.relevant_q), np.random.default_rng(9)
    resampled = []
    for _ in range(40):
        rows = known[random.integers(0, len(known), len(known))]
        columns = {name: getattr(figures, name)[rows] for name in ("relevant_q", *FIGURES)}
        resampled.append(retrieval.retrieval_metrics(retrieval.QueryFigures(cutoffs=(2, 5), **columns)))
    metrics = retrieval.retrieval_metrics(figures)
    assert set(found) == set(metrics) - {"queries", "without_relevant"}
    for name, ends in found.items():
        if metrics[name] is None:
            assert ends is None
        else:
            expected = np.quantile([some[name] for some in resampled], (0.025, 0.975))
            assert ends == pytest.approx(tuple(expected), abs=1e-12)
    assert (found["map"] is None) == (length == 6), "a list that ends early has no average precision"
    monkeypatch.setattr(retrieval, "_TILE_ELEMENTS", 3 * len(known))
    tiled = retrieval.retrieval_intervals(figures, resamples=40, seed=9)
    assert all(tiled[name] == (ends and pytest.approx(ends, abs=1e-14)) for name, ends in found.items())
    wide = retrieval.retrieval_intervals(figures, resamples=40, seed=9, level=0.99)
    assert wide["precision_at_2"][0] <= found["precision_at_2"][0] < found["precision_at_2"][1]


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_random_order_is_the_mean_over_all_orders(rows):
    orders = np.array(list(itertools.permutations(range(rows))))
    cutoffs = (1, 3, 8)
    for relevant in range(1, rows + 1):
        gallery = (np.arange(rows) >= relevant).astype(int)
        figures = retrieval.query_figures(orders, np.zeros(len(orders), int), gallery, cutoffs=cutoffs)
        every = retrieval.retrieval_metrics(figures)
        expected = retrieval.random_order([relevant, 0], [rows, 3], cutoffs)
        assert set(expected) == {"map", *(f"{name}_at_{k}" for name in ("map", "precision") for k in cutoffs)}
        for name, value in expected.items():
            assert value == pytest.approx(every[name], abs=1e-12), name
    both = retrieval.random_order([1, 2], [4, 5], cutoffs)
    apart = [retrieval.random_order([one], [other], cutoffs) for one, other in ((1, 4), (2, 5))]
    assert both == {name: pytest.approx((apart[0][name] + apart[1][name]) / 2) for name in both}
    assert set(retrieval.random_order([0], [4]).values()) == {None}


@pytest.mark.parametrize(("options", "text"), [({"resamples": 0}, "resamples must be"), ({"level": 1.0}, "level is a")])
def test_bad_settings_of_intervals_are_refused(options, text):
    figures = retrieval.query_figures(LISTS, *CLASSES, cutoffs=(1,))
    with pytest.raises(ValueError, match=text):
        retrieval.retrieval_intervals(figures, **options)


def test_no_query_with_a_relevant_image():
    found = retrieval.query_figures(np.array([[1, 0]]), np.array([7]), np.array([1, 2]), cutoffs=(1,))
    metrics = retrieval.retrieval_metrics(found)
    assert (metrics.pop("queries"), metrics.pop("without_relevant")) == (1, 1)
    at_1 = {"map_at_1", "map_at_1_of_found", "precision_at_1", "ndcg_at_1"}
    assert set(metrics) == {"map", "ndcg", "anmrr"} | at_1
    assert set(metrics.values()) == {None}
    assert set(retrieval.retrieval_intervals(found).values()) == {None}


LISTS = np.array([[0, 1, 2], [2, 1, 0]])
CLASSES = np.array([0, 1]), np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((LISTS[:1], *CLASSES), {}, r"a row for each of the 2 queries, got shape \(1, 3\)"),
        ((LISTS * 1.0, *CLASSES), {}, "index_qm must hold integers, got float64"),
        ((LISTS + 1, *CLASSES), {}, r"index_qm\[0, 2\] is 3, outside the gallery of 3"),
        ((np.array([[0, 1], [2, 2]]), *CLASSES), {"cutoffs": (1,)}, "the list of query 1 holds a gallery row twice"),
        ((LISTS[:, :2], *CLASSES), {"cutoffs": (3,)}, "a cut-off of 3 needs longer lists: these hold 2$"),
        ((LISTS[:, :2], *CLASSES), {"cutoffs": (2,), "itself_q": np.array([0, 1])}, "these hold 2 with itself"),
        ((LISTS, *CLASSES), {"cutoffs": ()}, "cutoffs must be whole numbers of at least 1"),
        ((LISTS, *CLASSES), {"cutoffs": (0,)}, "cutoffs must be whole numbers of at least 1"),
        ((LISTS, *CLASSES), {"gain": "square"}, "unknown gain 'square', known are overlap, exponential"),
        ((LISTS, *CLASSES), {"itself_q": np.array([0])}, "itself_q must hold an integer for each of the 2 queries"),
        ((LISTS, *CLASSES), {"itself_q": np.array([0, 3])}, r"itself_q\[1\] is 3, outside the gallery of 3"),
        ((LISTS, *CLASSES), {"largest_relevant": 1}, "largest_relevant is 1, but query 1 has 2 relevant images"),
        ((LISTS, CLASSES[0], np.eye(3, dtype=bool)), {}, "queries and gallery must be labelled alike"),
        ((LISTS, np.array([[0, 2], [0, 1]]), np.ones((3, 2), int)), {}, r"query_label\[0, 1\] is 2: labels are 0"),
        ((LISTS, CLASSES[0] * 1.0, CLASSES[1]), {}, "query_label must hold integers or bool"),
        ((LISTS, CLASSES[0], np.array([], int)), {}, "gallery_label must hold a class for each image"),
        ((LISTS, np.ones((2, 256), bool), np.ones((3, 256), bool)), {}, "256 labels, at most 255"),
    ],
)
def test_bad_input_is_refused(arguments, options, text):
    with pytest.raises(ValueError, match=text):
        retrieval.query_figures(*arguments, **options)


def test_figures_at_other_cutoffs_are_not_merged():
    parts = [retrieval.query_figures(LISTS, *CLASSES, cutoffs=(k,)) for k in (1, 2)]
    with pytest.raises(ValueError, match=r"figures at \(1,\) and at \(2,\) cannot be merged"):
        retrieval.joined(parts)
