"""Global response normalisation of ConvNeXt V2."""

import jax
import jax.numpy as jnp
import numpy as np

from mtsccd_jax.models.convnext import ResponseNorm


def test_a_channel_that_is_zero_everywhere_has_a_gradient() -> None:
    norm = ResponseNorm(3)
    norm.weight.set_value(jnp.ones(3))
    x = jnp.ones((1, 2, 2, 3)).at[..., 1].set(0)
    assert np.isfinite(jax.grad(lambda x: jnp.sum(norm(x)))(x)).all()
    assert np.isfinite(jax.grad(lambda x: jnp.sum(norm(x)))(jnp.zeros_like(x))).all()
