"""Batch normalisation against torch, and against itself on one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.layers.blocks import BatchNorm, Dropout, torch_linear
from mtsccd_jax.models.layers.pooling import global_average_pool, max_pool

CHANNELS = 5


def example(rows: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Images far from zero mean, each row unlike the others, and a gradient for the output."""
    rng = np.random.default_rng(0)
    x = (
        rng.normal(size=(rows, 3, 4, CHANNELS)) * np.arange(1, 1 + CHANNELS)
        + np.linspace(-5, 5, rows)[:, None, None, None]
    )
    return x.astype(np.float32), rng.normal(size=x.shape).astype(np.float32)


def train(norm: BatchNorm, x: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array, nnx.State]:
    """Output, gradient with respect to the input, and statistics after one pass."""
    graph, params, stats = nnx.split(norm, nnx.Param, ...)

    def loss(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, nnx.State]]:
        norm = nnx.merge(graph, params, stats, copy=True)
        y = norm(x)
        return jnp.sum(y * weight), (y, nnx.state(norm, nnx.BatchStat))

    gradient, (y, stats) = jax.grad(loss, has_aux=True)(x)
    return y, gradient, stats


def test_one_pass_and_its_gradients_equal_torch() -> None:
    torch = pytest.importorskip("torch", reason="the reference is torch.nn.BatchNorm2d")
    x, weight = example()
    reference = torch.nn.BatchNorm2d(CHANNELS).double()
    x_torch = torch.from_numpy(x.transpose(0, 3, 1, 2)).double().requires_grad_()
    y_torch = reference(x_torch)
    (y_torch * torch.from_numpy(weight.transpose(0, 3, 1, 2))).sum().backward()

    y, gradient, stats = jax.jit(lambda x, w: train(BatchNorm(CHANNELS), x, w))(x, weight)

    np.testing.assert_allclose(y, y_torch.detach().numpy().transpose(0, 2, 3, 1), atol=1e-5)
    np.testing.assert_allclose(gradient, x_torch.grad.numpy().transpose(0, 2, 3, 1), atol=1e-5)
    np.testing.assert_allclose(stats["mean"][...], reference.running_mean.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stats["var"][...], reference.running_var.numpy(), rtol=1e-5)


