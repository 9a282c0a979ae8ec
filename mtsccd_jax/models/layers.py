"""What the families of networks share: their output, and layers with torch's conventions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.initializers import uniform


class Output(NamedTuple):
    """What every network returns for a batch of images.

    Attributes:
        logits: (b, k) float32, one score a class.
        features: (b, d) float32, what the classifier sees; the feature of change detection and retrieval.
        feature_map: (b, h, w, c) in the compute type, the last map before features lose their place.
    """

    logits: jax.Array
    features: jax.Array
    feature_map: jax.Array


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, with torch's conventions (arXiv:1502.03167).

    Normalises by the biased variance of the batch and keeps running statistics as 0.9 old + 0.1 new with the
    *unbiased* variance, as `torch.nn.BatchNorm2d` does. Statistics and parameters are float32 whatever the compute
    type.

    Train mode is the default. `nnx.view(model, use_running_average=True)` evaluates;
    `nnx.view(model, axis_name="data")` makes the statistics those of the global batch where the network runs inside
    `pmap` or `shard_map`. Under plain `jit` with a sharded batch they are global already.
    """

    def __init__(
        self, channels: int, *, dtype: DTypeLike = jnp.float32, momentum: float = 0.9, epsilon: float = 1e-5
    ) -> None:
        self.scale = nnx.Param(jnp.ones(channels, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros(channels, jnp.float32))
        self.var = nnx.BatchStat(jnp.ones(channels, jnp.float32))
        self.dtype = dtype
        self.momentum = momentum
        self.epsilon = epsilon
        self.use_running_average = False
        self.axis_name: str | None = None

    def set_view(self, use_running_average: bool | None = None, axis_name: str | None = None) -> None:
        """Set what `nnx.view` asks for; None leaves as it is.

        `nnx.view_info` reads the lines below and wants them indented by two.

        Args:
          use_running_average: normalise by the running statistics and leave them alone.
          axis_name: mapped axis over which the statistics of the batch are taken.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average
        if axis_name is not None:
            self.axis_name = axis_name

    def __call__(self, x: jax.Array) -> jax.Array:
        """The normalised input in the compute type; in train mode the running statistics move."""
        mean, var = (self.mean[...], self.var[...]) if self.use_running_average else self._batch_statistics(x)
        scale = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        return ((x.astype(jnp.float32) - mean) * scale + self.bias[...]).astype(self.dtype)

    def _batch_statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and biased variance (c,) of the global batch; updates the running ones."""
        x = x.astype(jnp.float32)
        axes = tuple(range(x.ndim - 1))
        mean, mean_square = jnp.mean(x, axes), jnp.mean(jnp.square(x), axes)
        count = x.size // x.shape[-1]
        if self.axis_name is not None:
            mean, mean_square = jax.lax.pmean((mean, mean_square), self.axis_name)
            count *= jax.lax.psum(1, self.axis_name)
        if count < 2:
            raise InputError(
                "batch normalisation needs more than one value a channel to train: use a larger batch or image"
            )
        # Rounding may leave the difference of a constant channel just below zero.
        var = jnp.maximum(mean_square - jnp.square(mean), 0.0)
        self.mean[...] = self.momentum * self.mean[...] + (1 - self.momentum) * mean
        self.var[...] = self.momentum * self.var[...] + (1 - self.momentum) * (count / (count - 1)) * var
        return mean, var


def global_average_pool(x_bhwc: jax.Array) -> jax.Array:
    """Mean over the map, (b, c) float32."""
    return jnp.mean(x_bhwc, axis=(1, 2), dtype=jnp.float32)


def max_pool(x_bhwc: jax.Array) -> jax.Array:
    """The largest value of every 3x3 window at stride 2, padded by 1: (b, ceil(h / 2), ceil(w / 2), c).

    Three strided slices a side, compared in order, instead of a window reduction: the gradient goes to the first
    maximum of a window, row by row, as in torch, and is a chain of selections. The scatter that derives from a window
    reduction costs five times as much on CPU. Not a number is the largest of its window.
    """
    for axis in (2, 1):
        outputs = -(-x_bhwc.shape[axis] // 2)
        padding = [(0, 0)] * 4
        padding[axis] = (1, 2 * outputs - x_bhwc.shape[axis])
        padded = jnp.pad(x_bhwc, padding, constant_values=-jnp.inf)
        x_bhwc, *rest = (
            jax.lax.slice_in_dim(padded, offset, offset + 2 * outputs - 1, stride=2, axis=axis) for offset in range(3)
        )
        for candidate in rest:
            x_bhwc = jnp.where((candidate > x_bhwc) | jnp.isnan(candidate), candidate, x_bhwc)
    return x_bhwc


def torch_linear(in_features: int, out_features: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer that begins as `torch.nn.Linear` does: weights and bias uniform in +-1/sqrt(in_features)."""
    limit = in_features**-0.5
    return nnx.Linear(
        in_features, out_features, dtype=dtype, kernel_init=uniform(limit), bias_init=uniform(limit), rngs=rngs
    )
