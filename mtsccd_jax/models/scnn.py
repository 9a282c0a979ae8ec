"""The shallow CNN of BigEarthNet v1, arXiv:1902.06148 (section 4), for 3 bands (S-CNN-RGB) or all 12 (S-CNN-All).

The paper gives three zero-padded convolutions, of 32 channels at 5x5, 32 at 5x5 and 64 at 3x3, max pooling between
layers, one fully connected layer and one classification layer, all begun at random. What it leaves open is ours:

- every convolution keeps the size of its map, is rectified, and is then pooled by 2x2 at stride 2, the last one too;
- the fully connected layer has 128 outputs and is rectified; there is no dropout;
- weights begin as torch's do.
"""

from dataclasses import dataclass

import jax
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.layers.blocks import (
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
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.pooling import max_pool


@dataclass(frozen=True)
class Architecture:
    """Channels and side of the kernel of every convolution, and the width of the hidden layer."""

    convolutions: tuple[tuple[int, int], ...] = ((32, 5), (32, 5), (64, 3))
    hidden: int = 128


class ShallowCNN(nnx.Module):
    """A shallow CNN for square images of one size, 120 pixels in the paper.

    Args:
        architecture: the convolutions and the hidden layer.
        settings: what is chosen whatever the family; `image_size`, 8 or more, decides the inputs of the hidden layer.
        rngs: source of the initial weights.

    Raises:
        InputError: the size is smaller than 8 pixels, or an image has another size than the network was made for.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        halvings = len(architecture.convolutions)
        check_size((settings.image_size,) * 2, 2**halvings, "an S-CNN")
        self.image_size = settings.image_size
        self.dtype = dtype = settings.dtype
        self.convolutions: nnx.List[Conv] = nnx.List()
        in_channels = settings.in_channels
        for unscaled, size in architecture.convolutions:
            channels = scaled(unscaled, settings.width)
            self.convolutions.append(torch_conv(in_channels, channels, size, dtype=dtype, rngs=rngs))
            in_channels = channels
        hidden = scaled(architecture.hidden, settings.width)
        positions = (self.image_size // 2**halvings) ** 2
        self.hidden = torch_linear(in_channels * positions, hidden, dtype=dtype, rngs=rngs)
        self.head = torch_linear(hidden, settings.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the rectified output of the hidden layer, and the last pooled map."""
        height, width = image_bhwc.shape[1:3]
        if (height, width) != (self.image_size, self.image_size):
            raise InputError(
                f"this S-CNN was made for images of {self.image_size}x{self.image_size} pixels, not {height}x{width}: "
                "resize them or set image_size"
            )
        x = image_bhwc
        for convolution in self.convolutions:
            x = max_pool(nnx.relu(convolution(x)), 2, 2, 0)
        features = nnx.relu(self.hidden(flatten_channels_first(x))).astype(wide(self.dtype))
        return Output(self.head(features), features, x)


def names(network: ShallowCNN) -> Names:
    """What we call the parts, since no weights of it are published in torch."""
    for i, convolution in enumerate(network.convolutions, start=1):
        yield f"conv{i}", convolution
    yield "fc1", network.hidden
    yield "fc2", network.head
