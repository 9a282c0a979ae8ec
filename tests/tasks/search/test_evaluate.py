"""Rows of searches against brute force in float64 and scikit-learn."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, ndcg_score

from mtsccd_jax.cli import main
from mtsccd_jax.errors import InputError
from mtsccd_jax.report.rows import load_artefact
from mtsccd_jax.tasks import feature_cache
from mtsccd_jax.tasks.labels import source
from mtsccd_jax.tasks.search import evaluate as module
from mtsccd_jax.tasks.search.evaluate import evaluate, own_rows, rank_gallery, ranked_rows, without
from mtsccd_jax.tasks.search.index import open_index, search_source


def features(cache, split):
    return cache.features(search_source(cache, split)).values["image"].features.astype(np.float64)


def names(cache, split):
    return search_source(cache, split).column("filename")


def of_one_query(order, overlap, near, cutoffs):
    """The figures of a query by scikit-learn: `order` ranks the images that `overlap` and `near` (high) are about."""
    hits = overlap[order] > 0
    return {
        "map": average_precision_score(overlap > 0, near),
        "ndcg": ndcg_score([overlap], [near]),
        **{f"precision_at_{k}": hits[:k].sum() / k for k in cutoffs},
        **{f"ndcg_at_{k}": ndcg_score([overlap], [near], k=k) for k in cutoffs},
    }


def check_row(cache, row, split):
    """The artefact `queries`; the row and it are compared with float64 distances and scikit-learn."""
    recipe = cache.trained.recipe
    settings, found = recipe.retrieval, load_artefact(cache.trained.workdir, row, "queries")
    distance = cdist(features(cache, split), features(cache, settings.gallery), settings.metric)
    label, others = found["label"].astype(int), found["gallery_label"].astype(int)
    shared = (label[:, None] == others).astype(int) if label.ndim == 1 else label @ others.T
    same = names(cache, split)[:, None] == names(cache, settings.gallery)
    np.testing.assert_array_equal(found["itself"], np.where(same.any(1), same.argmax(1), -1))
    figures = []
    for query, own in enumerate(found["itself"]):
        kept = np.flatnonzero(np.arange(distance.shape[1]) != own)
        overlap, near = shared[query, kept], -distance[query, kept]
        order = np.argsort(-near, kind="stable")
        listed = np.pad(kept[order], (0, int(own >= 0)), constant_values=-1)
        np.testing.assert_array_equal(found["ranked"][query], listed[: found["ranked"].shape[1]])
        for whole in found["whole_ranked"][found["whole_row"] == query]:
            np.testing.assert_array_equal(whole, listed)
        assert found["relevant"][query] == np.count_nonzero(overlap)
        if not overlap.any():
            assert np.isnan([found[name][query] for name in ("ap", "ndcg", "nmrr")]).all()
            continue
        figures.append(of_one_query(order, overlap, near, settings.cutoffs))
        for saved, name in (("ap", "map"), ("ndcg", "ndcg")):
            assert found[saved][query] == pytest.approx(figures[-1][name], abs=1e-12)
    random, n = np.random.default_rng(recipe.seed), len(figures)
    draws = [random.integers(0, n, n) for _ in range(recipe.evaluation.resamples)]
    for name in figures[0]:
        value = np.array([figure[name] for figure in figures])
        low, high = np.quantile([value[rows].mean() for rows in draws], (0.025, 0.975))
        assert row.metrics[name] == pytest.approx({"value": value.mean(), "low": low, "high": high}, abs=1e-12)
    assert row.metrics["anmrr"]["value"] == pytest.approx(np.nanmean(found["nmrr"]))
    assert (row.n, row.confusion, row.protocol) == (len(distance), [], "retrieval")
    assert found["whole_row"].tolist() == list(range(len(distance))), "of a small search all lists are kept whole"
    return found


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_row_of_classes_is_what_brute_force_finds(searching, metric):
    cache = searching(metric=metric, cutoffs=(1, 3))
    row = evaluate(cache, "test")
    found = check_row(cache, row, "test")
    assert (found["itself"] == -1).all(), "test and train have no image in common"
    assert row.class_names == ["dark", "plain", "stripes"]
    relevant, g = found["relevant"], len(found["gallery_label"])
    assert row.baseline["precision_at_3"] == pytest.approx((relevant / g).mean())
    assert row.metrics["map"]["value"] > row.baseline["map"], "dark, plain and striped noise differ for any network"


@pytest.mark.parametrize("gallery", ["test", "all"])
def test_queries_in_the_gallery_leave_themselves_out(searching, gallery):
    cache = searching(gallery=gallery, cutoffs=(1, 5))
    found = check_row(cache, evaluate(cache, "test"), "test")
    assert (found["itself"] >= 0).all()
    assert not (found["ranked"] == found["itself"][:, None]).any()


def test_a_row_of_several_labels_is_what_brute_force_finds(searching, several_labels):
    cache = searching(gallery="all", cutoffs=(1, 5))
    row = evaluate(cache, "validation")
    found = check_row(cache, row, "validation")
    labels = row.class_names
    assert len(labels) == 4
    assert (found["relevant"] == 0).any(), "some queries have no label"
    hits = load_artefact(cache.trained.workdir, row, "hits")
    every = names(cache, "all")
    for query, label, hit_names, hit_labels, right in zip(
        *(hits[key] for key in ("name_query", "label_query", "name_hit", "label_hit", "relevant_hit")), strict=True
    ):
        place = np.flatnonzero(found["filename"] == query)[0]
        assert set(label.split("; ")) == {labels[k] for k in np.flatnonzero(found["label"][place])}
        for name, text, alike in zip(hit_names, hit_labels, right, strict=True):
            there = found["gallery_label"][np.flatnonzero(every == name)[0]]
            assert set(text.split("; ")) - {""} == {labels[k] for k in np.flatnonzero(there)}
            assert alike == bool(set(text.split("; ")) & set(label.split("; ")))


def test_example_searches_are_of_every_class_and_the_same_for_every_network(searching, scenes):
    cache = searching()
    row = evaluate(cache, "test")
    hits = load_artefact(cache.trained.workdir, row, "hits")
    other = searching(metric="euclidean", cutoffs=(2,))
    again = load_artefact(other.trained.workdir, evaluate(other, "test"), "hits")
    np.testing.assert_array_equal(hits["row"], again["row"])
    assert set(hits["label_query"][:3]) == {"dark", "plain", "stripes"}
    np.testing.assert_array_equal(hits["relevant_hit"], hits["label_hit"] == hits["label_query"][:, None])
    assert (np.diff(hits["distance_hit"], axis=1) >= 0).all()
    picture = cv2.imread(str(scenes / hits["name_query"][0]), cv2.IMREAD_COLOR_RGB)
    assert np.abs(hits["thumb_query"][0].astype(float).mean() - picture.mean()) < 2
    picture = cv2.imread(str(scenes / hits["name_hit"][0, 0]), cv2.IMREAD_COLOR_RGB)
    assert np.abs(hits["thumb_hit"][0, 0].astype(float).mean() - picture.mean()) < 2
    assert hits["thumb_hit"].shape[2:] == hits["thumb_query"].shape[1:] == (96, 96, 3)


def test_lists_are_those_of_a_stable_sort_whatever_the_tiles(monkeypatch):
    random = np.random.default_rng(0)
    gallery = random.normal(size=(50, 8)).astype(np.float32)
    gallery[30:] = gallery[:20]  # equal distances
    query = np.concatenate([random.normal(size=(7, 8)).astype(np.float32), gallery[:4]])
    order = np.argsort(cdist(query, gallery).round(6), 1, kind="stable")
    sizes = []
    measured = module.pairwise_distance
    monkeypatch.setattr(
        module, "pairwise_distance", lambda *args: (found := measured(*args), sizes.append(found.size))[0]
    )
    for at_once, by_thread in ((1 << 20, 1 << 20), (150, 100), (1, 1)):
        monkeypatch.setattr(module, "_DISTANCES_AT_ONCE", at_once)
        monkeypatch.setattr(module, "_SORTED_AT_ONCE", by_thread)
        sizes.clear()
        lists = rank_gallery(query, gallery, "euclidean", lambda tile, order_tg, far_tg: (tile, order_tg, far_tg))
        assert max(sizes) <= max(at_once, len(gallery)), "no more distances at once than allowed, or one query's"
        ends = np.cumsum([len(part) for _, part, _ in lists])
        assert [tile.start for tile, _, _ in lists] == [0, *ends[:-1]]
        np.testing.assert_array_equal(np.concatenate([part for _, part, _ in lists]), order)
        far = np.concatenate([part for _, _, part in lists])
        np.testing.assert_allclose(far, np.sort(cdist(query, gallery), 1), atol=1e-5)


def test_zeros_of_either_sign_are_equal():
    order, distance = ranked_rows(np.array([[0.0, -0.0, 2.0, 1e-40, 0.0, np.inf]], np.float32))
    assert order.tolist() == [[0, 1, 4, 3, 2, 5]]
    assert distance.tolist() == [[0, 0, 0, pytest.approx(1e-40, rel=1e-4), 2, np.inf]]


def test_what_is_left_out_of_a_list():
    lists = np.array([[3, 1, 2, 0], [0, 1, 2, 3], [2, 3, 1, 0]])
    place = np.array([1, 4, 3])
    assert without(lists, place, 9, -1).tolist() == [[3, 2, 0, -1], [0, 1, 2, 3], [2, 3, 1, -1]]
    assert without(lists, place, 2, -1).tolist() == [[3, 2], [0, 1], [2, 3]]


def test_images_that_the_network_has_seen_are_searched_but_are_no_queries(searching, several_labels, monkeypatch):
    open_labelled = feature_cache.open_source

    def open_named(data, split):
        source = open_labelled(data, split)
        return replace(source, columns=source.columns | {"s2v1_name": source.column("filename")})

    def refuse(*, trained_on, split, **_):
        raise InputError(f"{split} has patches of {trained_on}")

    monkeypatch.setattr(feature_cache, "open_source", open_named)
    monkeypatch.setattr(source, "seen_data", lambda workdir: ["bigearthnet_v1"])
    monkeypatch.setattr("tfds_builders.leaks.refuse_leak", refuse)
    cache = searching()
    with pytest.raises(InputError, match="test has patches of bigearthnet_v1"):
        evaluate(cache, "test")
    assert len(open_index(cache, "train"))


def test_names_that_do_not_tell_images_apart_are_refused(searching):
    cache = searching()
    index, queries = open_index(cache, "train"), search_source(cache, "train")
    twice = replace(index, filename=np.where(np.arange(len(index)) == 1, index.filename[0], index.filename))
    with pytest.raises(InputError, match="2 images of the gallery are called"):
        own_rows(queries, twice)
    other = replace(index, about={**index.about, "dataset": "folder:other"})
    assert (own_rows(queries, other) == -1).all(), "images of another data set are other images"


def test_the_command_measures(run_copy, capsys):
    assert main(["retrieve", str(run_copy), "--split", "test_a", "--gallery", "validation", "-q"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert (measured["rows"], measured["gallery"]) == (1, "validation")
    assert set(measured["test_a"]) >= {"map", "ndcg", "anmrr", "map_at_10", "precision_at_10", "ndcg_at_10", "queries"}


def test_what_cannot_be_searched_is_refused(searching):
    with pytest.raises(InputError, match="no split 'city'"):
        evaluate(searching(), "city")
