"""The steps lower for accelerators, and masked rows do not count."""

import jax
import numpy as np
import pytest

from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.state import create
from mtsccd_jax.engine.steps import make_embed_step, make_eval_step, make_train_step
from mtsccd_jax.tasks.scenes.train import cross_entropy

PLATFORMS = ["cpu", "cuda", "tpu"]


def abstract(parallel, batch):
    """Return the batch as shapes, placed as the step takes it."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), parallel.place(batch))


def a_batch(mask=False):
    batch = {"image": np.zeros((16, 32, 32, 3), np.uint8), "label": np.zeros(16, np.int32)}
    return batch | ({"mask": np.ones(16, bool)} if mask else {"row": np.arange(16, dtype=np.int32)})


@pytest.mark.parametrize("mode", ["jit", "pmap"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_step_lowers_for_cuda_and_tpu(recipe, with_engine, mode, dtype):
    recipe = with_engine(recipe, dtype=dtype)
    parallel = make_parallel(mode)
    network = create(recipe, ("a", "b", "c"), 4, parallel)
    state = network.abstract()
    axis = parallel.axis_name
    train = parallel.compile_update(make_train_step(network, cross_entropy(0.0), recipe.data, axis))
    evaluate = parallel.compile_counts(make_eval_step(network, recipe.data, axis))
    embed = parallel.compile_outputs(make_embed_step(network, recipe.data))
    for step, batch in (
        (train, a_batch()),
        (evaluate, a_batch(mask=True)),
        (embed, {"image": np.zeros((16, 32, 32, 3), np.uint8)}),
    ):
        whole = step if mode == "jit" else jax.jit(step)
        exported = jax.export.export(whole, platforms=PLATFORMS)(state, abstract(parallel, batch))
        assert exported.platforms == ("cpu", "cuda", "tpu")
        assert exported.nr_devices == 8


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_masked_rows_do_not_count(recipe, mode):
    parallel = make_parallel(mode)
    network = create(recipe, ("a", "b", "c"), 4, parallel)
    evaluate = parallel.compile_counts(make_eval_step(network, recipe.data, parallel.axis_name))
    generator = np.random.default_rng(1)
    batch = {
        "image": generator.integers(0, 255, (16, 32, 32, 3), dtype=np.uint8),
        "label": generator.integers(0, 3, 16).astype(np.int32),
        "mask": np.arange(16) < 5,
    }
    confusion = np.asarray(evaluate(network.initial(recipe.seed), parallel.place(batch))["confusion"])
    assert confusion.sum() == 5
    np.testing.assert_array_equal(confusion.sum(1), np.bincount(batch["label"][:5], minlength=3))
