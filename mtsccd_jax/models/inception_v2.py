"""Inception v2, the network in which batch normalisation was introduced: arXiv:1502.03167 (section 4.2 and Figure 5).

Layers and names are those of BN-Inception as it was published in Caffe and ported to PyTorch (`bninception` of the
package pretrainedmodels), whose convolutions have a bias beside the normalisation and whose weights begin as torch's.
The published weights see channels in the order blue, green, red, from 0 to 255 less 104, 117 and 128. The port moves
its running statistics by 0.9 of the way to the new value; here they move by 0.1 as in every other network.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import (
    ConvChain,
    Names,
    Output,
    Settings,
    Step,
    check_size,
    scaled,
    torch_linear,
    wide,
)
from mtsccd_jax.models.layers.initializers import torch_uniform
from mtsccd_jax.models.layers.pooling import average_pool, global_average_pool, max_pool

# A smaller image has no map left at the second pooling.
SMALLEST_IMAGE = 7


class Row(NamedTuple):
    """Channels of an inception module as the columns of Figure 5 have them.

    A module without a first and a last convolution halves its map.
    """

    one: int
    reduce_three: int
    three: int
    reduce_double: int
    double: int
    projection: int


@dataclass(frozen=True)
class Architecture:
    """The inception modules of Figure 5, and in which the maximum is taken before the projection, not the mean."""

    modules: tuple[tuple[str, Row], ...] = (
        ("3a", Row(64, 64, 64, 64, 96, 32)),
        ("3b", Row(64, 64, 96, 64, 96, 64)),
        ("3c", Row(0, 128, 160, 64, 96, 0)),
        ("4a", Row(224, 64, 96, 96, 128, 128)),
        ("4b", Row(192, 96, 128, 96, 128, 128)),
        ("4c", Row(160, 128, 160, 128, 160, 128)),
        ("4d", Row(96, 128, 192, 160, 192, 128)),
        ("4e", Row(0, 128, 192, 192, 256, 0)),
        ("5a", Row(352, 192, 320, 160, 224, 128)),
        ("5b", Row(352, 192, 320, 192, 224, 128)),
    )
    maxima: tuple[str, ...] = ("5b",)


def chain(in_channels: int, *steps: Step, dtype: DTypeLike, rngs: nnx.Rngs) -> ConvChain:
    """Convolutions one after the other, with the initial weights and the bias of this network."""
    return ConvChain(in_channels, *steps, use_bias=True, init=torch_uniform, dtype=dtype, rngs=rngs)


class Inception(nnx.Module):
    """A 1x1 convolution, a 3x3 one, two 3x3 ones and a pooling that see the same map, their results side by side."""

    def __init__(self, in_channels: int, row: Row, *, maximum: bool, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        stride = 1 if row.projection else 2
        self.maximum = maximum
        self.one = chain(in_channels, Step(row.one, 1), dtype=dtype, rngs=rngs) if row.one else None
        self.three = chain(in_channels, Step(row.reduce_three, 1), Step(row.three, 3, stride), dtype=dtype, rngs=rngs)
        self.double = chain(
            in_channels,
            Step(row.reduce_double, 1),
            Step(row.double, 3),
            Step(row.double, 3, stride),
            dtype=dtype,
            rngs=rngs,
        )
        self.projection = (
            chain(in_channels, Step(row.projection, 1), dtype=dtype, rngs=rngs) if row.projection else None
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h / stride, w / stride, channels of all branches), rounded up."""
        branches = [] if self.one is None else [self.one(x)]
        branches += [self.three(x), self.double(x)]
        if self.projection is None:
            branches.append(halving_max_pool(x))
        else:
            branches.append(self.projection(max_pool(x, 3, 1, 1) if self.maximum else average_pool(x, 3, 1, 1)))
        return jnp.concatenate(branches, axis=-1)


def halving_max_pool(x: jax.Array) -> jax.Array:
    """The largest value of every 3x3 window that begins at an even place: (b, h / 2, w / 2, c), rounded up.

    The port leaves out the last window of an odd side, and so does not take the images that lead to one: its
    convolutions have that window. Zeros never win where values are rectified.
    """
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    return max_pool(x, 3, 2, 0, ceil_mode=True)


class InceptionV2(nnx.Module):
    """Inception v2 for images of 7 pixels or more on a side, square or not.

    The port takes those that leave modules 3c and 4e even maps: 31 to 38 pixels, 63 to 70, ..., 223 to 230.

    Args:
        architecture: the inception modules.
        settings: what is chosen whatever the family; `image_size` is only checked, the network takes any from 7.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than 7 pixels.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        check_size((settings.image_size,) * 2, SMALLEST_IMAGE, "Inception v2")
        dtype = settings.dtype
        narrow, in_channels = scaled(64, settings.width), scaled(192, settings.width)
        self.stem = chain(settings.in_channels, Step(narrow, 7, 2), dtype=dtype, rngs=rngs)
        self.second = chain(narrow, Step(narrow, 1), Step(in_channels, 3), dtype=dtype, rngs=rngs)
        self.module_names = tuple(name for name, _ in architecture.modules)
        self.modules: nnx.List[Inception] = nnx.List()
        for name, unscaled in architecture.modules:
            row = Row(*(channels and scaled(channels, settings.width) for channels in unscaled))
            maximum = name in architecture.maxima
            self.modules.append(Inception(in_channels, row, maximum=maximum, dtype=dtype, rngs=rngs))
            in_channels = row.one + row.three + row.double + (row.projection or in_channels)
        self.head = torch_linear(in_channels, settings.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the features after the last pooling, and the map before it."""
        check_size(image_bhwc.shape[1:3], SMALLEST_IMAGE, "Inception v2")
        x = max_pool(self.stem(image_bhwc), 3, 2, 0, ceil_mode=True)
        x = max_pool(self.second(x), 3, 2, 0, ceil_mode=True)
        for module in self.modules:
            x = module(x)
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: InceptionV2) -> Names:
    """What the port calls the parts."""
    yield from _named(network.stem, "conv1_7x7_s2")
    yield from _named(network.second, "conv2_3x3_reduce", "conv2_3x3")
    for name, module in zip(network.module_names, network.modules, strict=True):
        prefix = f"inception_{name}"
        if module.one is not None:
            yield from _named(module.one, f"{prefix}_1x1")
        yield from _named(module.three, f"{prefix}_3x3_reduce", f"{prefix}_3x3")
        yield from _named(
            module.double, f"{prefix}_double_3x3_reduce", f"{prefix}_double_3x3_1", f"{prefix}_double_3x3_2"
        )
        if module.projection is not None:
            yield from _named(module.projection, f"{prefix}_pool_proj")
    yield "last_linear", network.head


def _named(chain: ConvChain, *convolutions: str) -> Names:
    """The convolutions of a chain, each before its normalisation."""
    for name, part in zip(convolutions, chain.parts, strict=True):
        yield name, part.conv
        yield f"{name}_bn", part.norm
