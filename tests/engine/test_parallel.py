"""jit and pmap over eight devices are one training."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.state import create
from mtsccd_jax.engine.steps import make_train_step
from mtsccd_jax.errors import InputError
from mtsccd_jax.tasks.scenes.train import cross_entropy


@cache  # several tests look at the same steps
def three_steps(recipe, mode, devices=8, input_mode="stream"):
    """Parameters, statistics and losses after three steps."""
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


def assert_close(one, other, tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_jit_and_pmap_on_eight_devices_agree(recipe):
    assert jax.device_count() == 8
    jitted, jit_losses = three_steps(recipe, "jit")
    mapped, pmap_losses = three_steps(recipe, "pmap")
    np.testing.assert_allclose(jit_losses, pmap_losses, rtol=1e-5)
    assert_close(jitted, mapped, 1e-5)
    assert jit_losses[0] != jit_losses[1]


@pytest.mark.parametrize(
    ("size", "model"),
    [
        (64, {"name": "alexnet"}),
        (32, {"name": "scnn", "hidden": 8, "dropout": 0.2}),
    ],
    ids=["own", "asked for"],
)
def test_dropout_does_not_depend_on_how_a_batch_is_divided(recipe, size, model):
    recipe = replace(recipe, model=replace(recipe.model, **model), data=replace(recipe.data, image_size=size))
    jitted, jit_losses = three_steps(recipe, "jit")
    mapped, pmap_losses = three_steps(recipe, "pmap")
    np.testing.assert_allclose(jit_losses, pmap_losses, rtol=1e-5)
    assert_close(jitted, mapped, 1e-5)


def test_the_number_of_devices_does_not_matter(recipe):
    eight, _ = three_steps(recipe, "jit")
    one, _ = three_steps(recipe, "jit", devices=1)
    assert_close(eight, one, 1e-5)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_resident_and_streamed_data_give_the_same_bits(recipe, mode):
    streamed, _ = three_steps(recipe, mode, input_mode="stream")
    resident, _ = three_steps(recipe, mode, input_mode="resident")
    for a, b in zip(jax.tree.leaves(streamed), jax.tree.leaves(resident), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_a_batch_comes_back_as_it_was_placed(mode):
    parallel = make_parallel(mode)
    values = np.arange(48, dtype=np.float32).reshape(16, 3)
    placed = parallel.place({"x": values})["x"]
    assert len({shard.device for shard in placed.addressable_shards}) == 8
    np.testing.assert_array_equal(parallel.flatten(placed), values)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match=r"engine\.batch_size=12: must be a positive multiple of the 8 devices"):
        make_parallel("jit").check_batch(12, "engine.batch_size")