def test_the_statistics_survive_a_mean_far_from_zero() -> None:
    """float32 keeps 24 bits: the square of the mean must not swallow the variance."""
    x = np.random.default_rng(0).normal(size=(64, 8, 8, 2)).astype(np.float32) * 0.1 + 30
    _, _, stats = train(BatchNorm(2), jnp.asarray(x), jnp.ones_like(x))
    unbiased = x.astype(np.float64).var(axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(stats["var"][...], 0.9 + 0.1 * unbiased, rtol=1e-4)


@pytest.mark.parametrize("mapped", ["pmap", "shard_map"])
def test_with_an_axis_name_the_statistics_are_those_of_the_global_batch(mapped: str) -> None:
    x, weight = example(rows=16)
    norm = nnx.view(BatchNorm(CHANNELS), axis_name="data")
    expected = train(BatchNorm(CHANNELS), jnp.asarray(x), jnp.asarray(weight))

    if mapped == "pmap":
        split = jax.pmap(lambda x, w: train(norm, x, w), axis_name="data")
        y, gradient, stats = split(x.reshape(8, 2, *x.shape[1:]), weight.reshape(8, 2, *x.shape[1:]))
        y, gradient = y.reshape(x.shape), gradient.reshape(x.shape)
        stats = jax.tree.map(lambda leaf: leaf[0], stats)
    else:
        mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
        rows = jax.P("data")
        split = jax.shard_map(
            lambda x, w: train(norm, x, w), mesh=mesh, in_specs=(rows, rows), out_specs=(rows, rows, jax.P())
        )
        y, gradient, stats = jax.jit(split)(x, weight)

    np.testing.assert_allclose(y, expected[0], atol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-5)
    for name in ("mean", "var"):
        np.testing.assert_allclose(stats[name][...], expected[2][name][...], rtol=1e-5)


def test_a_view_that_evaluates_leaves_the_statistics_alone() -> None:
    x, _ = example()
    norm = BatchNorm(CHANNELS)
    norm(jnp.asarray(x))
    before = np.asarray(norm.mean[...])
    evaluating = nnx.view(norm, use_running_average=True)
    y = evaluating(jnp.asarray(x))
    np.testing.assert_array_equal(norm.mean[...], before)
    np.testing.assert_allclose(y, (x - before) / np.sqrt(np.asarray(norm.var[...]) + 1e-5), atol=1e-5)
    assert not norm.use_running_average
    assert "use_running_average" in nnx.view_info(norm)


def test_a_constant_channel_is_normalised_to_zero() -> None:
    y = BatchNorm(2)(jnp.full((4, 3, 3, 2), 1.1))
    np.testing.assert_allclose(y, 0.0, atol=1e-3)


def test_one_value_a_channel_cannot_be_normalised() -> None:
    with pytest.raises(InputError, match="more than one value a channel"):
        BatchNorm(2)(jnp.ones((1, 1, 1, 2)))


def test_bfloat16_in_and_out_keeps_float32_statistics() -> None:
    x, _ = example()
    norm = BatchNorm(CHANNELS, dtype=jnp.bfloat16)
    y = norm(jnp.asarray(x, jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert norm.mean[...].dtype == norm.var[...].dtype == norm.scale[...].dtype == jnp.float32
    np.testing.assert_allclose(norm.mean[...], 0.1 * x.mean(axis=(0, 1, 2)), atol=2e-3)


def test_the_average_of_a_map_is_float32() -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(global_average_pool(jnp.asarray(x)), x.mean(axis=(1, 2)), rtol=1e-5)
    assert global_average_pool(jnp.asarray(x, jnp.bfloat16)).dtype == jnp.float32


@pytest.mark.parametrize("side", [(8, 6), (7, 5), (2, 1)])
def test_the_largest_of_a_window_and_its_gradient_equal_torch(side: tuple[int, int]) -> None:
    """Also among equals, where the first of the window, row by row, takes all of the gradient."""
    torch = pytest.importorskip("torch", reason="the reference is torch's max_pool2d")
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, size=(2, *side, 3)).astype(np.float32)
    x_torch = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    y_torch = torch.nn.functional.max_pool2d(x_torch, 3, stride=2, padding=1)
    weight = rng.normal(size=y_torch.shape).astype(np.float32)
    (y_torch * torch.from_numpy(weight)).sum().backward()

    y, pull_back = jax.vjp(max_pool, jnp.asarray(x))

    np.testing.assert_array_equal(y, y_torch.detach().numpy().transpose(0, 2, 3, 1))
    (gradient,) = pull_back(jnp.asarray(weight.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(gradient, x_torch.grad.numpy().transpose(0, 2, 3, 1), atol=1e-6)


def test_not_a_number_is_not_pooled_away() -> None:
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    assert np.isnan(max_pool(x)).all()


def test_a_linear_layer_begins_as_torch_does() -> None:
    layer = torch_linear(256, 64, rngs=nnx.Rngs(0))
    for value in (layer.kernel[...], layer.bias[...]):
        assert 0.9 * 256**-0.5 < np.abs(value).max() <= 256**-0.5


def dropped(layer: Dropout, seeds: list[int], shape: tuple[int, ...]) -> np.ndarray:
    """Ones through a layer, each example with the key of its seed."""
    keys = jax.vmap(jax.random.PRNGKey)(jnp.asarray(seeds))
    return np.asarray(nnx.view(layer, example_keys=keys)(jnp.ones((len(seeds), *shape))))


def test_dropout_zeroes_its_share_and_keeps_the_mean() -> None:
    y = dropped(Dropout(0.3, salt=0), list(range(8)), (50, 40))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.7)}
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert y.mean() == pytest.approx(1, abs=0.03)


def test_dropout_depends_on_the_example_and_the_layer_and_not_on_the_batch() -> None:
    layer = Dropout(0.5, salt=1)
    whole = dropped(layer, [3, 4, 5, 6], (64,))
    np.testing.assert_array_equal(dropped(layer, [5, 6, 3], (64,)), whole[[2, 3, 0]])
    assert (whole[0] != whole[1]).any()
    assert (dropped(Dropout(0.5, salt=2), [3], (64,)) != whole[0]).any()


def test_stochastic_depth_drops_whole_examples() -> None:
    y = dropped(Dropout(0.5, salt=0, whole_example=True), list(range(64)), (3, 5))
    kept = y.reshape(64, -1)
    assert (kept == kept[:, :1]).all()
    assert 0.25 < (kept[:, 0] == 0).mean() < 0.75


def test_without_keys_nothing_is_dropped() -> None:
    x = jnp.ones((2, 4))
    np.testing.assert_array_equal(Dropout(0.5, salt=0)(x), x)
