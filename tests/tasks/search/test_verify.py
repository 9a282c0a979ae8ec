"""Rows of searches are recomputed, and whatever was tampered with is named."""

import dataclasses

import numpy as np
import pytest
from damaged_rows import keys, metric_keys, off, resaved
from made_up_labels import LabelMaker


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(work directory, row of a search); damaged artefacts are written beside its own."""
    path = tmp_path_factory.mktemp("searches")
    return path, LabelMaker(path).retrieval()


def test_every_number_is_checked(made):
    workdir, row = made
    assert keys(workdir, row) == set()
    assert keys(workdir, row, metrics=off(row.metrics)) == metric_keys(row.metrics)
    assert set(row.metrics) > {"map", "ndcg", "anmrr", "map_at_10", "map_at_10_of_found", "ndcg_at_10"}


def test_a_gallery_that_the_first_hits_hold_whole_is_recomputed(tmp_path):
    row = LabelMaker(tmp_path).retrieval(gallery=18, queries=10)
    assert keys(tmp_path, row) == set()
    assert keys(tmp_path, row, metrics=off(row.metrics)) == metric_keys(row.metrics)


def test_a_search_without_anything_relevant_has_no_figures(made):
    """As the evaluation writes it: every metric and chance is null."""
    workdir, row = made

    def part(arrays):
        arrays["label"][:], arrays["gallery_label"][:] = 0, 0
        arrays["relevant"][:] = 0
        for name in ("ap", "ndcg", "nmrr"):
            arrays[name][:] = np.nan

    without = dict.fromkeys(row.baseline) | {"name": "random order"}
    nothing = {name: dict.fromkeys(("value", "low", "high")) for name in row.metrics}
    row = resaved(workdir, row, "queries", part)
    row = dataclasses.replace(row, metrics=nothing, baseline=without, artefacts={"queries": row.artefacts["queries"]})
    assert keys(workdir, row) == set()
    assert keys(workdir, row, baseline=without | {"map": 0.1}) == {"baseline.map"}


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("n", lambda row: {"n": row.n + 1}),
        ("baseline.map", lambda row: {"baseline": row.baseline | {"map": 0.9}}),
        ("published", lambda row: {"published": {"model": "x"}}),
        ("objective", lambda row: {"objective": "f1"}),
        ("metrics.beauty", lambda row: {"metrics": row.metrics | {"beauty": {"value": 1.0, "low": 0, "high": 2}}}),
        ("recipe.retrieval", lambda row: {"recipe": row.recipe | {"retrieval": {"cutoffs": [0], "gain": "overlap"}}}),
        ("recipe.retrieval", lambda row: {"recipe": row.recipe | {"retrieval": {"cutoffs": [1], "gain": "beauty"}}}),
    ],
)
def test_what_is_written_of_a_row_is_checked(made, key, changes):
    workdir, row = made
    assert key in keys(workdir, row, **changes(row))


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


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (swap, "artefacts.queries.whole_ranked"),
        (twice, "artefacts.queries.ranked"),
        (among, "artefacts.queries.ranked"),
        (better, "artefacts.queries.ap"),
        (relabel, "artefacts.queries.relevant"),
        (lambda arrays: arrays.pop("nmrr"), "artefacts.queries"),
        (lambda arrays: arrays.update(ranked=arrays["ranked"][:-1]), "artefacts.queries"),
    ],
)
def test_changed_lists_and_labels_are_seen(made, change, key):
    workdir, row = made
    assert key in keys(workdir, resaved(workdir, row, "queries", change))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda arrays: arrays.update(relevant_hit=~arrays["relevant_hit"]), "artefacts.hits.relevant_hit"),
        (lambda arrays: arrays.update(name_query=arrays["name_query"][::-1]), "artefacts.hits.name_query"),
        (lambda arrays: arrays.update(distance_hit=-arrays["distance_hit"]), "artefacts.hits.distance_hit"),
        (lambda arrays: arrays.pop("row"), "artefacts.hits"),
    ],
)
def test_changed_pictures_are_seen(made, change, key):
    workdir, row = made
    assert keys(workdir, resaved(workdir, row, "hits", change)) == {key}
