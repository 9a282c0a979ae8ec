"""GoogLeNet, arXiv:1409.4842 (Table 1), with the layers and initial weights of torchvision.

As there, convolutions are batch-normalised, and the convolution that the table calls 5x5 is a 3x3 one.

The network does not contain torchvision's `transform_input`, which its published weights switch on. Those weights were
trained on images from -1 to 1: normalise with mean and standard deviation 0.5 in every channel.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.conv_norm import ConvChain, Step, conv_norm_names
from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.linear import flatten_channels_first, torch_linear
from mtsccd_jax.models.layers.pooling import adaptive_average_pool, global_average_pool, max_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import AuxiliaryNetwork, Names, Output, Settings, Signature

# torchvision truncates its normal at +-2, which is 200 standard deviations: a plain normal.
WEIGHT_INIT = normal(0.01)
BATCH_NORM_EPSILON = 1e-3
# The modules before which the map is pooled, with the side of the window, and those followed by a side classifier.
POOLED_BEFORE = {"3a": 3, "4a": 3, "5a": 2}
SIDE_CLASSIFIERS = ("4a", "4d")
# The weight of each auxiliary loss (section 5).
AUXILIARY_WEIGHT = 0.3


class Row(NamedTuple):
    """Channels of the convolutions of an inception module, in the columns of Table 1."""

    one: int
    reduce_three: int
    three: int
    reduce_five: int
    five: int
    projection: int


@dataclass(frozen=True)
class Architecture:
    """The inception modules of Table 1."""

    modules: tuple[tuple[str, Row], ...] = (
        ("3a", Row(64, 96, 128, 16, 32, 32)),
        ("3b", Row(128, 128, 192, 32, 96, 64)),
        ("4a", Row(192, 96, 208, 16, 48, 64)),
        ("4b", Row(160, 112, 224, 24, 64, 64)),
        ("4c", Row(128, 128, 256, 24, 64, 64)),
        ("4d", Row(112, 144, 288, 32, 64, 64)),
        ("4e", Row(256, 160, 320, 32, 128, 128)),
        ("5a", Row(256, 160, 320, 32, 128, 128)),
        ("5b", Row(384, 192, 384, 48, 128, 128)),
    )


# Convolutions one after the other, with the initial weights and the normalisation of this network.
chain = partial(ConvChain, init=WEIGHT_INIT, epsilon=BATCH_NORM_EPSILON)


class Inception(nnx.Module):
    """Convolutions of three sizes and a pooling of the same map, their results concatenated (Figure 2b)."""

    def __init__(self, in_channels: int, row: Row, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.one = chain(in_channels, Step(row.one, 1), dtype=dtype, rngs=rngs)
        self.three = chain(in_channels, Step(row.reduce_three, 1), Step(row.three, 3), dtype=dtype, rngs=rngs)
        self.five = chain(in_channels, Step(row.reduce_five, 1), Step(row.five, 3), dtype=dtype, rngs=rngs)
        self.projection = chain(in_channels, Step(row.projection, 1), dtype=dtype, rngs=rngs)

    @property
    def branches(self) -> tuple[ConvChain, ...]:
        """The branches in order."""
        return self.one, self.three, self.five, self.projection

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h, w, one + three + five + projection)."""
        pooled = self.projection(max_pool(x, 3, 1, 1))
        return jnp.concatenate([self.one(x), self.three(x), self.five(x), pooled], axis=-1)


