"""SSCD: that it learns, and which pairs it refuses."""

from dataclasses import replace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tfds_builders
from mtsccd_jax.data.sources import open_pairs
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.recipes.config import Data, Engine, Evaluation, Model, Optim, Recipe, Similarity
from mtsccd_jax.report.rows import load, load_artefact
from mtsccd_jax.tasks.change.evaluate import detect
from mtsccd_jax.tasks.change.sscd import compare, sscd
from mtsccd_jax.tasks.change.trained_pairs import read_trained_pairs
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.train import train
from tfds_builders import synthetic


def test_it_learns_from_a_generated_archive(tmp_path):
    """Two cities that it has not seen: kappa well above 0, and the transition of changed pairs named by its head."""
    synthetic.write_archive(tmp_path / "archive", scale=0.01, image_size=32, seed=0)
    tfds_builders.build("mtsccd_lucd", archive=tmp_path / "archive", data_dir=tmp_path / "tfds", config="official")
    recipe = Recipe(
        name="tiny",
        summary="for tests",
        data=Data(data_dir=str(tmp_path / "tfds"), image_size=32),
        model=Model("scnn", width=0.25, task="similarity"),
        optim=Optim("adamw", learning_rate=3e-3),
        engine=Engine(batch_size=32, epochs=6, eval_batch_size=64, keep="best"),
        evaluation=Evaluation(resamples=50),
        similarity=Similarity(width=32, scene_weight=0.5),
    )
    train(recipe, tmp_path / "run")
    cache = FeatureCache(load_trained(tmp_path / "run"))
    rows = detect(cache, ("sscd",), "kappa", splits=("test_a", "test_b"))
    assert [(row.protocol, row.split, row.threshold_from) for row in rows] == [
        ("sscd", "test_a", "validation"),
        ("sscd", "test_b", "validation"),
    ]
    assert min(row.metrics["kappa"]["value"] for row in rows) > 0.3
    assert [row.id for row in load(tmp_path / "run")] == [row.id for row in rows]
    found = load_artefact(tmp_path / "run", rows[0], "predictions")
    np.testing.assert_array_equal(found["predicted"], found["distance"] >= rows[0].threshold)
    moved = found["prediction_t1"] != found["prediction_t2"]
    np.testing.assert_array_equal(moved, found["predicted"])
    assert 0 <= rows[0].metrics["transition"]["value"] <= 1


@pytest.fixture(scope="module")
def learned(pair_recipe, tmp_path_factory):
    """A similarity network of the pair list."""
    workdir = tmp_path_factory.mktemp("learned") / "run"
    train(pair_recipe, workdir)
    return load_trained(workdir)


def test_the_threshold_is_that_of_the_validation_pairs(learned):
    data = learned.recipe.data
    cache = FeatureCache(learned)
    row = sscd(cache, "test", "f1")
    assert (row.split, row.objective, row.n, sum(row.confusion[1])) == ("test", "f1", 18, 6)
    validation, test = open_pairs(data, "validation"), open_pairs(data, "test")
    known = compare(cache, validation).values.distance_n
    chosen = best_threshold(known, validation.column("changed").astype(bool), "f1").threshold
    assert row.threshold == pytest.approx(float(chosen))
    distance = compare(cache, test).values.distance_n
    found = load_artefact(learned.workdir, row, "predictions")
    np.testing.assert_array_equal(found["distance"], distance)
    np.testing.assert_array_equal(found["predicted"], distance >= chosen)
    assert "prediction_t1" not in found, "no scene head was trained"


def elsewhere(learned, rewritten, folder):
    """A copy of the pair list at another place, without its splits."""
    found = rewritten(folder, lambda line: {name: line[name] for name in ("A", "B", "changed")})
    return replace(learned.recipe.data, pairs=str(found))


@pytest.mark.parametrize(("split", "known"), [("train", 48), ("all", 48)])
def test_pairs_that_it_learned_from_are_refused(learned, split, known):
    with pytest.raises(InputError, match=f"{split}: the network of .* has learned from {known} of these"):
        detect(FeatureCache(learned), ["sscd"], "kappa", splits=[split])


def test_pairs_that_it_learned_from_are_known_at_another_place(learned, rewritten, tmp_path):
    moved = elsewhere(learned, rewritten, tmp_path / "moved")
    with pytest.raises(InputError, match="has learned from 48 of these 84 pairs"):
        sscd(FeatureCache(learned, moved), "all", "kappa")


def test_other_pairs_of_the_same_names_are_decided_by_cross_validation(learned, rewritten, tmp_path):
    others = elsewhere(learned, rewritten, tmp_path / "others")
    for path in (tmp_path / "others").glob("[AB]/*.png"):
        cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    row = sscd(FeatureCache(learned, others), "all", "kappa")
    assert (row.split, row.n, row.threshold_from) == ("all", 84, "cross_validation_5")


def test_a_network_of_scenes_is_not_asked(recipe, pair_recipe, tmp_path):
    scene = replace(recipe, model=Model("scnn", width=0.125), engine=replace(recipe.engine, epochs=1))
    train(scene, tmp_path)
    with pytest.raises(InputError, match="classifies scenes; SSCD needs a network trained on pairs"):
        sscd(FeatureCache(load_trained(tmp_path), pair_recipe.data), "test", "kappa")


def test_outputs_that_are_not_finite_end_with_one_line(learned):
    params = jax.tree.map(lambda values: values * jnp.nan, learned.state.params)
    broken = replace(learned, state=replace(learned.state, params=params))
    with pytest.raises(RunError, match=r"the network's change of .*, test, are not finite; lower optim\.learning_rate"):
        compare(FeatureCache(broken), open_pairs(learned.recipe.data, "test"))


def test_a_run_without_the_list_of_its_pairs_is_refused(tmp_path):
    with pytest.raises(InputError, match="nobody can say which pairs are new"):
        read_trained_pairs(tmp_path)
