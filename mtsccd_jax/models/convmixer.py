"""ConvMixer, arXiv:2201.09792 (section 2, figure 2), in the variant of timm and begun as torch begins its layers."""

from dataclasses import dataclass

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import BatchNorm, Names, Output, Settings, check_size, scaled, torch_linear, wide
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.initializers import torch_uniform, uniform
from mtsccd_jax.models.layers.pooling import global_average_pool


@dataclass(frozen=True)
class Architecture:
    """A row of Table 1: sides of the patch and of the kernel, channels, and number of blocks."""

    patch: int
    kernel: int
    channels: int
    depth: int


class ReluNorm(nnx.Module):
    """A convolution with bias, rectified and then normalised."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        size: int,
        stride: int = 1,
        *,
        groups: int = 1,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.conv = Conv(
            in_channels,
            channels,
            size,
            stride,
            padding=size // 2 if stride == 1 else 0,
            groups=groups,
            use_bias=True,
            init=torch_uniform,
            bias_init=uniform((size * size * in_channels // groups) ** -0.5),
            dtype=dtype,
            rngs=rngs,
        )
        self.norm = BatchNorm(channels, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h // stride, w // stride, channels)."""
        return self.norm(nnx.relu(self.conv(x)))


class Block(nnx.Module):
    """A convolution of every channel by itself beside a shortcut, then one of the channels alone."""

    def __init__(self, channels: int, kernel: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.depthwise = ReluNorm(channels, channels, kernel, groups=channels, dtype=dtype, rngs=rngs)
        self.pointwise = ReluNorm(channels, channels, 1, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, c) -> (b, h, w, c)."""
        return self.pointwise(x + self.depthwise(x))


class ConvMixer(nnx.Module):
    """A ConvMixer for images of at least one patch on a side, square or not; what no patch fills is cut off.

    Args:
        architecture: patch, kernel, channels and depth.
        settings: what is chosen whatever the family; `image_size` is only checked.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than a patch.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.patch = architecture.patch
        check_size((settings.image_size,) * 2, self.patch, "a ConvMixer")
        dtype = settings.dtype
        channels = scaled(architecture.channels, settings.width)
        self.stem = ReluNorm(settings.in_channels, channels, self.patch, self.patch, dtype=dtype, rngs=rngs)
        self.blocks = nnx.List(
            [Block(channels, architecture.kernel, dtype=dtype, rngs=rngs) for _ in range(architecture.depth)]
        )
        self.head = torch_linear(channels, settings.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the features after the last pooling, and the map before it."""
        check_size(image_bhwc.shape[1:3], self.patch, "a ConvMixer")
        x = self.stem(image_bhwc)
        for block in self.blocks:
            x = block(x)
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: ConvMixer) -> Names:
    """What timm calls the parts."""
    yield "stem.0", network.stem.conv
    yield "stem.2", network.stem.norm
    for i, block in enumerate(network.blocks):
        yield f"blocks.{i}.0.fn.0", block.depthwise.conv
        yield f"blocks.{i}.0.fn.2", block.depthwise.norm
        yield f"blocks.{i}.1", block.pointwise.conv
        yield f"blocks.{i}.3", block.pointwise.norm
    yield "head", network.head
