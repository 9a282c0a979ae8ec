"""Inception v2, the network that introduced batch normalisation: arXiv:1502.03167 (section 4.2 and Figure 5).

Layers and names are those of BN-Inception, published in Caffe and ported to PyTorch (`bninception` of the package
pretrainedmodels). Its convolutions have a bias beside the normalisation, and torch's initial weights. The published
weights take the channels blue, green and red, from 0 to 255, minus 104, 117 and 128. In the port the running statistics
are 0.1 old + 0.9 new; here they are 0.9 old + 0.1 new as in all networks.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.conv_norm import ConvChain, Step
from mtsccd_jax.models.layers.initializers import torch_uniform
from mtsccd_jax.models.layers.linear import torch_linear
from mtsccd_jax.models.layers.pooling import average_pool, global_average_pool, max_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


class Row(NamedTuple):
    """Channels of an inception module, in the columns of Figure 5.

    A module without the first and the last convolution halves the map.
    """

    one: int
    reduce_three: int
    three: int
    reduce_double: int
    double: int
    projection: int


@dataclass(frozen=True)
class Architecture:
    """The inception modules of Figure 5, and those with a maximum instead of a mean before the projection."""

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


# Convolutions one after the other, with the initial weights and the bias of this network.
chain = partial(ConvChain, use_bias=True, init=torch_uniform)


class Inception(nnx.Module):
    """A 1x1 convolution, a 3x3, two 3x3 and a pooling of the same map, their results concatenated."""

    def __init__(self, in_channels: int, row: Row, *, maximum: bool, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        stride = 1 if row.projection else 2
        self.maximum = maximum
        self.one = chain(in_channels, Step(row.one, 1), dtype=dtype, rngs=rngs) if row.one else None
        self.three = chain(in_channels, Step(row.reduce_three, 1), Step(row.three, 3, stride), dtype=dtype, rngs=rngs)
        double = Step(row.reduce_double, 1), Step(row.double, 3), Step(row.double, 3, stride)
        self.double = chain(in_channels, *double, dtype=dtype, rngs=rngs)
        last = Step(row.projection, 1)
        self.projection = chain(in_channels, last, dtype=dtype, rngs=rngs) if row.projection else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h / stride, w / stride, channels of all branches), rounded up."""
        branches = [] if self.one is None else [self.one(x)]
        branches += [self.three(x), self.double(x)]
        if self.projection is None:
            branches.append(halving_max_pool(x))
        else:
            branches.append(self.projection(max_pool(x, 3, 1, 1) if self.maximum else average_pool(x, 3, 1, 1)))
        return jnp.concatenate(branches, axis=-1)


def halving_max_pool(x: jax.Array) -> jax.Array:
    """Return the largest value of every 3x3 window at stride 2: (b, h / 2, w / 2, c), rounded up.

    The port leaves out the last window of an odd side, which its convolutions have; so it fails at sizes that lead to
    an odd map. The values are rectified, so the zeros of the padding are never larger.
    """
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    return max_pool(x, 3, 2, 0, ceil_mode=True)


class InceptionV2(ImageNetwork):
    """Inception v2 for images of 7 pixels or more on a side, square or not.

    The port takes sizes where the maps after modules 3c and 4e are even: 31 to 38 pixels, 63 to 70, ..., 223 to 230.
    """

    title = "Inception v2"
    smallest_image = 7  # a smaller image has no map left at the second pooling

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        dtype = signature.dtype
        narrow, in_channels = settings.scaled(64), settings.scaled(192)
        self.stem = chain(signature.in_channels, Step(narrow, 7, 2), dtype=dtype, rngs=rngs)
        self.second = chain(narrow, Step(narrow, 1), Step(in_channels, 3), dtype=dtype, rngs=rngs)
        self.module_names = tuple(name for name, _ in architecture.modules)
        self.modules: nnx.List[Inception] = nnx.List()
        for name, unscaled in architecture.modules:
            row = Row(*(channels and settings.scaled(channels) for channels in unscaled))
            maximum = name in architecture.maxima
            self.modules.append(Inception(in_channels, row, maximum=maximum, dtype=dtype, rngs=rngs))
            in_channels = row.one + row.three + row.double + (row.projection or in_channels)
        self.head = torch_linear(in_channels, signature.num_classes, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the features after the last pooling, and the map before it."""
        self.check_size(*image_bhwc.shape[1:3])
        x = max_pool(self.stem(image_bhwc), 3, 2, 0, ceil_mode=True)
        x = max_pool(self.second(x), 3, 2, 0, ceil_mode=True)
        for module in self.modules:
            x = module(x)
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: InceptionV2) -> Names:
    """Yield the port's names for the parts."""
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
    """Yield the names of a chain, each convolution before its normalisation."""
    for name, part in zip(convolutions, chain.parts, strict=True):
        yield name, part.conv
        yield f"{name}_bn", part.norm
