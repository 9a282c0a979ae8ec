"""The shallow CNN of BigEarthNet v1, arXiv:1902.06148 (section 4), for 3 bands (S-CNN-RGB) or all 12 (S-CNN-All).

The paper gives three zero-padded convolutions (32 channels at 5x5, 32 at 5x5, 64 at 3x3), max pooling between layers,
one fully connected layer and one classification layer, with random initial weights. The rest is our choice:

- every convolution keeps the size of its map and is rectified, then pooled by 2x2 at stride 2, the last one too;
- the fully connected layer has 128 outputs and is rectified; there is no dropout;
- the initial weights are torch's.
"""

from dataclasses import dataclass

import jax
from flax import nnx

from mtsccd_jax.models.layers.convolution import Conv, torch_conv
from mtsccd_jax.models.layers.linear import flatten_channels_first, torch_linear
from mtsccd_jax.models.layers.pooling import max_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


@dataclass(frozen=True)
class Architecture:
    """Channels and side of the kernel of every convolution, and the width of the hidden layer."""

    convolutions: tuple[tuple[int, int], ...] = ((32, 5), (32, 5), (64, 3))
    hidden: int = 128


class ShallowCNN(ImageNetwork):
    """A shallow CNN for square images of one size, 120 pixels in the paper.

    The image size decides the inputs of the hidden layer.
    """

    title = "an S-CNN"

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        image_size = signature.image_size
        self.smallest_image, self.image_size = 2 ** len(architecture.convolutions), image_size
        self.check_size(image_size, image_size)
        self.dtype = dtype = signature.dtype
        self.convolutions: nnx.List[Conv] = nnx.List()
        in_channels = signature.in_channels
        for unscaled, size in architecture.convolutions:
            channels = settings.scaled(unscaled)
            self.convolutions.append(torch_conv(in_channels, channels, size, dtype=dtype, rngs=rngs))
            in_channels = channels
        hidden = settings.scaled(architecture.hidden)
        positions = (image_size // self.smallest_image) ** 2
        self.hidden = torch_linear(in_channels * positions, hidden, dtype=dtype, rngs=rngs)
        self.head = torch_linear(hidden, signature.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the rectified output of the hidden layer, and the last pooled map."""
        self.check_size(*image_bhwc.shape[1:3])
        x = image_bhwc
        for convolution in self.convolutions:
            x = max_pool(nnx.relu(convolution(x)), 2, 2, 0)
        features = nnx.relu(self.hidden(flatten_channels_first(x))).astype(wide(self.dtype))
        return Output(self.head(features), features, x)


def names(network: ShallowCNN) -> Names:
    """Yield our own names for the parts: no weights are published in torch."""
    for i, convolution in enumerate(network.convolutions, start=1):
        yield f"conv{i}", convolution
    yield "fc1", network.hidden
    yield "fc2", network.head
