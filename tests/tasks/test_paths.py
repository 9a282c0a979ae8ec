"""Every public function takes paths as text, and a trained run is used from any folder, also after it was moved."""

import logging
import os
from dataclasses import replace

import pytest

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.engine.export.weights import write_safetensors
from mtsccd_jax.engine.loop import fit
from mtsccd_jax.recipes.config import Evaluation, Model
from mtsccd_jax.report.rows import load
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.predict import embed_to_file, predict
from mtsccd_jax.tasks.scenes.evaluate import evaluate
from mtsccd_jax.tasks.search.query import retrieve
from mtsccd_jax.tasks.table import open_task
from mtsccd_jax.tasks.train import train


@pytest.fixture
def project(recipe, scenes, tmp_path, monkeypatch):
    """A project folder with scenes, as the working directory, and a recipe of one epoch that names them relative."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    os.symlink(scenes, "scenes")
    small = replace(recipe, data=replace(recipe.data, folder="scenes"), model=Model("scnn", width=0.125))
    return replace(small, engine=replace(recipe.engine, epochs=1), evaluation=Evaluation(resamples=5))


def test_paths_are_text_and_runs_move(project, tmp_path, monkeypatch, caplog):
    fit(project, open_task(project), "runs/x")
    with caplog.at_level(logging.INFO):
        step = train(project, "runs/x").step
    assert f"finished already: nothing is left to train after step {step}" in caplog.messages
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project").rename(tmp_path / "moved")
    trained = load_trained("moved/runs/x")
    cache = FeatureCache(trained)
    assert evaluate(cache, "test").n == len(open_source(trained.recipe.data, "test"))
    assert len(load("moved/runs/x")) == 1
    query = "moved/scenes/dark/0.png"
    assert retrieve(cache, query, 2).picture.is_file()
    predict(trained, "moved/scenes/dark", "labels.csv")
    embed_to_file(trained, open_source(trained.recipe.data, "test"), "features.npz")
    write_safetensors(trained, "weights.safetensors")
    for name in ("labels.csv", "features.npz", "weights.safetensors"):
        assert os.path.getsize(name) > 0
