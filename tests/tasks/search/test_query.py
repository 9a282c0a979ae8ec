"""Searches with one image, against brute force in float64."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mtsccd_jax.cli import main
from mtsccd_jax.errors import InputError
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.search import query as module
from mtsccd_jax.tasks.search.index import search_source
from mtsccd_jax.tasks.search.query import retrieve


def other_gallery(recipe):
    return replace(recipe, retrieval=replace(recipe.retrieval, gallery="test"))


def test_an_index_answers_where_the_data_are_gone(searching, scenes, tmp_path):
    folder = shutil.copytree(scenes, tmp_path / "tree")
    cache = searching(folder)
    query = scenes / "dark" / "0.png"
    with_data = retrieve(cache, query, 3)
    shutil.rmtree(folder)
    gone = FeatureCache(cache.trained)
    assert retrieve(gone, query, 3).hits == with_data.hits
    with pytest.raises(InputError, match="tree"):
        retrieve(FeatureCache(replace(gone.trained, recipe=other_gallery(gone.trained.recipe))), query, 3)


def test_hits_of_an_image_are_the_nearest_and_its_own_file_is_left_out(searching, scenes, tmp_path, monkeypatch):
    cache = searching(gallery="all")
    gallery = search_source(cache, "all")
    features = cache.features(gallery).values["image"].features.astype(np.float64)
    far, every, row = cdist(features, features, "cosine"), gallery.column("filename"), 17
    found = retrieve(cache, scenes / str(every[row]), 5)
    order = [other for other in np.argsort(far[row], kind="stable") if other != row][:5]
    assert [hit.name for hit in found.hits] == every[order].tolist()
    assert [hit.distance for hit in found.hits] == pytest.approx(far[row][order], rel=1e-3, abs=1e-6)
    assert [hit.labels[0] for hit in found.hits] == [name.partition("/")[0] for name in every[order]]
    assert found.searched == len(every)
    shutil.copy(scenes / str(every[row]), tmp_path / "elsewhere.png")
    elsewhere = retrieve(cache, tmp_path / "elsewhere.png", len(every) + 9)
    assert elsewhere.hits[0].name == every[row]
    assert elsewhere.hits[0].distance == pytest.approx(0, abs=1e-6)
    assert len(elsewhere.hits) == len(every)
    monkeypatch.setattr(module, "SHOWN", 5)
    everything = retrieve(cache, scenes / str(every[row]), len(every))
    assert len(everything.hits) == len(every) - 1
    picture = cv2.imread(str(found.picture))
    assert everything.picture == found.picture
    assert picture.shape[1] < 7 * 128, "no picture of the whole gallery"
    assert found.picture.parent.parent == cache.trained.workdir
    assert picture.shape[1] > 6 * 128, "the query and five hits"


def test_what_is_no_query_is_refused(searching, tmp_path):
    cache = searching()
    (tmp_path / "text.png").write_text("no image")
    for query, text in ((tmp_path / "none.png", "no such file"), (tmp_path / "text.png", "text.png is damaged or not")):
        with pytest.raises(InputError, match=text):
            retrieve(cache, query, 3)
    recipe = cache.trained.recipe
    bands = replace(cache.trained, recipe=replace(recipe, data=replace(recipe.data, bands=("B02", "B8A"))))
    with pytest.raises(InputError, match=r"text\.png is not a folder; give that of a patch"):
        retrieve(FeatureCache(bands), tmp_path / "text.png", 3)
    with pytest.raises(InputError, match=r"no file `\.\.\._B02\.tif` \(2 bands missing\); the folder has no bands"):
        retrieve(FeatureCache(bands), tmp_path, 3)


def test_the_command_searches(run_copy, demo_run, capsys):
    query = next((demo_run[0] / "archive").rglob("*.jpg"))
    assert main(["retrieve", str(run_copy), "--query", str(query), "-k", "3", "--gallery", "validation", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [set(hit) for hit in found["hits"]] == [{"name", "labels", "distance"}] * 3
    assert found["picture"].startswith(str(run_copy.resolve()))
    assert found["query"] == str(query.resolve())
    assert main(["retrieve", str(run_copy), "--query", str(query), "--split", "test_a"]) == 2
    assert "search with one image, or with those of a split" in capsys.readouterr().err
