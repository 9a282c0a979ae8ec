"""VGG, arXiv:1409.1556 (Table 1), without normalisation, with the layers and initial weights of torchvision."""

from dataclasses import dataclass

import jax
from flax import nnx

from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.linear import flatten_channels_first, linear
from mtsccd_jax.models.layers.pooling import adaptive_average_pool, max_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature

CHANNELS = (64, 128, 256, 512, 512)
GRID = 7
HIDDEN = 4096
WEIGHT_INIT = normal(0.01)


@dataclass(frozen=True)
class Architecture:
    """A column of Table 1: the number of 3x3 convolutions in each of the five stages."""

    depths: tuple[int, ...]


class VGG(ImageNetwork):
    """A VGG for images of 32 pixels or more on a side, square or not.

    The last map is averaged to 7 x 7; at 224 pixels it has that size.
    """

    title = "a VGG"
    follows = frozenset({"features", "dropout"})
    smallest_image = 32  # five halvings

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        self.dtype = dtype = signature.dtype
        self.rectified_features = settings.features == "rectified"
        self.stages: nnx.List[nnx.List[Conv]] = nnx.List()
        in_channels = signature.in_channels
        for unscaled, depth in zip(CHANNELS, architecture.depths, strict=True):
            channels = settings.scaled(unscaled)
            stage: nnx.List[Conv] = nnx.List()
            for _ in range(depth):
                stage.append(Conv(in_channels, channels, 3, use_bias=True, dtype=dtype, rngs=rngs))
                in_channels = channels
            self.stages.append(stage)
        hidden = settings.scaled(HIDDEN)
        self.first = linear(in_channels * GRID**2, hidden, dtype, rngs, WEIGHT_INIT)
        dropout = 0.5 if settings.dropout is None else settings.dropout
        self.drop_features = Dropout(dropout, salt=0)
        self.second = linear(hidden, hidden, dtype, rngs, WEIGHT_INIT)
        self.drop_hidden = Dropout(dropout, salt=1)
        self.head = linear(hidden, signature.num_classes, wide(dtype), rngs, WEIGHT_INIT)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the output of the first fully connected layer, and the last pooled map."""
        self.check_size(*image_bhwc.shape[1:3])
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
    """Yield torchvision's names for the parts."""
    yield from _stage_names(network)
    yield "classifier.0", network.first
    yield "classifier.3", network.second
    yield "classifier.6", network.head


def timm_names(network: VGG) -> Names:
    """Yield timm's names for the parts; its fully connected layers are convolutions of the whole map."""
    yield from _stage_names(network)
    yield "pre_logits.fc1", network.first
    yield "pre_logits.fc2", network.second
    yield "head.fc", network.head


def _stage_names(network: VGG) -> Names:
    """Yield the names of the convolutions; rectifiers and poolings have numbers of their own."""
    i = 0
    for stage in network.stages:
        for convolution in stage:
            yield f"features.{i}", convolution
            i += 2
        i += 1
