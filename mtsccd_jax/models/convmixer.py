"""ConvMixer, arXiv:2201.09792 (section 2, figure 2), in the variant of timm and with torch's initial weights."""

from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.convolution import torch_conv
from mtsccd_jax.models.layers.linear import torch_linear
from mtsccd_jax.models.layers.normalization import BatchNorm
from mtsccd_jax.models.layers.pooling import global_average_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


@dataclass(frozen=True)
class Architecture:
    """A row of Table 1: side of the patch, side of the kernel, channels, and number of blocks."""

    patch: int
    kernel: int
    channels: int
    depth: int


class ReluNorm(nnx.Module):
    """A convolution with bias, which takes the options of `torch_conv`, a rectifier, and batch normalisation."""

    def __init__(
        self, in_channels: int, channels: int, size: int, *, dtype: DTypeLike, rngs: nnx.Rngs, **options: Any
    ) -> None:
        self.conv = torch_conv(in_channels, channels, size, dtype=dtype, rngs=rngs, **options)
        self.norm = BatchNorm(channels, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h // stride, w // stride, channels)."""
        return self.norm(nnx.relu(self.conv(x)))


class Block(nnx.Module):
    """A depthwise convolution with a shortcut, then a 1x1 convolution."""

    def __init__(self, channels: int, kernel: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.depthwise = ReluNorm(channels, channels, kernel, groups=channels, dtype=dtype, rngs=rngs)
        self.pointwise = ReluNorm(channels, channels, 1, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, c) to (b, h, w, c)."""
        return self.pointwise(x + self.depthwise(x))


class ConvMixer(ImageNetwork):
    """A ConvMixer for images of one patch or more on a side, square or not; incomplete patches are cut off."""

    title = "a ConvMixer"

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.smallest_image = patch = architecture.patch
        self.check_size(signature.image_size, signature.image_size)
        dtype = signature.dtype
        channels = settings.scaled(architecture.channels)
        self.stem = ReluNorm(signature.in_channels, channels, patch, stride=patch, padding=0, dtype=dtype, rngs=rngs)
        self.blocks = nnx.List(
            [Block(channels, architecture.kernel, dtype=dtype, rngs=rngs) for _ in range(architecture.depth)]
        )
        self.head = torch_linear(channels, signature.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the features after the last pooling, and the map before it."""
        self.check_size(*image_bhwc.shape[1:3])
        x = self.stem(image_bhwc)
        for block in self.blocks:
            x = block(x)
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: ConvMixer) -> Names:
    """Yield timm's names for the parts."""
    yield "stem.0", network.stem.conv
    yield "stem.2", network.stem.norm
    for i, block in enumerate(network.blocks):
        yield f"blocks.{i}.0.fn.0", block.depthwise.conv
        yield f"blocks.{i}.0.fn.2", block.depthwise.norm
        yield f"blocks.{i}.1", block.pointwise.conv
        yield f"blocks.{i}.3", block.pointwise.norm
    yield "head", network.head
