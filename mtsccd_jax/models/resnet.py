"""Residual networks, arXiv:1512.03385 (Table 1), their strides in the 3x3 convolutions (v1.5, as in torchvision).

Those with squeeze-and-excitation, arXiv:1709.01507 (Table 1), are timm's.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import (
    BatchNorm,
    ConvNorm,
    Dropout,
    Names,
    Output,
    Settings,
    check_size,
    drop_path_rates,
    scaled,
    torch_linear,
    wide,
)
from mtsccd_jax.models.layers.initializers import uniform
from mtsccd_jax.models.layers.pooling import global_average_pool, max_pool
from mtsccd_jax.models.layers.squeeze_excitation import SqueezeExcitation

# Five halvings: a smaller image has no map left at the last stage.
SMALLEST_IMAGE = 32


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions beside a shortcut (ResNet-18 and 34); `drop` is stochastic depth of the two."""

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
        """The convolutions of the residual branch, in order."""
        return self.first, self.second

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h / stride, w / stride, width)."""
        y = self.drop(self.second(nnx.relu(self.first(x))))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class BottleneckBlock(nnx.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut (ResNet-50, 101 and 152); `drop` is their stochastic depth."""

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
        """The convolutions of the residual branch, in order."""
        return self.first, self.second, self.third

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h / stride, w / stride, 4 width)."""
        return nnx.relu(self.drop(self.residual(x)) + (x if self.shortcut is None else self.shortcut(x)))

    def residual(self, x: jax.Array) -> jax.Array:
        """What is added to the shortcut, where an example does not skip it."""
        return self.third(nnx.relu(self.second(nnx.relu(self.first(x)))))


class SqueezeBottleneckBlock(BottleneckBlock):
    """A bottleneck whose residual branch ends in squeeze-and-excitation and begins at zero (SE-ResNet-50)."""

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
        """What is added to the shortcut, where an example does not skip it."""
        return self.attention(super().residual(x))


def shortcut(in_channels: int, channels: int, stride: int, dtype: DTypeLike, rngs: nnx.Rngs) -> ConvNorm | None:
    """None where the block keeps the shape of its input, else a 1x1 convolution that follows it (option B of 3.3)."""
    if stride == 1 and in_channels == channels:
        return None
    return ConvNorm(in_channels, channels, 1, stride, dtype=dtype, rngs=rngs)


@dataclass(frozen=True)
class Architecture:
    """One column of Table 1: the kind of block and how many there are in each of the four stages."""

    block: type[BasicBlock] | type[BottleneckBlock]
    depths: tuple[int, int, int, int]


class ResNet(nnx.Module):
    """A residual network for images of 32 pixels or more on a side, square or not.

    Args:
        architecture: which of Table 1.
        settings: what is chosen whatever the family; `image_size` is only checked, the network takes any from 32.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than 32 pixels.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        check_size((settings.image_size,) * 2, SMALLEST_IMAGE, "a ResNet")
        self.dtype = dtype = settings.dtype
        channels = scaled(64, settings.width)
        self.stem = ConvNorm(settings.in_channels, channels, 7, 2, dtype=dtype, rngs=rngs)
        self.stages: nnx.List[nnx.List[BasicBlock | BottleneckBlock]] = nnx.List()
        in_channels = channels
        rates = enumerate(drop_path_rates(settings.drop_path, sum(architecture.depths)))
        for stage, depth in enumerate(architecture.depths):
            blocks: nnx.List[BasicBlock | BottleneckBlock] = nnx.List()
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                index, rate = next(rates)
                drop = Dropout(rate, salt=index, whole_example=True)
                blocks.append(
                    architecture.block(in_channels, channels * 2**stage, stride, drop, dtype=dtype, rngs=rngs)
                )
                in_channels = channels * 2**stage * architecture.block.expansion
            self.stages.append(blocks)
        self.head = torch_linear(in_channels, settings.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the features after the last pooling, and the map before it."""
        check_size(image_bhwc.shape[1:3], SMALLEST_IMAGE, "a ResNet")
        x = nnx.relu(self.stem(image_bhwc.astype(self.dtype)))
        x = max_pool(x)
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: ResNet) -> Names:
    """What torchvision and timm call the parts."""
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
