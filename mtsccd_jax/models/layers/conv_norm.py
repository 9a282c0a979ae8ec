"""Convolutions that are followed by batch normalisation."""

from typing import Any, NamedTuple

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.normalization import BatchNorm
from mtsccd_jax.models.network import Names


class ConvNorm(nnx.Module):
    """A convolution, which takes the options of `Conv`, and its batch normalisation.

    Some published weights have a bias. The normalisation removes it again, and it begins at zero.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        size: int | tuple[int, int],
        stride: int = 1,
        *,
        epsilon: float = 1e-5,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        **options: Any,
    ) -> None:
        self.conv = Conv(in_channels, channels, size, stride, dtype=dtype, rngs=rngs, **options)
        self.norm = BatchNorm(channels, dtype=dtype, epsilon=epsilon)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the normalised map, not yet rectified."""
        return self.norm(self.conv(x))


def conv_norm_names(prefix: str, part: ConvNorm, conv: str = "conv", norm: str = "bn") -> Names:
    """Yield the names of a convolution and its normalisation below a prefix."""
    yield f"{prefix}.{conv}", part.conv
    yield f"{prefix}.{norm}", part.norm


class Step(NamedTuple):
    """One convolution of a `ConvChain`; the fields are arguments of `Conv`."""

    channels: int
    size: int | tuple[int, int]
    stride: int = 1
    padding: int | tuple[int, int] | None = None


class ConvChain(nnx.Module):
    """Convolutions one after the other, each normalised and rectified; all take the options of `ConvNorm`."""

    def __init__(self, in_channels: int, *steps: Step, dtype: DTypeLike, rngs: nnx.Rngs, **options: Any) -> None:
        self.parts: nnx.List[ConvNorm] = nnx.List()
        for step in steps:
            self.parts.append(ConvNorm(in_channels, **step._asdict(), dtype=dtype, rngs=rngs, **options))
            in_channels = step.channels

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h', w', channels of the last step)."""
        for part in self.parts:
            x = nnx.relu(part(x))
        return x
