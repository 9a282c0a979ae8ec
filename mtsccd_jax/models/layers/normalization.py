"""Batch normalisation with torch's conventions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.layers.portable import batch_normalization, is_portable
from mtsccd_jax.models.layers.precision import wide

MOMENTUM = 0.9


class Moments(NamedTuple):
    """Mean and biased variance of every channel (c,) over a batch, and the number of values in a channel."""

    mean: jax.Array
    var: jax.Array
    values: int


class Coefficients(NamedTuple):
    """The coefficients of `normalized`, each (c,)."""

    mean: jax.Array
    scale: jax.Array
    bias: jax.Array


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, with torch's conventions (arXiv:1502.03167).

    Training normalises by the biased variance of the batch. The running statistics become 0.9 old + 0.1 new, with the
    *unbiased* variance, as in `torch.nn.BatchNorm2d`. Parameters and statistics are float32 for every compute type.

    Train mode is the default; `nnx.view(model, use_running_average=True)` evaluates. Inside `pmap` or `shard_map`,
    `nnx.view(model, axis_name="data")` takes the statistics over the global batch. Under plain `jit` with a sharded
    batch they are global already.
    """

    def __init__(
        self,
        channels: int,
        *,
        dtype: DTypeLike = jnp.float32,
        epsilon: float = 1e-5,
        initial_scale: float = 1.0,
    ) -> None:
        self.scale = nnx.Param(jnp.full(channels, initial_scale, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros(channels, jnp.float32))
        self.var = nnx.BatchStat(jnp.ones(channels, jnp.float32))
        self.dtype = dtype
        self.epsilon = epsilon
        self.use_running_average = False
        self.axis_name: str | None = None

    def set_view(self, use_running_average: bool | None = None, axis_name: str | None = None) -> None:
        """Take the options of `nnx.view`; None changes nothing.

        `nnx.view_info` reads the lines below and needs an indent of two.

        Args:
          use_running_average: normalise by the running statistics, which do not change.
          axis_name: mapped axis over which the statistics of the batch are taken.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average
        if axis_name is not None:
            self.axis_name = axis_name

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the normalised input in the compute type; training updates the running statistics."""
        return normalized(x, self.coefficients(self.moments(x)), self.dtype)

    def moments(self, x: jax.Array) -> Moments | None:
        """Return the moments of the global batch, or None in evaluation.

        The mean of the squares less the square of the mean loses what a mean far from 0 has in digits. So values count
        from the mean of every image's middle, which is close to that of all and costs no second pass over them.
        """
        if self.use_running_average:
            return None
        x = x.astype(wide(x.dtype))
        axes = tuple(range(x.ndim - 1))
        count = x.size // x.shape[-1]
        middle_bc = x[:, *(size // 2 for size in x.shape[1:-1])]
        origin = jax.lax.stop_gradient(jnp.mean(middle_bc, 0))
        if self.axis_name is not None:
            origin = jax.lax.pmean(origin, self.axis_name)
            count *= jax.lax.psum(1, self.axis_name)
        moved = x - origin
        mean, mean_square = jnp.mean(moved, axes), jnp.mean(jnp.square(moved), axes)
        if self.axis_name is not None:
            mean, mean_square = jax.lax.pmean((mean, mean_square), self.axis_name)
        if count < 2:
            raise InputError(
                "batch normalisation needs more than one value a channel to train: use a larger batch or image"
            )
        # Rounding may make the variance of a constant channel negative.
        return Moments(origin + mean, jnp.maximum(mean_square - jnp.square(mean), 0.0), count)

    def coefficients(self, moments: Moments | None) -> Coefficients:
        """Return how to normalise: by the moments, which update the running statistics, or by the latter alone."""
        mean, var = (self.mean[...], self.var[...]) if moments is None else self._follow(moments)
        return Coefficients(mean, self.scale[...] * jax.lax.rsqrt(var + self.epsilon), self.bias[...])

    def _follow(self, moments: Moments) -> tuple[jax.Array, jax.Array]:
        """Return mean and biased variance (c,) of the batch; update the running statistics."""
        mean, var, count = moments
        # `self.mean[...] = ` asks for the device of the value; JAX then walks the whole program traced so far.
        self.mean.set_value(MOMENTUM * self.mean[...] + (1 - MOMENTUM) * mean)
        self.var.set_value(MOMENTUM * self.var[...] + (1 - MOMENTUM) * (count / (count - 1)) * var)
        return mean, var


def normalized(x: jax.Array, coefficients: Coefficients, dtype: DTypeLike) -> jax.Array:
    """Return (x - mean) scale + bias, computed in float32 at least."""
    mean, scale, bias = coefficients
    x = x.astype(wide(x.dtype))
    y: jax.Array = batch_normalization(x, mean, scale, bias) if is_portable() else (x - mean) * scale + bias
    return y.astype(dtype)
