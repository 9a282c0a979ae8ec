"""Squeeze-and-excitation, arXiv:1709.01507 (section 3)."""

from collections.abc import Callable

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.initializers import Initializer
from mtsccd_jax.models.layers.pooling import global_average_pool


class SqueezeExcitation(nnx.Module):
    """Multiply every channel by a factor between 0 and 1 that depends on the means of all channels.

    Two 1x1 convolutions have `squeezed` channels between them. `bias_init` makes the initialiser of a bias from the
    number of inputs.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        *,
        activation: Callable[[jax.Array], jax.Array] = nnx.relu,
        bias_init: Callable[[int], Initializer] = lambda inputs: nnx.initializers.zeros,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.activation = activation
        self.squeeze, self.excite = (
            Conv(inputs, outputs, 1, use_bias=True, bias_init=bias_init(inputs), dtype=dtype, rngs=rngs)
            for inputs, outputs in ((channels, squeezed), (squeezed, channels))
        )

    def __call__(self, x_bhwc: jax.Array) -> jax.Array:
        """Map (b, h, w, c) to (b, h, w, c)."""
        mean_b11c = global_average_pool(x_bhwc)[:, None, None]
        return x_bhwc * nnx.sigmoid(self.excite(self.activation(self.squeeze(mean_b11c))))
