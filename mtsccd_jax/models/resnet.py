"""Residual networks, arXiv:1512.03385 (Table 1), with the strides in the 3x3 convolutions (v1.5, as in torchvision).

SE-ResNet, with squeeze-and-excitation (arXiv:1709.01507, Table 1), is timm's.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.conv_norm import ConvNorm
from mtsccd_jax.models.layers.dropout import Dropout, drop_paths
from mtsccd_jax.models.layers.initializers import uniform
from mtsccd_jax.models.layers.linear import torch_linear
from mtsccd_jax.models.layers.normalization import BatchNorm
from mtsccd_jax.models.layers.pooling import global_average_pool, max_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.layers.squeeze_excitation import SqueezeExcitation
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions with a shortcut (ResNet-18 and 34); `drop` is the stochastic depth of the block."""

    expansion: ClassVar[int] = 1

    def __init__(
        self, in_channels: int, width: int, stride: int, drop: Dropout, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.first = ConvNorm(in_channels, width, 3, stride, dtype=dtype, rngs=rngs)
        self.second = ConvNorm(width, width, 3, 1, dtype=dtype, rngs=rngs)
        self.drop = drop
        self.shortcut = shortcut(in_channels, width, stride, dtype, rngs)

    @property
    def parts(self) -> tuple[ConvNorm, ...]:
        """The convolutions of the residual branch in order."""
        return self.first, self.second

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h / stride, w / stride, width)."""
        y = self.drop(self.second(nnx.relu(self.first(x))))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class BottleneckBlock(nnx.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut (ResNet-50, 101 and 152); `drop` is the stochastic depth."""

    expansion: ClassVar[int] = 4

    def __init__(
        self, in_channels: int, width: int, stride: int, drop: Dropout, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        channels = width * self.expansion
        self.first = ConvNorm(in_channels, width, 1, 1, dtype=dtype, rngs=rngs)
        self.second = ConvNorm(width, width, 3, stride, dtype=dtype, rngs=rngs)
        self.third = ConvNorm(width, channels, 1, 1, dtype=dtype, rngs=rngs)
        self.drop = drop
        self.shortcut = shortcut(in_channels, channels, stride, dtype, rngs)

    @property
    def parts(self) -> tuple[ConvNorm, ...]:
        """The convolutions of the residual branch in order."""
        return self.first, self.second, self.third

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h / stride, w / stride, 4 width)."""
        return nnx.relu(self.drop(self.residual(x)) + (x if self.shortcut is None else self.shortcut(x)))

    def residual(self, x: jax.Array) -> jax.Array:
        """Return the output of the residual branch, which is added to the shortcut."""
        return self.third(nnx.relu(self.second(nnx.relu(self.first(x)))))


class SqueezeBottleneckBlock(BottleneckBlock):
    """A bottleneck with squeeze-and-excitation at the end of its residual branch, at first zero (SE-ResNet-50)."""

    def __init__(
        self, in_channels: int, width: int, stride: int, drop: Dropout, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        super().__init__(in_channels, width, stride, drop, dtype=dtype, rngs=rngs)
        channels = width * self.expansion
        self.third.norm = BatchNorm(channels, dtype=dtype, initial_scale=0.0)
        self.attention = SqueezeExcitation(
            channels, max(1, channels // 16), bias_init=lambda inputs: uniform(inputs**-0.5), dtype=dtype, rngs=rngs
        )

    def residual(self, x: jax.Array) -> jax.Array:
        """Return the output of the residual branch, which is added to the shortcut."""
        return self.attention(super().residual(x))


def shortcut(in_channels: int, channels: int, stride: int, dtype: DTypeLike, rngs: nnx.Rngs) -> ConvNorm | None:
    """Return a 1x1 convolution where a block changes the shape of its input (option B of section 3.3), else None."""
    if stride == 1 and in_channels == channels:
        return None
    return ConvNorm(in_channels, channels, 1, stride, dtype=dtype, rngs=rngs)


@dataclass(frozen=True)
class Architecture:
    """A column of Table 1: the kind of block, and the number of blocks in each of the four stages."""

    block: type[BasicBlock] | type[BottleneckBlock]
    depths: tuple[int, int, int, int]


class ResNet(ImageNetwork):
    """A residual network for images of 32 pixels or more on a side, square or not."""

    title = "a ResNet"
    follows = frozenset({"drop_path"})
    smallest_image = 32  # five halvings

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        self.dtype = dtype = signature.dtype
        channels = settings.scaled(64)
        self.stem = ConvNorm(signature.in_channels, channels, 7, 2, dtype=dtype, rngs=rngs)
        self.stages: nnx.List[nnx.List[BasicBlock | BottleneckBlock]] = nnx.List()
        in_channels = channels
        drops = drop_paths(settings.drop_path, sum(architecture.depths))
        for stage, depth in enumerate(architecture.depths):
            blocks: nnx.List[BasicBlock | BottleneckBlock] = nnx.List()
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(
                    architecture.block(in_channels, channels * 2**stage, stride, next(drops), dtype=dtype, rngs=rngs)
                )
                in_channels = channels * 2**stage * architecture.block.expansion
            self.stages.append(blocks)
        self.head = torch_linear(in_channels, signature.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the features after the last pooling, and the map before it."""
        self.check_size(*image_bhwc.shape[1:3])
        x = max_pool(nnx.relu(self.stem(image_bhwc.astype(self.dtype))))
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: ResNet) -> Names:
    """Yield the names of torchvision and timm for the parts."""
    yield "conv1", network.stem.conv
    yield "bn1", network.stem.norm
    for stage, blocks in enumerate(network.stages, start=1):
        for i, block in enumerate(blocks):
            prefix = f"layer{stage}.{i}"
            for j, part in enumerate(block.parts, start=1):
                yield f"{prefix}.conv{j}", part.conv
                yield f"{prefix}.bn{j}", part.norm
            if isinstance(block, SqueezeBottleneckBlock):
                yield f"{prefix}.se.fc1", block.attention.squeeze
                yield f"{prefix}.se.fc2", block.attention.excite
            if block.shortcut is not None:
                yield f"{prefix}.downsample.0", block.shortcut.conv
                yield f"{prefix}.downsample.1", block.shortcut.norm
    yield "fc", network.head
