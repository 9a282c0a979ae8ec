"""Linear layers with the initial weights of torch and timm."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.initializers import Initializer, normal, torch_uniform, uniform

# timm truncates its normal at +-2, which is 100 standard deviations: a plain normal.
WEIGHT_INIT = normal(0.02)


def linear(
    in_features: int,
    out_features: int,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
    init: Initializer = WEIGHT_INIT,
) -> nnx.Linear:
    """Return a linear layer with normal initial weights of standard deviation 0.02 and zero bias, as in timm."""
    return nnx.Linear(in_features, out_features, dtype=dtype, kernel_init=init, rngs=rngs)


def torch_linear(
    in_features: int,
    out_features: int,
    *,
    init: Initializer = torch_uniform,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """Return a linear layer with torch's initial values, uniform in +-1/sqrt(in_features); `init` is of the weights."""
    bias_init = uniform(in_features**-0.5)
    return nnx.Linear(in_features, out_features, dtype=dtype, kernel_init=init, bias_init=bias_init, rngs=rngs)


def flatten_channels_first(x_bhwc: jax.Array) -> jax.Array:
    """Map (b, h, w, c) to (b, c h w), the order in which torch flattens a map."""
    return x_bhwc.transpose(0, 3, 1, 2).reshape(x_bhwc.shape[0], -1)
