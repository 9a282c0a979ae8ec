"""AlexNet in its one-column form, arXiv:1404.5997 (section 5), with the layers and initial weights of torchvision."""

from dataclasses import dataclass

import jax
from flax import nnx

from mtsccd_jax.models.layers.blocks import (
    Dropout,
    Names,
    Output,
    Settings,
    check_size,
    flatten_channels_first,
    scaled,
    torch_conv,
    torch_linear,
    wide,
)
from mtsccd_jax.models.layers.pooling import adaptive_average_pool, max_pool

# A smaller image has no map left at the third pooling.
SMALLEST_IMAGE = 63


@dataclass(frozen=True)
class Architecture:
    """Channels, side of the kernel, stride and padding of every convolution, and which of them are pooled."""

    convolutions: tuple[tuple[int, int, int, int], ...] = (
        (64, 11, 4, 2),
        (192, 5, 1, 2),
        (384, 3, 1, 1),
        (256, 3, 1, 1),
        (256, 3, 1, 1),
    )
    pooled: tuple[int, ...] = (0, 1, 4)
    grid: int = 6
    hidden: int = 4096


class AlexNet(nnx.Module):
    """AlexNet for images of 63 pixels or more on a side, square or not.

    The last map is averaged to 6 x 6, which at 224 pixels it is.

    Args:
        architecture: the convolutions, and the width of the hidden layers.
        settings: what is chosen whatever the family; `image_size` is only checked, the network takes any from 63.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than 63 pixels.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        check_size((settings.image_size,) * 2, SMALLEST_IMAGE, "AlexNet")
        self.architecture = architecture
        self.dtype = dtype = settings.dtype
        self.rectified_features = settings.rectified_features
        self.convolutions: nnx.List[nnx.Module] = nnx.List()
        in_channels = settings.in_channels
        for unscaled, size, stride, padding in architecture.convolutions:
            channels = scaled(unscaled, settings.width)
            self.convolutions.append(
                torch_conv(in_channels, channels, size, stride, padding=padding, dtype=dtype, rngs=rngs)
            )
            in_channels = channels
        hidden = scaled(architecture.hidden, settings.width)
        dropout = 0.5 if settings.dropout is None else settings.dropout
        self.drop_map = Dropout(dropout, salt=0)
        self.first = torch_linear(in_channels * architecture.grid**2, hidden, dtype=dtype, rngs=rngs)
        self.drop_features = Dropout(dropout, salt=1)
        self.second = torch_linear(hidden, hidden, dtype=dtype, rngs=rngs)
        self.head = torch_linear(hidden, settings.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the (rectified) output of the first fully connected layer, and the last pooled map."""
        check_size(image_bhwc.shape[1:3], SMALLEST_IMAGE, "AlexNet")
        x = image_bhwc
        for i, convolution in enumerate(self.convolutions):
            x = nnx.relu(convolution(x))
            if i in self.architecture.pooled:
                x = max_pool(x, 3, 2, 0)
        flat = flatten_channels_first(adaptive_average_pool(x, self.architecture.grid))
        first = self.first(self.drop_map(flat)).astype(wide(self.dtype))
        rectified = nnx.relu(first)
        hidden = nnx.relu(self.second(self.drop_features(rectified)))
        return Output(self.head(hidden), rectified if self.rectified_features else first, x)


def names(network: AlexNet) -> Names:
    """What torchvision calls the parts."""
    for i, convolution in zip((0, 3, 6, 8, 10), network.convolutions, strict=True):
        yield f"features.{i}", convolution
    yield "classifier.1", network.first
    yield "classifier.4", network.second
    yield "classifier.6", network.head
