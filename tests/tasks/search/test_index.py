"""The saved index against a new one."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from mtsccd_jax.data.folder_source import folder_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.tasks import feature_cache
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.search.index import index_path, open_index


def forbid_embedding(monkeypatch):
    monkeypatch.setattr(feature_cache, "embed", lambda *_: pytest.fail("an image went through the network again"))


def test_a_saved_index_is_used_again(searching, monkeypatch):
    cache = searching()
    made = open_index(cache, "train")
    assert len(made) == len(folder_source(cache.data.folder, "train"))
    forbid_embedding(monkeypatch)
    saved = open_index(FeatureCache(cache.trained), "train")
    for name in ("features", "filename", "label", "jpeg", "jpeg_end"):
        np.testing.assert_array_equal(getattr(saved, name), getattr(made, name))
    assert (saved.names, saved.about) == (made.names, made.about)
    assert saved.thumbs(np.array([0, -1]))[1].max() == 0


@pytest.mark.parametrize("what", ["network", "data", "damage", "format"])
def test_an_index_that_does_not_fit_is_made_again(searching, scenes, tmp_path, what, monkeypatch, caplog):
    folder = shutil.copytree(scenes, tmp_path / "tree")
    cache = searching(folder)
    made, place = open_index(cache, "train"), index_path(cache, "train")
    trained = cache.trained
    if what == "network":
        trained = replace(trained, state=trained.network.initial(1))
    elif what == "data":
        name = str(made.filename[0])
        (folder / name).rename((folder / name).with_name("a_new_name.png"))
    elif what == "damage":
        place.write_bytes(place.read_bytes()[:-200])
    else:
        monkeypatch.setattr("mtsccd_jax.tasks.search.index._FORMAT", 99)
    with caplog.at_level("WARNING"):
        again = open_index(FeatureCache(trained), "train")
    assert [message.startswith(f"{place}: damaged (") for message in caplog.messages] == [True] * (what == "damage")
    assert again.about != made.about or what == "damage"
    assert np.array_equal(again.features, made.features) == (what in ("damage", "format"))
    forbid_embedding(monkeypatch)
    saved = open_index(FeatureCache(trained), "train")
    np.testing.assert_array_equal(saved.features, again.features)


@pytest.mark.parametrize(("split", "where"), [("train[:]", "tree"), ("train", "typo/tree")])
def test_the_index_of_another_split_or_folder_does_not_answer(searching, scenes, tmp_path, split, where):
    folder = shutil.copytree(scenes, tmp_path / "tree")
    cache = searching(folder)
    open_index(cache, "train")
    shutil.rmtree(folder)
    gone = FeatureCache(cache.trained, replace(cache.data, folder=str(tmp_path / where)))
    assert index_path(gone, split) == index_path(cache, "train"), "their names are alike"
    with pytest.raises(InputError, match=where):
        open_index(gone, split)