class SideClassifier(nnx.Module):
    """A classifier of an intermediate map, which brings the gradient there in training (section 5)."""

    def __init__(
        self, in_channels: int, signature: Signature, settings: Settings, *, salt: int, rngs: nnx.Rngs
    ) -> None:
        channels, hidden, dtype = settings.scaled(128), settings.scaled(1024), signature.dtype
        self.projection = chain(in_channels, Step(channels, 1), dtype=dtype, rngs=rngs)
        self.hidden = torch_linear(channels * 4 * 4, hidden, init=WEIGHT_INIT, dtype=dtype, rngs=rngs)
        self.dropout = Dropout(0.7, salt=salt)
        self.head = torch_linear(hidden, signature.num_classes, init=WEIGHT_INIT, dtype=wide(dtype), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, k) in float32 at least."""
        x = flatten_channels_first(self.projection(adaptive_average_pool(x, 4)))
        return self.head(self.dropout(nnx.relu(self.hidden(x))))


class GoogLeNet(AuxiliaryNetwork):
    """GoogLeNet for images of 15 pixels or more on a side, square or not.

    Two side classifiers, after modules 4a and 4d, also score images in training.
    """

    title = "GoogLeNet"
    follows = frozenset({"dropout"})
    smallest_image = 15  # a smaller image has no map left at the third pooling

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        dtype = signature.dtype
        narrow, in_channels = settings.scaled(64), settings.scaled(192)
        self.stem = chain(signature.in_channels, Step(narrow, 7, 2), dtype=dtype, rngs=rngs)
        self.second = chain(narrow, Step(narrow, 1), Step(in_channels, 3), dtype=dtype, rngs=rngs)
        self.module_names = tuple(name for name, _ in architecture.modules)
        self.modules: nnx.List[Inception] = nnx.List()
        self.auxiliary: nnx.List[SideClassifier] = nnx.List()
        for name, unscaled in architecture.modules:
            row = Row(*map(settings.scaled, unscaled))
            self.modules.append(Inception(in_channels, row, dtype=dtype, rngs=rngs))
            in_channels = row.one + row.three + row.five + row.projection
            if name in SIDE_CLASSIFIERS:
                self.auxiliary.append(
                    SideClassifier(in_channels, signature, settings, salt=len(self.auxiliary) + 1, rngs=rngs)
                )
        self.dropout = Dropout(0.2 if settings.dropout is None else settings.dropout, salt=0)
        self.head = torch_linear(in_channels, signature.num_classes, init=WEIGHT_INIT, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the features after the last pooling, the map before it, and in training two side logits."""
        self.check_size(*image_bhwc.shape[1:3])
        x = max_pool(self.stem(image_bhwc), 3, 2, 0, ceil_mode=True)
        x = self.second(x)
        halfway = []
        for name, module in zip(self.module_names, self.modules, strict=True):
            if name in POOLED_BEFORE:
                x = max_pool(x, POOLED_BEFORE[name], 2, 0, ceil_mode=True)
            x = module(x)
            if name in SIDE_CLASSIFIERS:
                halfway.append(x)
        features = global_average_pool(x)
        logits = self.head(self.dropout(features))
        if self.use_running_average:
            return Output(logits, features, x)
        auxiliary = tuple(classify(x) for classify, x in zip(self.auxiliary, halfway, strict=True))
        return Output(logits, features, x, auxiliary, AUXILIARY_WEIGHT)


def names(network: GoogLeNet) -> Names:
    """Yield torchvision's names for the parts."""
    for i, part in enumerate((*network.stem.parts, *network.second.parts), start=1):
        yield from conv_norm_names(f"conv{i}", part)
    for name, module in zip(network.module_names, network.modules, strict=True):
        for branch, chain in enumerate(module.branches, start=1):
            # The first number of the fourth branch is that of a pooling.
            numbers = {1: ("",), 2: (".0", ".1"), 3: (".0", ".1"), 4: (".1",)}[branch]
            for number, part in zip(numbers, chain.parts, strict=True):
                yield from conv_norm_names(f"inception{name}.branch{branch}{number}", part)
    for i, side in enumerate(network.auxiliary, start=1):
        (projection,) = side.projection.parts
        yield from conv_norm_names(f"aux{i}.conv", projection)
        yield f"aux{i}.fc1", side.hidden
        yield f"aux{i}.fc2", side.head
    yield "fc", network.head
