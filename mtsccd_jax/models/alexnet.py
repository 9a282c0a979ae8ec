"""AlexNet in its one-column form, arXiv:1404.5997 (section 5), with the layers and initial weights of torchvision."""

from dataclasses import dataclass

import jax
from flax import nnx

from mtsccd_jax.models.layers.convolution import torch_conv
from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.layers.linear import flatten_channels_first, torch_linear
from mtsccd_jax.models.layers.pooling import adaptive_average_pool, max_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


@dataclass(frozen=True)
class Architecture:
    """The layers of the network."""

    # Channels, side of the kernel, stride and padding.
    convolutions: tuple[tuple[int, int, int, int], ...] = (
        (64, 11, 4, 2),
        (192, 5, 1, 2),
        (384, 3, 1, 1),
        (256, 3, 1, 1),
        (256, 3, 1, 1),
    )
    pooled: tuple[int, ...] = (0, 1, 4)  # indices of convolutions
    grid: int = 6  # side of the map that the fully connected layers see
    hidden: int = 4096


class AlexNet(ImageNetwork):
    """AlexNet for images of 63 pixels or more on a side, square or not.

    The last map is averaged to 6 x 6; at 224 pixels it has that size.
    """

    title = "AlexNet"
    follows = frozenset({"features", "dropout"})
    smallest_image = 63  # a smaller image has no map left at the third pooling

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        self.architecture = architecture
        self.dtype = dtype = signature.dtype
        self.rectified_features = settings.features == "rectified"
        self.convolutions: nnx.List[nnx.Module] = nnx.List()
        in_channels = signature.in_channels
        for unscaled, size, stride, padding in architecture.convolutions:
            channels = settings.scaled(unscaled)
            self.convolutions.append(
                torch_conv(in_channels, channels, size, stride, padding=padding, dtype=dtype, rngs=rngs)
            )
            in_channels = channels
        hidden = settings.scaled(architecture.hidden)
        dropout = 0.5 if settings.dropout is None else settings.dropout
        self.drop_map = Dropout(dropout, salt=0)
        self.first = torch_linear(in_channels * architecture.grid**2, hidden, dtype=dtype, rngs=rngs)
        self.drop_features = Dropout(dropout, salt=1)
        self.second = torch_linear(hidden, hidden, dtype=dtype, rngs=rngs)
        self.head = torch_linear(hidden, signature.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the output of the first fully connected layer, and the last pooled map."""
        self.check_size(*image_bhwc.shape[1:3])
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
    """Yield torchvision's names for the parts."""
    for i, convolution in zip((0, 3, 6, 8, 10), network.convolutions, strict=True):
        yield f"features.{i}", convolution
    yield "classifier.1", network.first
    yield "classifier.4", network.second
    yield "classifier.6", network.head
