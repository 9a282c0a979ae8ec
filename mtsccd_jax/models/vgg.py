"""VGG, arXiv:1409.1556 (Table 1), without normalisation, with the layers and initial weights of torchvision."""

from dataclasses import dataclass

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import (
    Dropout,
    Names,
    Output,
    Settings,
    check_size,
    flatten_channels_first,
    scaled,
    wide,
)
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.pooling import adaptive_average_pool, max_pool

# Five halvings: a smaller image has no map left at the end.
SMALLEST_IMAGE = 32
CHANNELS = (64, 128, 256, 512, 512)
GRID = 7
HIDDEN = 4096


@dataclass(frozen=True)
class Architecture:
    """One column of Table 1: how many 3x3 convolutions there are in each of the five stages."""

    depths: tuple[int, ...]


def linear(in_features: int, out_features: int, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer that begins with normal weights of deviation 0.01 and no bias."""
    return nnx.Linear(in_features, out_features, dtype=dtype, kernel_init=normal(0.01), rngs=rngs)


class VGG(nnx.Module):
    """A VGG for images of 32 pixels or more on a side, square or not.

    The last map is averaged to 7 x 7, which at 224 pixels it is.

    Args:
        architecture: the depth of each stage.
        settings: what is chosen whatever the family; `image_size` is only checked, the network takes any from 32.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than 32 pixels.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        check_size((settings.image_size,) * 2, SMALLEST_IMAGE, "a VGG")
        self.dtype = dtype = settings.dtype
        self.rectified_features = settings.rectified_features
        self.stages: nnx.List[nnx.List[Conv]] = nnx.List()
        in_channels = settings.in_channels
        for unscaled, depth in zip(CHANNELS, architecture.depths, strict=True):
            channels = scaled(unscaled, settings.width)
            stage: nnx.List[Conv] = nnx.List()
            for _ in range(depth):
                stage.append(Conv(in_channels, channels, 3, use_bias=True, dtype=dtype, rngs=rngs))
                in_channels = channels
            self.stages.append(stage)
        hidden = scaled(HIDDEN, settings.width)
        self.first = linear(in_channels * GRID**2, hidden, dtype, rngs)
        dropout = 0.5 if settings.dropout is None else settings.dropout
        self.drop_features = Dropout(dropout, salt=0)
        self.second = linear(hidden, hidden, dtype, rngs)
        self.drop_hidden = Dropout(dropout, salt=1)
        self.head = linear(hidden, settings.num_classes, wide(dtype), rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the (rectified) output of the first fully connected layer, and the last pooled map."""
        check_size(image_bhwc.shape[1:3], SMALLEST_IMAGE, "a VGG")
        x = image_bhwc
        for stage in self.stages:
            for convolution in stage:
                x = nnx.relu(convolution(x))
            x = max_pool(x, 2, 2, 0)
        flat = flatten_channels_first(adaptive_average_pool(x, GRID))
        first = self.first(flat).astype(wide(self.dtype))
        rectified = nnx.relu(first)
        hidden = nnx.relu(self.second(self.drop_features(rectified)))
        return Output(self.head(self.drop_hidden(hidden)), rectified if self.rectified_features else first, x)


def names(network: VGG) -> Names:
    """What torchvision calls the parts: a rectifier takes a number after every convolution, and every pooling one."""
    i = 0
    for stage in network.stages:
        for convolution in stage:
            yield f"features.{i}", convolution
            i += 2
        i += 1
    yield "classifier.0", network.first
    yield "classifier.3", network.second
    yield "classifier.6", network.head
