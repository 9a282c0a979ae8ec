"""Rows of searches are recomputed query by query, and whatever was tampered with is named."""

import dataclasses
import shutil

import numpy as np
import pytest
from made_up_labels import LabelMaker
from sklearn.metrics import average_precision_score, ndcg_score

from mtsccd_jax.ops import retrieval
from mtsccd_jax.report import recompute_ranking, rows
from mtsccd_jax.report.verify import verify_row


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A row of a search. Not to be written to."""
    path = tmp_path_factory.mktemp("searches")
    LabelMaker(path).retrieval()
    return path


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def keys(workdir, row):
    return {difference.key for difference in verify_row(workdir, row)}


def resaved(workdir, name, change):
    """The row with an artefact written anew, some arrays changed."""
    (row,) = rows.load(workdir)
    arrays = rows.load_artefact(workdir, row, name)
    change(arrays)
    path, checksum = rows.save_artefact(workdir, "changed", arrays)
    checksums = row.checksums | {"artefacts": row.checksums["artefacts"] | {name: checksum}}
    return dataclasses.replace(row, artefacts=row.artefacts | {name: path}, checksums=checksums)


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("gain", recompute_ranking.GAINS)
def test_figures_of_queries_are_those_of_ops(several, gain):
    random = np.random.default_rng(5)
    query, gallery = (
        (random.random((n, 4)) < 0.4 for n in (20, 35))
        if several
        else (random.integers(0, 4, n).astype(np.int32) for n in (20, 35))
    )
    query, gallery = (part.astype(np.uint8) if several else part for part in (query, gallery))
    itself = np.full(20, -1)
    itself[3], gallery[7] = 7, query[3]
    order = random.permuted(np.tile(np.arange(35), (20, 1)), axis=1)
    cutoffs = (1, 4, 40)
    expected = retrieval.query_figures(order, query, gallery, cutoffs=cutoffs, itself_q=itself, gain=gain)
    relevant, best = recompute_ranking.relevant_and_best(query, gallery, itself, 40)
    np.testing.assert_array_equal(relevant, expected.relevant_q)
    for q in np.flatnonzero(relevant):
        listed = order[q][order[q] != itself[q]]
        grade = recompute_ranking.grades(query[q], gallery[listed])
        whole = recompute_ranking.of_whole_list(grade, int(relevant.max()), gain)
        for name in ("ap", "ndcg", "nmrr"):
            assert whole[name] == pytest.approx(getattr(expected, f"{name}_q")[q], abs=1e-12)
        falling = -np.arange(len(grade))
        assert whole["ap"] == pytest.approx(average_precision_score(grade > 0, falling))
        if gain == "overlap":
            assert whole["ndcg"] == pytest.approx(ndcg_score([grade], [falling]))
        some = recompute_ranking.at_cutoffs(grade, best[q], int(relevant[q]), cutoffs, gain)
        for column, k in enumerate(cutoffs):
            assert some[f"precision_at_{k}"] == pytest.approx(expected.precision_qc[q, column], abs=1e-12)
            assert some[f"map_at_{k}"] == pytest.approx(expected.ap_qc[q, column], abs=1e-12)
            assert some[f"map_at_{k}_of_found"] == pytest.approx(expected.ap_of_found_qc[q, column], abs=1e-12)
            assert some[f"ndcg_at_{k}"] == pytest.approx(expected.ndcg_qc[q, column], abs=1e-12)


def test_chance_is_the_mean_over_all_orders():
    chance = recompute_ranking.in_random_order(np.array([2, 3, 1]), np.array([5, 5, 1]), (2, 9))
    assert chance == pytest.approx(retrieval.random_order([2, 3, 1], [5, 5, 1], (2, 9)), abs=1e-12)
    random = np.random.default_rng(0)
    orders = random.permuted(np.tile(np.arange(5) < 2, (40_000, 1)), axis=1)
    found = [average_precision_score(order, -np.arange(5)) for order in np.unique(orders, axis=0)]
    assert recompute_ranking.in_random_order(np.array([2]), np.array([5]), ())["map"] == pytest.approx(np.mean(found))


def test_the_row_as_it_was_made_agrees(made):
    (row,) = rows.load(made)
    assert verify_row(made, row) == []


def test_a_search_without_anything_relevant_has_no_figures(copy):
    """As the protocol writes it: every metric and chance is null."""

    def part(arrays):
        arrays["label"][:], arrays["gallery_label"][:] = 0, 0
        arrays["relevant"][:] = 0
        for name in ("ap", "ndcg", "nmrr"):
            arrays[name][:] = np.nan

    row = resaved(copy, "queries", part)
    without = dict.fromkeys(row.baseline) | {"name": "random order"}
    nothing = {name: dict.fromkeys(("value", "low", "high")) for name in row.metrics}
    artefacts = {"queries": row.artefacts["queries"]}
    row = dataclasses.replace(row, metrics=nothing, baseline=without, artefacts=artefacts)
    assert verify_row(copy, row) == []
    assert keys(copy, dataclasses.replace(row, baseline=without | {"map": 0.1})) == {"baseline.map"}


def test_every_figure_is_checked(made):
    (row,) = rows.load(made)
    wrong = {name: {key: value + 1e-6 for key, value in entry.items()} for name, entry in row.metrics.items()}
    expected = {f"metrics.{name}.{key}" for name in row.metrics for key in ("value", "low", "high")}
    assert keys(made, dataclasses.replace(row, metrics=wrong)) == expected
    assert {name for name in row.metrics if name.startswith(("map", "ndcg", "anmrr"))} > {"map", "ndcg", "anmrr"}
    changes = {
        "n": {"n": row.n + 1},
        "baseline.map": {"baseline": row.baseline | {"map": 0.9}},
        "published": {"published": {"model": "x"}},
        "objective": {"objective": "f1"},
        "metrics.beauty": {"metrics": row.metrics | {"beauty": {"value": 1.0, "low": None, "high": None}}},
    }
    for key, change in changes.items():
        assert key in {k.partition(".model")[0] for k in keys(made, dataclasses.replace(row, **change))}, key
    other = row.recipe | {"retrieval": row.recipe["retrieval"] | {"cutoffs": [0]}}
    assert "recipe.retrieval" in keys(made, dataclasses.replace(row, recipe=other))


def test_changed_lists_labels_and_pictures_are_seen(copy):
    def swap(arrays):
        arrays["ranked"][0, [0, 5]] = arrays["ranked"][0, [5, 0]]

    def twice(arrays):
        arrays["ranked"][1, 1] = arrays["ranked"][1, 0]

    def among(arrays):
        arrays["ranked"][2, 0] = arrays["itself"][2]

    def better(arrays):
        arrays["ap"][0] += 0.01

    def relabel(arrays):
        arrays["gallery_label"][-1] = 1

    for change, key in (
        (swap, "artefacts.queries.whole_ranked"),
        (twice, "artefacts.queries.ranked"),
        (among, "artefacts.queries.ranked"),
        (better, "artefacts.queries.ap"),
        (relabel, "artefacts.queries.relevant"),
        (lambda arrays: arrays.pop("nmrr"), "artefacts.queries"),
        (lambda arrays: arrays.update(ranked=arrays["ranked"][:-1]), "artefacts.queries"),
    ):
        assert key in keys(copy, resaved(copy, "queries", change)), key
    for change, key in (
        (lambda arrays: arrays.update(relevant_hit=~arrays["relevant_hit"]), "artefacts.hits.relevant_hit"),
        (lambda arrays: arrays.update(name_query=arrays["name_query"][::-1]), "artefacts.hits.name_query"),
        (lambda arrays: arrays.update(distance_hit=-arrays["distance_hit"]), "artefacts.hits.distance_hit"),
        (lambda arrays: arrays.pop("row"), "artefacts.hits"),
    ):
        assert keys(copy, resaved(copy, "hits", change)) == {key}
    (row,) = rows.load(copy)
    fewer = {name: path for name, path in row.artefacts.items() if name != "queries"}
    assert keys(copy, dataclasses.replace(row, artefacts=fewer)) == {"artefacts.queries"}
