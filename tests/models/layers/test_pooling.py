"""Pooling against NumPy and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.models.layers.pooling import global_average_pool, max_pool


def test_the_average_of_a_map_is_float32() -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(global_average_pool(jnp.asarray(x)), x.mean(axis=(1, 2)), rtol=1e-5)
    assert global_average_pool(jnp.asarray(x, jnp.bfloat16)).dtype == jnp.float32


@pytest.mark.parametrize("side", [(8, 6), (7, 5), (2, 1)])
def test_the_largest_of_a_window_and_its_gradient_equal_torch(side: tuple[int, int]) -> None:
    """Check ties as well, where the first of the window, row by row, takes all of the gradient."""
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
