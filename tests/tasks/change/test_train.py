"""Similarity learning: its loss in plain NumPy, both ways to run, initial weights, and what is refused."""

import json
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.data.sources import open_pairs
from mtsccd_jax.engine.evaluate import embed, load_trained
from mtsccd_jax.engine.export.weights import evaluated_model, write_safetensors
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.state import create
from mtsccd_jax.engine.steps import make_train_step
from mtsccd_jax.engine.workdir import load, read_history, read_validations
from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.network import Output
from mtsccd_jax.models.siamese import PairOutput
from mtsccd_jax.models.weights.mapping import published
from mtsccd_jax.ops.threshold import best_threshold
from mtsccd_jax.recipes.config import Model
from mtsccd_jax.tasks.change.sscd import compare, make_compare_step
from mtsccd_jax.tasks.change.train import balanced_weights, change_entropy, pair_score
from mtsccd_jax.tasks.change.trained_pairs import read_trained_pairs
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.table import open_task
from mtsccd_jax.tasks.train import train


def with_part(recipe, part, **settings):
    return replace(recipe, **{part: replace(getattr(recipe, part), **settings)})


def test_the_loss_is_the_textbook_sum():
    generator = np.random.default_rng(0)
    change, logits = generator.normal(size=6), generator.normal(size=(12, 4))
    batch = {
        "changed": np.array([0, 1, 0, 0, 1, 0]),
        "label_t1": np.array([0, 1, 2, 3, 0, 1]),
        "label_t2": np.array([0, 2, 2, 3, 1, 1]),
    }

    def model(t1, t2):
        return PairOutput(jnp.asarray(change, jnp.float32), Output(jnp.asarray(logits, jnp.float32), None, None))

    loss, right = change_entropy((0.75, 1.5), 0.5, 0.2)(model, {"image_t1": None, "image_t2": None}, batch)
    probability = 1 / (1 + np.exp(-change))
    changed = batch["changed"] == 1
    expected = np.where(changed, -1.5 * np.log(probability), -0.75 * np.log(1 - probability))
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for date, name in enumerate(("label_t1", "label_t2")):
        target = np.full((6, 4), 0.2 / 4)
        target[np.arange(6), batch[name]] += 0.8
        expected -= 0.5 / 2 * (target * log_softmax[date::2]).sum(-1)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_array_equal(right, (change > 0) == changed)


def test_balanced_weights_make_both_kinds_count_alike(pair_recipe):
    pairs = open_pairs(pair_recipe.data, "train")
    changed = pairs.column("changed") == 1
    weight_n = np.where(changed, *reversed(balanced_weights(pairs)))
    assert weight_n[changed].sum() == pytest.approx(weight_n[~changed].sum())
    assert weight_n.mean() == pytest.approx(1)


def two_steps(recipe, mode):
    parallel, task = make_parallel(mode), open_task(recipe)
    network = create(recipe, (), 3, parallel)
    update = parallel.compile_update(make_train_step(network, task.objective, recipe.data, parallel.axis_name))
    state, losses = network.initial(recipe.seed), []
    with Feed(task.train, parallel, "stream").batches(batch_indices(0, 0, len(task.train), 16)[:2]) as batches:
        for batch in batches:
            state, metrics = update(state, batch)
            losses.append(float(metrics["loss"]))
            assert 0 <= float(metrics["accuracy"]) <= 1
    return jax.device_get((state.params, state.statistics)), losses, network, parallel


def test_jit_and_pmap_agree_on_pairs_with_dropout(pair_recipe):
    """AlexNet drops values at random: both dates lose the same ones, however the batch is divided."""
    recipe = with_part(with_part(pair_recipe, "model", name="alexnet", width=0.0625), "data", image_size=64)
    # A large step turns differences in rounding into other winners of a pooling.
    recipe = with_part(recipe, "optim", name="sgd", learning_rate=0.005)
    jitted, jit_losses, network, parallel = two_steps(recipe, "jit")
    mapped, pmap_losses, _, _ = two_steps(recipe, "pmap")
    np.testing.assert_allclose(jit_losses, pmap_losses, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(jitted), jax.tree.leaves(mapped), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    step = parallel.compile_outputs(make_compare_step(network, recipe.data))
    image = np.zeros((16, 64, 64, 3), np.uint8)
    batch = parallel.place({"image_t1": image, "image_t2": image})
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), batch)
    exported = jax.export.export(step, platforms=["cpu", "cuda", "tpu"])(network.abstract(), abstract)
    assert exported.nr_devices == 8


@pytest.fixture(scope="module")
def learned(pair_recipe, tmp_path_factory):
    """The work directory of a similarity network that kept its best epoch."""
    workdir = tmp_path_factory.mktemp("similarity") / "run"
    recipe = with_part(pair_recipe, "engine", keep="best", epochs=3)
    return recipe, workdir, train(recipe, workdir)


def test_a_similarity_network_trains_on_pairs_and_keeps_its_best_kappa(learned, pair_list):
    recipe, workdir, done = learned
    assert done.step == 3 * 3
    history, validations = read_history(workdir), read_validations(workdir, done.step)
    assert len(history) == 9
    assert [item.score_name for item in validations] == ["kappa"] * 3
    assert done.best.score == max(item.score for item in validations)
    trained = load_trained(workdir)
    assert int(trained.state.step) == done.best.step
    validation = open_pairs(recipe.data, "validation")
    compared = compare(FeatureCache(trained), validation)
    distance = compared.values.distance_n
    assert compared.images_per_s > 0
    assert distance.shape == (18,)
    assert compared.values.scores is None, "no scene head was trained"
    assert ((distance > 0) & (distance < 1)).all()
    kappa = best_threshold(distance, validation.column("changed").astype(bool)).value
    assert float(kappa) == pytest.approx(done.best.score, abs=1e-9)
    assert read_trained_pairs(workdir).data == str(pair_list)
    assert read_trained_pairs(workdir).names[0] == ("train_0.png", "train_0.png")


