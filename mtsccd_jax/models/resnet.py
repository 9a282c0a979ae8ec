"""Residual networks, arXiv:1512.03385 (Table 1), their strides in the 3x3 convolutions (v1.5, as in torchvision)."""

from dataclasses import dataclass
from typing import ClassVar

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.convolution import Conv
from mtsccd_jax.models.layers import BatchNorm, Output, global_average_pool, max_pool, torch_linear

# Five halvings: a smaller image has no map left at the last stage.
SMALLEST_IMAGE = 32


class ConvNorm(nnx.Module):
    """A convolution and its batch normalisation."""

    def __init__(
        self, in_channels: int, channels: int, size: int, stride: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.conv = Conv(in_channels, channels, size, stride, dtype=dtype, rngs=rngs)
        self.norm = BatchNorm(channels, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """The normalised map, not yet rectified."""
        return self.norm(self.conv(x))


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions beside a shortcut (ResNet-18 and 34)."""

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, width: int, stride: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.first = ConvNorm(in_channels, width, 3, stride, dtype=dtype, rngs=rngs)
        self.second = ConvNorm(width, width, 3, 1, dtype=dtype, rngs=rngs)
        self.shortcut = shortcut(in_channels, width, stride, dtype, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h / stride, w / stride, width)."""
        y = self.second(nnx.relu(self.first(x)))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class BottleneckBlock(nnx.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut (ResNet-50 and 101)."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, width: int, stride: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        channels = width * self.expansion
        self.first = ConvNorm(in_channels, width, 1, 1, dtype=dtype, rngs=rngs)
        self.second = ConvNorm(width, width, 3, stride, dtype=dtype, rngs=rngs)
        self.third = ConvNorm(width, channels, 1, 1, dtype=dtype, rngs=rngs)
        self.shortcut = shortcut(in_channels, channels, stride, dtype, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h / stride, w / stride, 4 width)."""
        y = self.third(nnx.relu(self.second(nnx.relu(self.first(x)))))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


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
        num_classes: width of the classifier.
        image_size: side in pixels of the images to come; only checked, the network takes any size from 32.
        in_channels: channels of an image.
        width: factor on the number of channels everywhere (64 in the stem at 1.0).
        dtype: type of the computation; parameters and statistics are float32.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than 32 pixels.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int,
        image_size: int,
        in_channels: int,
        width: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        check_size(image_size, image_size)
        self.dtype = dtype
        channels = max(1, round(64 * width))
        self.stem = ConvNorm(in_channels, channels, 7, 2, dtype=dtype, rngs=rngs)
        self.stages: nnx.List[nnx.List[nnx.Module]] = nnx.List()
        in_channels = channels
        for stage, depth in enumerate(architecture.depths):
            blocks: nnx.List[nnx.Module] = nnx.List()
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(architecture.block(in_channels, channels * 2**stage, stride, dtype=dtype, rngs=rngs))
                in_channels = channels * 2**stage * architecture.block.expansion
            self.stages.append(blocks)
        self.head = torch_linear(in_channels, num_classes, rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the features after the last pooling, and the map before it."""
        check_size(*image_bhwc.shape[1:3])
        x = nnx.relu(self.stem(image_bhwc.astype(self.dtype)))
        x = max_pool(x)
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def check_size(height: int, width: int) -> None:
    """Refuse images that the five halvings would leave nothing of."""
    if min(height, width) < SMALLEST_IMAGE:
        raise InputError(
            f"a ResNet takes images of {SMALLEST_IMAGE} pixels or more, not {height}x{width}: set a larger image_size"
        )
