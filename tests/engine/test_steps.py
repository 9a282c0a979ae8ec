"""The steps against plain NumPy, and their lowering for accelerators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.state import create
from mtsccd_jax.engine.steps import cross_entropy, make_embed_step, make_eval_step, make_train_step
from mtsccd_jax.models.network import Output

PLATFORMS = ["cpu", "cuda", "tpu"]


def abstract(parallel, batch):
    """The batch as shapes, placed as the step takes it."""
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


def test_cross_entropy_is_the_textbook_sum():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(5, 4)).astype(np.float32)
    label = np.array([0, 3, 1, 1, 2])
    smoothing = 0.2
    loss, right = cross_entropy(smoothing)(
        lambda image: Output(jnp.asarray(logits), None, None), {"image": None}, {"label": jnp.asarray(label)}
    )
    target = np.full((5, 4), smoothing / 4)
    target[np.arange(5), label] += 1 - smoothing
    log_probability = logits - np.log(np.exp(logits.astype(np.float64)).sum(-1, keepdims=True))
    np.testing.assert_allclose(loss, -(target * log_probability).sum(-1), rtol=1e-5)
    np.testing.assert_array_equal(right, logits.argmax(-1) == label)


def test_side_classifiers_add_their_weighted_loss():
    generator = np.random.default_rng(0)
    main, side, other = generator.normal(size=(3, 5, 4)).astype(np.float32)
    batch = {"label": jnp.asarray([0, 3, 1, 1, 2])}

    def loss(output):
        return np.asarray(cross_entropy(0.1)(lambda image: output, {"image": None}, batch)[0])

    alone = [loss(Output(logits, None, None)) for logits in (main, side, other)]
    together = loss(Output(main, None, None, (side, other), 0.3))
    np.testing.assert_allclose(together, alone[0] + 0.3 * (alone[1] + alone[2]), rtol=1e-6)


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