def test_the_score_does_not_depend_on_the_batch(learned):
    recipe, workdir, done = learned
    trained, task = load_trained(workdir), open_task(recipe)
    whole = with_part(recipe, "engine", eval_batch_size=32)
    score = pair_score(whole, trained.network, Feed(task.validation, trained.parallel, "stream"))
    assert score(trained.state) == pytest.approx(done.best.score, abs=1e-9)


def test_single_scenes_are_not_asked_of_a_network_of_pairs(learned, tmp_path):
    recipe, workdir, _ = learned
    trained = load_trained(workdir)
    with pytest.raises(InputError, match="says nothing of single scenes"):
        embed(trained, open_pairs(recipe.data, "test"))
    with pytest.raises(InputError, match="says nothing of single scenes"):
        write_safetensors(trained, tmp_path / "weights.safetensors")


@pytest.fixture(scope="module")
def scene_run(recipe, tmp_path_factory):
    """A scene network of the same kind as the backbone of `pair_recipe`."""
    workdir = tmp_path_factory.mktemp("scene") / "run"
    scene = with_part(replace(recipe, model=Model("scnn", width=0.125)), "engine", epochs=1)
    train(scene, workdir)
    return scene, workdir


def still(recipe, init):
    """The recipe from those weights with a learning rate next to zero: it ends with what it began with."""
    recipe = with_part(recipe, "optim", learning_rate=1e-30)
    return with_part(with_part(recipe, "engine", epochs=1), "model", init=str(init))


def arrays_of(workdir):
    trained = load_trained(workdir)
    return published(evaluated_model(trained), MODELS["scnn"].names[0])


def test_a_network_of_scenes_begins_a_network_of_pairs(pair_recipe, scene_run, tmp_path):
    _, scenes = scene_run
    train(still(pair_recipe, scenes), tmp_path / "run")
    begun, ended = arrays_of(scenes), arrays_of(tmp_path / "run")
    for name, value in begun.items():
        if not name.startswith("fc2"):
            np.testing.assert_array_equal(ended[name], value, err_msg=name)
    assert ended["fc2.weight"].shape != begun["fc2.weight"].shape, "these pairs have no scene labels, so no head"
    assert len(load(tmp_path / "run").weights_sha256) == 64
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    path = tmp_path / "run" / "recipe.json"
    values = json.loads(path.read_text()) | {"weights_sha256": "0" * 64}
    path.write_text(json.dumps({name: value for name, value in values.items() if name != "sha256"}))
    with pytest.raises(InputError, match=r"the weights in model\.init"):
        train(still(pair_recipe, scenes), tmp_path / "run")


def test_a_network_of_the_same_classes_takes_the_head_along(scene_run, tmp_path):
    scene, workdir = scene_run
    train(still(scene, workdir), tmp_path / "run")
    ended = arrays_of(tmp_path / "run")
    for name, value in arrays_of(workdir).items():
        np.testing.assert_array_equal(ended[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("model", "message"),
    [({"name": "resnet18"}, "holds a trained scnn, not the resnet18"), ({"width": 0.25}, "weights of another network")],
)
def test_a_run_of_another_network_is_refused(pair_recipe, scene_run, tmp_path, model, message):
    with pytest.raises(InputError, match=message):
        train(with_part(still(pair_recipe, scene_run[1]), "model", **model), tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_a_frozen_backbone_leaves_what_fuses(pair_recipe, scene_run, tmp_path):
    begun = with_part(with_part(still(pair_recipe, scene_run[1]), "optim", learning_rate=0.01), "engine", epochs=1)
    train(with_part(begun, "optim", freeze=("backbone",), weight_decay=0.1), tmp_path / "run")
    ended = arrays_of(tmp_path / "run")
    for name, value in arrays_of(scene_run[1]).items():
        if not name.startswith("fc2"):
            np.testing.assert_array_equal(ended[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: {key: line[key] for key in ("A", "B", "changed")}, "no pairs of split train, validation.*column"),
        (lambda line: line | {"changed": "0" if line["split"] == "train" else line["changed"]}, "train: all 48 pairs"),
        (lambda line: line | {"changed": "1" if line["split"] == "validation" else line["changed"]}, "are changed"),
    ],
)
def test_pairs_that_cannot_teach_are_refused(pair_recipe, rewritten, tmp_path, change, message):
    data = {"pairs": str(rewritten(tmp_path / "pairs", change))}
    with pytest.raises(InputError, match=message):
        train(with_part(pair_recipe, "data", **data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("similarity", {"scene_weight": 0.5}, "its pairs have no scene labels"),
        ("similarity", {"scene_weight": -1.0}, r"scene_weight=-1\.0: must be 0 or more"),
        ("data", {"folder": "scenes"}, "a folder of scenes; similarity learning takes"),
        ("engine", {"batch_size": 64}, "more than the 48 training pairs"),
    ],
)
def test_settings_that_cannot_be_are_refused(pair_recipe, tmp_path, part, settings, message):
    with pytest.raises(InputError, match=message):
        train(with_part(pair_recipe, part, **settings), tmp_path / "run")
