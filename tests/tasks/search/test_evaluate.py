"""Searches against brute force in float64 and scikit-learn, and the saved index against a new one."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, ndcg_score

from mtsccd_jax.cli import main
from mtsccd_jax.data.file_source import FileSource
from mtsccd_jax.data.folder_source import folder_source
from mtsccd_jax.engine.workdir import Run, claim
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data, Retrieval
from mtsccd_jax.report.rows import load_artefact
from mtsccd_jax.tasks import feature_cache
from mtsccd_jax.tasks.feature_cache import Embedded
from mtsccd_jax.tasks.search import evaluate
from mtsccd_jax.tasks.search.evaluate import evaluate_retrieval, rank_gallery, ranked_rows, retrieve, without
from mtsccd_jax.tasks.search.index import index_path, open_index

LABELS = ("Arable land", "Pastures", "Transitional woodland, shrub", "Marine waters")


@pytest.fixture
def searching(born, scenes):
    """Passes of the newborn network in a work directory of its own, with other retrieval settings."""

    def make(folder=scenes, **settings):
        trained = born()
        recipe = replace(
            trained.recipe, data=replace(trained.recipe.data, folder=str(folder)), retrieval=Retrieval(**settings)
        )
        claim(trained.workdir, Run(recipe, trained.class_names, "folder", 10))
        return Embedded(replace(trained, recipe=recipe))

    return make


@pytest.fixture
def several_labels(monkeypatch, scenes):
    """The scenes with several labels each, some with none, in place of their classes."""

    def open_labelled(data: Data, split: str) -> FileSource:
        source = folder_source(scenes, split, image_size=data.image_size)
        name = source.column("filename")
        random = {text: np.random.default_rng(list(text.encode())).random(len(LABELS)) < 0.3 for text in name}
        columns = {"filename": name, "labels": np.array([random[text] for text in name], np.uint8)}
        return replace(source, columns=columns, names={"labels": LABELS})

    monkeypatch.setattr(feature_cache, "open_source", open_labelled)


def features(passes, split):
    return passes.gallery(split).images["image"].features.astype(np.float64)


def names(passes, split):
    return passes.gallery(split).source.column("filename")


def of_one_query(order, overlap, near, cutoffs):
    """The figures of a query by scikit-learn: `order` ranks the images that `overlap` and `near` (high) are about."""
    hits = overlap[order] > 0
    return {
        "map": average_precision_score(overlap > 0, near),
        "ndcg": ndcg_score([overlap], [near]),
        **{f"precision_at_{k}": hits[:k].sum() / k for k in cutoffs},
        **{f"ndcg_at_{k}": ndcg_score([overlap], [near], k=k) for k in cutoffs},
    }


def check_row(passes, row, split):
    """The artefact `queries`; the row and it are compared with float64 distances and scikit-learn."""
    recipe = passes.trained.recipe
    settings, found = recipe.retrieval, load_artefact(passes.trained.workdir, row, "queries")
    distance = cdist(features(passes, split), features(passes, settings.gallery), settings.metric)
    label, others = found["label"].astype(int), found["gallery_label"].astype(int)
    shared = (label[:, None] == others).astype(int) if label.ndim == 1 else label @ others.T
    same = names(passes, split)[:, None] == names(passes, settings.gallery)
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
    passes = searching(metric=metric, cutoffs=(1, 3))
    row = evaluate_retrieval(passes, "test")
    found = check_row(passes, row, "test")
    assert (found["itself"] == -1).all(), "test and train have no image in common"
    assert row.class_names == ["dark", "plain", "stripes"]
    relevant, g = found["relevant"], len(found["gallery_label"])
    assert row.baseline["precision_at_3"] == pytest.approx((relevant / g).mean())
    assert row.metrics["map"]["value"] > row.baseline["map"], "dark, plain and striped noise differ for any network"


@pytest.mark.parametrize("gallery", ["test", "all"])
def test_queries_in_the_gallery_leave_themselves_out(searching, gallery):
    passes = searching(gallery=gallery, cutoffs=(1, 5))
    found = check_row(passes, evaluate_retrieval(passes, "test"), "test")
    assert (found["itself"] >= 0).all()
    assert not (found["ranked"] == found["itself"][:, None]).any()


def test_a_row_of_several_labels_is_what_brute_force_finds(searching, several_labels):
    passes = searching(gallery="all", cutoffs=(1, 5))
    row = evaluate_retrieval(passes, "validation")
    found = check_row(passes, row, "validation")
    assert row.class_names == list(LABELS)
    assert (found["relevant"] == 0).any(), "some queries have no label"
    hits = load_artefact(passes.trained.workdir, row, "hits")
    every = names(passes, "all")
    for query, label, hit_names, hit_labels, right in zip(
        *(hits[key] for key in ("name_query", "label_query", "name_hit", "label_hit", "relevant_hit")), strict=True
    ):
        place = np.flatnonzero(found["filename"] == query)[0]
        assert set(label.split("; ")) == {LABELS[k] for k in np.flatnonzero(found["label"][place])}
        for name, text, alike in zip(hit_names, hit_labels, right, strict=True):
            there = found["gallery_label"][np.flatnonzero(every == name)[0]]
            assert set(text.split("; ")) - {""} == {LABELS[k] for k in np.flatnonzero(there)}
            assert alike == bool(set(text.split("; ")) & set(label.split("; ")))


def test_example_searches_are_of_every_class_and_the_same_for_every_network(searching, scenes):
    passes = searching()
    row = evaluate_retrieval(passes, "test")
    hits = load_artefact(passes.trained.workdir, row, "hits")
    other = searching(metric="euclidean", cutoffs=(2,))
    again = load_artefact(other.trained.workdir, evaluate_retrieval(other, "test"), "hits")
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
    measured = evaluate.pairwise_distance
    monkeypatch.setattr(
        evaluate, "pairwise_distance", lambda *args: (found := measured(*args), sizes.append(found.size))[0]
    )
    for at_once, by_thread in ((1 << 20, 1 << 20), (150, 100), (1, 1)):
        monkeypatch.setattr(evaluate, "_DISTANCES_AT_ONCE", at_once)
        monkeypatch.setattr(evaluate, "_SORTED_AT_ONCE", by_thread)
        sizes.clear()
        lists = rank_gallery(query, gallery, "euclidean", lambda tile, order_tg, far_tg: (tile, order_tg, far_tg))
        assert max(sizes) <= max(at_once, len(gallery)), "no more distances at once than allowed, or one query's"
        assert [tile.start for tile, _, _ in lists] == np.cumsum([0, *(len(part) for _, part, _ in lists)])[
            :-1
        ].tolist()
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


def forbid_passes(passes, monkeypatch):
    def refuse(*_):
        raise AssertionError("an image went through the network again")

    monkeypatch.setattr(passes, "_pass", refuse)
    return passes


def test_a_saved_index_is_used_again(searching, monkeypatch):
    passes = searching()
    made = open_index(passes, "train")
    assert len(made) == len(folder_source(passes.data.folder, "train"))
    saved = open_index(forbid_passes(Embedded(passes.trained), monkeypatch), "train")
    for name in ("features", "filename", "label", "jpeg", "jpeg_end"):
        np.testing.assert_array_equal(getattr(saved, name), getattr(made, name))
    assert (saved.names, saved.about) == (made.names, made.about)
    assert saved.thumbs(np.array([0, -1]))[1].max() == 0


@pytest.mark.parametrize("what", ["network", "data", "damage", "format"])
def test_an_index_that_does_not_fit_is_made_again(searching, scenes, tmp_path, what, monkeypatch):
    folder = shutil.copytree(scenes, tmp_path / "tree")
    passes = searching(folder)
    made, place = open_index(passes, "train"), index_path(passes, "train")
    trained = passes.trained
    if what == "network":
        trained = replace(trained, state=trained.network.initial(1))
    elif what == "data":
        name = str(made.filename[0])
        (folder / name).rename((folder / name).with_name("a_new_name.png"))
    elif what == "damage":
        place.write_bytes(place.read_bytes()[:-200])
    else:
        monkeypatch.setattr("mtsccd_jax.tasks.search.index._FORMAT", 99)
    again = open_index(Embedded(trained), "train")
    assert again.about != made.about or what == "damage"
    assert np.array_equal(again.features, made.features) == (what in ("damage", "format"))
    saved = open_index(forbid_passes(Embedded(trained), monkeypatch), "train")
    np.testing.assert_array_equal(saved.features, again.features)


def test_an_index_answers_where_the_data_are_gone(searching, scenes, tmp_path):
    folder = shutil.copytree(scenes, tmp_path / "tree")
    passes = searching(folder)
    query = scenes / "dark" / "0.png"
    with_data = retrieve(passes, query, 3)
    shutil.rmtree(folder)
    gone = Embedded(passes.trained)
    assert retrieve(gone, query, 3).hits == with_data.hits
    with pytest.raises(InputError, match="tree"):
        retrieve(Embedded(replace(gone.trained, recipe=other_gallery(gone.trained.recipe))), query, 3)


def test_the_index_of_another_split_does_not_answer_where_the_data_are_gone(searching, scenes, tmp_path):
    folder = shutil.copytree(scenes, tmp_path / "tree")
    passes = searching(folder)
    open_index(passes, "train")
    shutil.rmtree(folder)
    gone = Embedded(passes.trained)
    assert index_path(gone, "train[:]") == index_path(gone, "train"), "their names are alike"
    with pytest.raises(InputError, match="tree"):
        open_index(gone, "train[:]")


def test_the_index_of_another_folder_of_that_name_does_not_answer(searching, scenes, tmp_path):
    passes = searching(shutil.copytree(scenes, tmp_path / "tree"))
    open_index(passes, "train")
    elsewhere = replace(passes.data, folder=str(tmp_path / "typo" / "tree"))
    lost = Embedded(passes.trained, elsewhere)
    assert index_path(lost, "train") == index_path(passes, "train"), "their names are alike"
    with pytest.raises(InputError, match="typo"):
        open_index(lost, "train")


def other_gallery(recipe):
    return replace(recipe, retrieval=replace(recipe.retrieval, gallery="test"))


def test_hits_of_an_image_are_the_nearest_and_its_own_file_is_left_out(searching, scenes, tmp_path, monkeypatch):
    passes = searching(gallery="all")
    far = cdist(features(passes, "all"), features(passes, "all"), "cosine")
    every, row = names(passes, "all"), 17
    found = retrieve(passes, scenes / str(every[row]), 5)
    order = [other for other in np.argsort(far[row], kind="stable") if other != row][:5]
    assert [hit.name for hit in found.hits] == every[order].tolist()
    assert [hit.distance for hit in found.hits] == pytest.approx(far[row][order], rel=1e-3, abs=1e-6)
    assert [hit.labels[0] for hit in found.hits] == [name.partition("/")[0] for name in every[order]]
    assert found.searched == len(every)
    shutil.copy(scenes / str(every[row]), tmp_path / "elsewhere.png")
    elsewhere = retrieve(passes, tmp_path / "elsewhere.png", len(every) + 9)
    assert elsewhere.hits[0].name == every[row]
    assert elsewhere.hits[0].distance == pytest.approx(0, abs=1e-6)
    assert len(elsewhere.hits) == len(every)
    monkeypatch.setattr(evaluate, "SHOWN", 5)
    everything = retrieve(passes, scenes / str(every[row]), len(every))
    assert len(everything.hits) == len(every) - 1
    picture = cv2.imread(str(found.picture))
    assert everything.picture == found.picture
    assert picture.shape[1] < 7 * 128, "no picture of the whole gallery"
    assert found.picture.parent.parent == passes.trained.workdir
    assert picture.shape[1] > 6 * 128, "the query and five hits"


def test_what_cannot_be_searched_is_refused(searching, tmp_path, monkeypatch):
    passes = searching()
    (tmp_path / "text.png").write_text("no image")
    for query, text in ((tmp_path / "none.png", "no such file"), (tmp_path / "text.png", "text.png is damaged or not")):
        with pytest.raises(InputError, match=text):
            retrieve(passes, query, 3)
    with pytest.raises(InputError, match="no split 'city'"):
        evaluate_retrieval(passes, "city")
    with pytest.raises(InputError, match=r"retrieval\.cutoffs=0,5: give lengths of at least 1"):
        evaluate_retrieval(searching(cutoffs=(0, 5)), "test")
    recipe = passes.trained.recipe
    bands = replace(passes.trained, recipe=replace(recipe, data=replace(recipe.data, bands=("B02", "B8A"))))
    with pytest.raises(InputError, match=r"text\.png is not a folder; give that of a patch"):
        retrieve(Embedded(bands), tmp_path / "text.png", 3)
    with pytest.raises(InputError, match=r"no file `\.\.\._B02\.tif` \(2 bands missing\); the folder has no bands"):
        retrieve(Embedded(bands), tmp_path, 3)


def test_images_that_the_network_has_seen_are_searched_but_are_no_queries(searching, several_labels, monkeypatch):
    open_labelled = feature_cache.open_source

    def open_named(data, split):
        source = open_labelled(data, split)
        return replace(source, columns=source.columns | {"s2v1_name": source.column("filename")})

    def refuse(*, trained_on, split, **_):
        raise InputError(f"{split} has patches of {trained_on}")

    monkeypatch.setattr(feature_cache, "open_source", open_named)
    monkeypatch.setattr(feature_cache, "seen_data", lambda workdir: ["bigearthnet_v1"])
    monkeypatch.setattr("tfds_builders.leaks.refuse_leak", refuse)
    passes = searching()
    with pytest.raises(InputError, match="test has patches of bigearthnet_v1"):
        evaluate_retrieval(passes, "test")
    assert len(open_index(passes, "train"))


def test_names_that_do_not_tell_images_apart_are_refused(searching):
    passes = searching()
    index, source = open_index(passes, "train"), passes.gallery("train").source
    twice = replace(index, filename=np.where(np.arange(len(index)) == 1, index.filename[0], index.filename))
    with pytest.raises(InputError, match="2 images of the gallery are called"):
        evaluate.own_rows(source, twice)
    other = replace(index, about={**index.about, "dataset": "folder:other"})
    assert (evaluate.own_rows(source, other) == -1).all(), "images of another data set are other images"


def test_the_command_measures_and_searches(run_copy, demo_run, capsys):
    archive = demo_run[0] / "archive"
    assert main(["retrieve", str(run_copy), "--split", "test_a", "--gallery", "validation", "-q"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert (measured["rows"], measured["gallery"]) == (1, "validation")
    assert set(measured["test_a"]) >= {"map", "ndcg", "anmrr", "map_at_10", "precision_at_10", "ndcg_at_10", "queries"}
    query = next(archive.rglob("*.jpg"))
    assert main(["retrieve", str(run_copy), "--query", str(query), "-k", "3", "--gallery", "validation", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [set(hit) for hit in found["hits"]] == [{"name", "labels", "distance"}] * 3
    assert found["picture"].startswith(str(run_copy.resolve()))
    assert found["query"] == str(query.resolve())
    assert main(["retrieve", str(run_copy), "--query", str(query), "--split", "test_a"]) == 2
    assert "search with one image, or with those of a split" in capsys.readouterr().err
