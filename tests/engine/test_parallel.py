"""jit and pmap, over one device or eight, give the same training; devices that are missing are named."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from training import assert_close

from mtsccd_jax import cli
from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import find_devices, make_parallel
from mtsccd_jax.engine.state import create
from mtsccd_jax.engine.steps import make_train_step
from mtsccd_jax.errors import InputError
from mtsccd_jax.tasks.scenes.train import cross_entropy


@cache  # several tests look at the same steps
def three_steps(recipe, mode, devices=8, input_mode="stream"):
    """Return parameters, statistics and losses after three steps."""
    parallel = make_parallel(mode, jax.devices()[:devices])
    source = open_source(recipe.data, "train")
    network = create(recipe, source.class_names, 4, parallel)
    step = make_train_step(network, cross_entropy(0.1), recipe.data, parallel.axis_name)
    update, state, losses = parallel.compile_update(step), network.initial(recipe.seed), []
    order = batch_indices(recipe.seed, 0, len(source), 16)[:3]
    with Feed(source, parallel, input_mode).batches(order) as batches:
        for batch in batches:
            state, metrics = update(state, batch)
            losses.append(float(metrics["loss"]))
    if mode == "jit":
        assert update._cache_size() == 1, "the step was compiled more than once"
    return jax.device_get((state.params, state.statistics)), tuple(losses)


@pytest.mark.parametrize(
    ("size", "model"),
    [(32, {}), (64, {"name": "alexnet"}), (32, {"name": "scnn", "hidden": 8, "dropout": 0.2})],
    ids=["batch norm", "own dropout", "set dropout"],
)
def test_jit_and_pmap_on_eight_devices_agree(recipe, size, model):
    assert jax.device_count() == 8
    recipe = replace(recipe, model=replace(recipe.model, **model), data=replace(recipe.data, image_size=size))
    jitted, jit_losses = three_steps(recipe, "jit")
    mapped, pmap_losses = three_steps(recipe, "pmap")
    np.testing.assert_allclose(jit_losses, pmap_losses, rtol=1e-5)
    assert_close(jitted, mapped, 1e-5)
    assert jit_losses[0] != jit_losses[1]


def test_the_number_of_devices_does_not_matter(recipe):
    eight, _ = three_steps(recipe, "jit")
    one, _ = three_steps(recipe, "jit", devices=1)
    assert_close(eight, one, 1e-5)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_resident_and_streamed_data_give_the_same_bits(recipe, mode):
    streamed, _ = three_steps(recipe, mode, input_mode="stream")
    resident, _ = three_steps(recipe, mode, input_mode="resident")
    assert_close(streamed, resident)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_a_batch_comes_back_as_it_was_placed(mode):
    parallel = make_parallel(mode)
    values = np.arange(48, dtype=np.float32).reshape(16, 3)
    placed = parallel.place({"x": values})["x"]
    assert len({shard.device for shard in placed.addressable_shards}) == 8
    np.testing.assert_array_equal(parallel.own_rows(placed), values)


@pytest.mark.parametrize(
    "error", [RuntimeError("Unable to initialize backend 'tpu': gone (set JAX_PLATFORMS='')"), AssertionError()]
)
def test_a_missing_platform_is_named_in_one_line(monkeypatch, error):
    def devices():
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(InputError, match=r"JAX_PLATFORMS=cpu: no such device here( \(Unable .* gone\))?; name another"):
        make_parallel("jit")


def test_a_missing_device_is_named_in_one_line(capsys):
    before = jax.config.jax_platforms
    try:
        assert cli.main(["train", "demo", "--device", "gpu"]) == 2
        assert capsys.readouterr().err == (
            "mtsccd-jax: --device gpu: none here, JAX finds cpu; install JAX for it (the extras cuda and tpu), or "
            "choose another\n"
        )
        assert find_devices("cpu") == jax.devices()
    finally:
        jax.config.update("jax_platforms", before)
