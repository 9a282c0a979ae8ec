"""Batch normalisation against torch, and on several devices against one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.layers.normalization import BatchNorm

CHANNELS = 5


def example(rows: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return images far from zero mean, every row different, and a gradient for the output."""
    rng = np.random.default_rng(0)
    x = (
        rng.normal(size=(rows, 3, 4, CHANNELS)) * np.arange(1, 1 + CHANNELS)
        + np.linspace(-5, 5, rows)[:, None, None, None]
    )
    return x.astype(np.float32), rng.normal(size=x.shape).astype(np.float32)


def train(norm: BatchNorm, x: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array, nnx.State]:
    """Return output, gradient with respect to the input, and statistics after one pass."""
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


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("deviation", [1.0, 0.1, 1e-2])
@pytest.mark.parametrize("shape", [(64, 8, 8, 2), (512, 2)])
def test_the_statistics_survive_a_mean_far_from_zero(shape: tuple[int, ...], deviation: float, mapped: bool) -> None:
    """float32 keeps 24 bits: the variance must survive next to the square of the mean, from the first step on."""
    random = np.random.default_rng(0)
    x = (1000 + deviation * random.normal(size=shape)).astype(np.float32)
    weight = random.normal(size=shape).astype(np.float32)
    norm, compiled = nnx.view(BatchNorm(2), axis_name="data"), jax.jit(lambda x, w: train(BatchNorm(2), x, w))
    if mapped:
        split = jax.pmap(lambda x, w: train(norm, x, w), axis_name="data")
        y, gradient, stats = split(*(a.reshape(8, -1, *shape[1:]) for a in (x, weight)))
        y, gradient, stats = y.reshape(shape), gradient.reshape(shape), jax.tree.map(lambda leaf: leaf[0], stats)
    else:
        y, gradient, stats = compiled(x, weight)
    flat, flat_weight = x.reshape(-1, 2).astype(np.float64), weight.reshape(-1, 2).astype(np.float64)
    scale = 1 / np.sqrt(flat.var(0) + 1e-5)
    expected = (flat - flat.mean(0)) * scale
    np.testing.assert_allclose(stats["var"][...], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(stats["mean"][...], 0.1 * flat.mean(0), rtol=1e-6)
    atol = 1e-4 / deviation  # the mean is rounded to float32
    np.testing.assert_allclose(y.reshape(-1, 2), expected, rtol=1e-4, atol=atol)
    along = (flat_weight * expected).mean(0)
    slope = scale * (flat_weight - flat_weight.mean(0) - expected * along)
    np.testing.assert_allclose(gradient.reshape(-1, 2) * deviation, slope * deviation, atol=10 * atol)


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
