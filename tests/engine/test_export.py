"""Exported weights and programs, and trainings that begin with published weights."""

import json
import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from onnx_runtime import outputs_of, session_of
from safetensors.numpy import load_file, save_file

from mtsccd_jax.data.bands import normalize
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.engine.export.arrays import ARRAYS
from mtsccd_jax.engine.export.forward import facts
from mtsccd_jax.engine.export.onnx_model import write_onnx
from mtsccd_jax.engine.export.stablehlo import read_stablehlo, readable_until, write_stablehlo
from mtsccd_jax.engine.export.weights import evaluated_model, write_safetensors
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


@pytest.mark.parametrize(
    ("write", "package", "extra"), [(write_stablehlo, "flatbuffers", "export"), (write_onnx, "onnx", "onnx")]
)
def test_a_program_names_the_extra_that_writes_it(monkeypatch, tmp_path, write, package, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"{package}, .*: pip install 'mtsccd-jax\[{extra}\]'"):
        write(None, tmp_path / "program")


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


@pytest.fixture(scope="module")
def trained(first_run):
    return load_trained(first_run / "run")


@pytest.fixture(scope="module")
def programs(trained, tmp_path_factory):
    """Return a folder with the network in both formats."""
    folder = tmp_path_factory.mktemp("programs")
    write_stablehlo(trained, folder / "model.stablehlo")
    write_onnx(trained, folder / "model.onnx")
    return folder


def test_exported_programs_give_the_outputs_of_the_network(trained, programs):
    program, session = read_stablehlo(programs / "model.stablehlo"), session_of((programs / "model.onnx").read_bytes())
    assert program.platforms == ("cpu", "cuda", "tpu")
    model, data = evaluated_model(trained), trained.recipe.data
    forward = jax.jit(lambda model, image: model(image))
    for n in (1, 5):
        image = np.random.default_rng(n).integers(0, 255, (n, 32, 32, 3), dtype=np.uint8)
        output = forward(model, normalize(image, data))
        for answer in (program.call(image), outputs_of(session, image=image)):
            np.testing.assert_allclose(answer["logits"], output.logits, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(answer["features"], output.features, rtol=1e-4, atol=1e-5)


def test_an_onnx_model_says_what_it_takes_and_gives(trained, programs):
    session = session_of((programs / "model.onnx").read_bytes())
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["batch", 32, 32, 3])
    assert {output.name: output.shape[0] for output in session.get_outputs()} == dict.fromkeys(
        ("features", "logits"), "batch"
    )
    told = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    assert told["class_names"] == {"0": "dark", "1": "plain", "2": "stripes"}
    assert (told["mean"], told["std"]) == (list(trained.recipe.data.mean), list(trained.recipe.data.std))
    assert (told["standardization_mean"], told["standardization_std"]) == ([0] * 3, [1] * 3), "nothing is left to do"
    assert told["tile_size"] == told["tiles_size"] == told["image_size"] == 32
    assert (told["model"], told["task"]) == (trained.recipe.model.name, "scene classification")
    assert "resolution" not in told, "the pixels of a folder have any size on the ground"


@pytest.mark.parametrize(
    ("settings", "metres", "bands", "units"),
    [
        ({"dataset": "mtsccd_lusc", "image_size": 150}, 2, ["red", "green", "blue"], ["share of 255"] * 3),
        ({"dataset": "mlrsnet"}, None, ["red", "green", "blue"], ["share of 255"] * 3),
        (
            {"dataset": "bigearthnet_v2/s2:1.0.0", "image_size": 120, "bands": ("VV", "B04"), "mean": (), "std": ()},
            *(10, ["VV", "B04"], ["dB", "reflectance x 10000"]),
        ),
    ],
)
def test_facts_tell_the_size_of_a_pixel_and_the_units_of_its_channels(trained, settings, metres, bands, units):
    data = replace(trained.recipe.data, folder=None, **settings)
    found = facts(replace(trained, recipe=replace(trained.recipe, data=data)))
    assert found.get("ground_sample_distance_m") == metres
    assert (found["bands"], found["units"]) == (bands, units)


def test_what_has_no_place_in_an_onnx_file_is_named_in_one_line(trained, tmp_path, monkeypatch):
    monkeypatch.delitem(ARRAYS, "max")
    with pytest.raises(InputError, match=r"JAX's operation 'max' has no place in an ONNX file; take --format stablehl"):
        write_onnx(trained, tmp_path / "model.onnx")
    monkeypatch.setattr("mtsccd_jax.engine.export.onnx_model.MOST_BYTES", 1000)
    with pytest.raises(InputError, match=r"holds less than 2 GiB and these weights are 0\.0; take --format stablehlo"):
        write_onnx(trained, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_program_tells_who_wrote_it_and_until_when_it_is_readable(programs):
    told = json.loads((programs / "model.stablehlo.json").read_text())
    assert (told["jax"], told["readable_until"]) == (jax.__version__, readable_until(jax.__version__))
    assert told["class_names"] == ["dark", "plain", "stripes"]


@pytest.mark.parametrize(
    ("version", "until"), [("0.10.2", "2026-12-17"), ("0.11.1", "2027-02-17"), ("0.12.0", "2027-04-16"), ("9.0", None)]
)
def test_half_a_year_counts_from_the_build_of_jax(version, until):
    assert readable_until(version) == until


@pytest.mark.parametrize(
    ("described", "history"),
    [
        (
            '{"jax": "0.10.0", "readable_until": "2026-10-16"}',
            " (written by JAX 0.10.0, readable by a JAX built until 2026-10-16)",
        ),
        (
            '{"jax": "9.0", "readable_until": null}',
            " (written by JAX 9.0, readable by a JAX built up to 6 months after it)",
        ),
        *(("[]", ""), ("{", ""), (None, "")),
    ],
)
@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_program_that_jax_cannot_read_names_its_writer(programs, tmp_path, described, history, kept):
    content = (programs / "model.stablehlo").read_bytes()
    (tmp_path / "old").write_bytes(content[:kept] or b"no program")
    if described is not None:
        (tmp_path / "old.json").write_text(described)
    line = re.escape(f"{tmp_path / 'old'}: JAX {jax.__version__} cannot read it{history}: ") + ".*; export it again"
    with pytest.raises(InputError, match=f"^{line}$"):
        read_stablehlo(tmp_path / "old")
