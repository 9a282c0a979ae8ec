"""Exported weights and programs, and trainings that begin with published weights."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mtsccd_jax.data.bands import normalize
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.engine.export import evaluated_model, write_safetensors, write_stablehlo
from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.weights.mapping import published
from mtsccd_jax.tasks.train import train


@pytest.fixture(scope="module")
def first_run(recipe, tmp_path_factory):
    """Return the folder of a trained network and of its exported weights."""
    folder = tmp_path_factory.mktemp("first")
    train(recipe, folder / "run")
    write_safetensors(load_trained(folder / "run"), folder / "weights.safetensors")
    return folder


def test_a_program_names_the_extra_that_writes_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"flatbuffers, .*: pip install 'mtsccd-jax\[export\]'"):
        write_stablehlo(None, tmp_path / "program")


def starting_with(recipe, path, **settings):
    """Return the recipe with those weights and a learning rate next to zero: it ends with what it began with."""
    model = replace(recipe.model, init=str(path))
    optim = replace(recipe.optim, learning_rate=1e-30, weight_decay=0.0)
    return replace(recipe, model=model, optim=optim, engine=replace(recipe.engine, epochs=1), **settings)


def arrays_of(workdir):
    trained = load_trained(workdir)
    return published(evaluated_model(trained), MODELS[trained.recipe.model.name].names[0])


def assert_same_parameters(one, other):
    """Compare the arrays of the same names, except batch statistics, which change at any learning rate."""
    for name in one.keys() & other.keys():
        if "running" not in name:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_exported_weights_are_read_back_unchanged(recipe, first_run, tmp_path):
    path = first_run / "weights.safetensors"
    train(starting_with(recipe, path), tmp_path / "run")
    stored, ended = load_file(path), arrays_of(tmp_path / "run")
    assert ended.keys() == stored.keys()
    assert_same_parameters(ended, stored)
    run = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert len(run["weights_sha256"]) == 64


def test_a_run_continues_without_its_weight_file_but_not_with_another(recipe, first_run, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes((first_run / "weights.safetensors").read_bytes())
    begun = starting_with(recipe, path)
    done = train(begun, tmp_path / "run")
    path.unlink()
    assert train(begun, tmp_path / "run").step == done.step
    with pytest.raises(InputError, match=r"model\.init \("):
        train(recipe, tmp_path / "run")
    arrays = load_file(first_run / "weights.safetensors")
    save_file({name: value + 1 for name, value in arrays.items()}, path)
    for checkpoint in (tmp_path / "run" / "checkpoints").iterdir():
        checkpoint.rename(tmp_path / f"gone-{checkpoint.name}")
    with pytest.raises(InputError, match="another file of that name"):
        train(begun, tmp_path / "run")


def test_weights_of_another_shape_leave_the_work_directory_alone(recipe, first_run, tmp_path):
    recipe = starting_with(recipe, first_run / "weights.safetensors")
    recipe = replace(recipe, model=replace(recipe.model, width=0.125))
    with pytest.raises(InputError, match="of another shape"):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_a_new_hidden_layer_is_exported_and_read_back(recipe, first_run, tmp_path):
    path = first_run / "weights.safetensors"
    recipe = replace(recipe, model=replace(recipe.model, hidden=6))
    train(starting_with(recipe, path), tmp_path / "first")
    stored, begun = load_file(path), arrays_of(tmp_path / "first")
    heads = {f"fc.{layer}.{array}" for layer in ("hidden", "output") for array in ("weight", "bias")}
    assert begun.keys() - stored.keys() == heads
    assert begun["fc.hidden.weight"].shape == (6, stored["fc.weight"].shape[1])
    assert_same_parameters(begun, stored)
    write_safetensors(load_trained(tmp_path / "first"), tmp_path / "deep.safetensors")
    again = replace(starting_with(recipe, tmp_path / "deep.safetensors"), seed=recipe.seed + 1)
    train(again, tmp_path / "again")
    ended = arrays_of(tmp_path / "again")
    assert ended.keys() == begun.keys()
    assert_same_parameters(ended, begun)


def test_the_exported_program_gives_the_outputs_of_the_network(first_run, tmp_path):
    trained = load_trained(first_run / "run")
    write_stablehlo(trained, tmp_path / "model.stablehlo")
    program = jax.export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    model, data = evaluated_model(trained), trained.recipe.data
    forward = jax.jit(lambda model, image: model(image))
    for n in (1, 5):
        image = np.random.default_rng(n).integers(0, 255, (n, 32, 32, 3), dtype=np.uint8)
        answer = program.call(image)
        output = forward(model, normalize(image, data))
        np.testing.assert_allclose(answer["logits"], output.logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(answer["features"], output.features, rtol=1e-4, atol=1e-5)
