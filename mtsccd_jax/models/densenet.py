"""Densely connected networks, arXiv:1608.06993 (Table 1), with bottlenecks and compression as in torchvision.

Every layer reads the maps of all layers before it. If the inputs of every layer were kept for the backward pass, the
memory would grow with the square of the depth; the maps themselves grow with the depth only. So maps are concatenated,
normalised and rectified inside `jax.checkpoint`, which repeats it in the backward pass (arXiv:1707.06990). The moments
of a map, which batch normalisation needs, are computed once for all layers that read it: only scale, bias and running
statistics differ. XLA:CPU drops the barriers of `jax.checkpoint` and reuses the first result; there the moments only
save time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.conv_norm import ConvNorm
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.initializers import kaiming_normal_fan_in, torch_uniform
from mtsccd_jax.models.layers.normalization import BatchNorm, Coefficients, Moments, normalized
from mtsccd_jax.models.layers.pooling import average_pool, global_average_pool, max_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


@dataclass(frozen=True)
class Architecture:
    """A column of Table 1: layers of each dense block, and what all columns share."""

    depths: tuple[int, ...]
    growth: int = 32
    stem: int = 64
    bottleneck: int = 4


class Transition(nnx.Module):
    """Normalisation, rectifier and 1x1 convolution of concatenated maps."""

    def __init__(self, in_channels: int, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.norm = BatchNorm(in_channels, dtype=dtype)
        self.conv = Conv(in_channels, channels, 1, init=kaiming_normal_fan_in, dtype=dtype, rngs=rngs)

    def __call__(self, maps: Sequence[jax.Array], moments: Sequence[Moments | None]) -> jax.Array:
        """Return (b, h, w, channels) from maps (b, h, w, c_i)."""

        def mixed(maps: Sequence[jax.Array], coefficients: Coefficients) -> jax.Array:
            x = jnp.concatenate(maps, axis=-1)
            return self.conv(nnx.relu(normalized(x, coefficients, self.norm.dtype)))

        y: jax.Array = jax.checkpoint(mixed)(maps, self.norm.coefficients(joined(moments)))
        return y


class DenseLayer(nnx.Module):
    """A 1x1 convolution of all earlier maps, and a 3x3 convolution that gives `growth` new channels."""

    def __init__(self, in_channels: int, bottleneck: int, growth: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.mix = Transition(in_channels, bottleneck, dtype=dtype, rngs=rngs)
        self.norm = BatchNorm(bottleneck, dtype=dtype)
        self.conv = Conv(bottleneck, growth, 3, init=kaiming_normal_fan_in, dtype=dtype, rngs=rngs)

    def __call__(self, maps: Sequence[jax.Array], moments: Sequence[Moments | None]) -> jax.Array:
        """Return (b, h, w, growth) from maps (b, h, w, c_i)."""
        return self.conv(nnx.relu(self.norm(self.mix(maps, moments))))


def joined(moments: Sequence[Moments | None]) -> Moments | None:
    """Return the moments of concatenated maps."""
    known = [each for each in moments if each is not None]
    if not known:
        return None
    means, variances, values = zip(*known, strict=True)
    return Moments(jnp.concatenate(means), jnp.concatenate(variances), values[0])


class DenseNet(ImageNetwork):
    """A DenseNet for images of 29 pixels or more on a side, square or not."""

    title = "a DenseNet"
    smallest_image = 29  # a smaller image has no map left at the third transition

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        self.dtype = dtype = signature.dtype
        channels, growth = settings.scaled(architecture.stem), settings.scaled(architecture.growth)
        bottleneck = architecture.bottleneck * growth
        self.stem = ConvNorm(signature.in_channels, channels, 7, 2, init=kaiming_normal_fan_in, dtype=dtype, rngs=rngs)
        self.blocks: nnx.List[nnx.List[DenseLayer]] = nnx.List()
        self.transitions: nnx.List[Transition] = nnx.List()
        for depth in architecture.depths:
            if self.blocks:
                self.transitions.append(Transition(channels, channels // 2, dtype=dtype, rngs=rngs))
                channels //= 2
            layers: nnx.List[DenseLayer] = nnx.List()
            for _ in range(depth):
                layers.append(DenseLayer(channels, bottleneck, growth, dtype=dtype, rngs=rngs))
                channels += growth
            self.blocks.append(layers)
        self.norm = BatchNorm(channels, dtype=dtype)
        self.head = nnx.Linear(channels, signature.num_classes, dtype=wide(dtype), kernel_init=torch_uniform, rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the features after the last pooling, and the map before it."""
        self.check_size(*image_bhwc.shape[1:3])
        x = max_pool(nnx.relu(self.stem(image_bhwc.astype(self.dtype))))
        for layers, transition in zip_longest(self.blocks, self.transitions):
            maps, moments = [x], [self.norm.moments(x)]
            for layer in layers:
                x = layer(maps, moments)
                maps.append(x)
                moments.append(self.norm.moments(x))
            if transition is not None:
                x = average_pool(transition(maps, moments), 2, 2)
        coefficients = self.norm.coefficients(joined(moments))
        x = nnx.relu(normalized(jnp.concatenate(maps, axis=-1), coefficients, self.dtype))
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: DenseNet) -> Names:
    """Yield the names of torchvision and timm for the parts."""
    yield "features.conv0", network.stem.conv
    yield "features.norm0", network.stem.norm
    for i, (layers, transition) in enumerate(zip_longest(network.blocks, network.transitions), start=1):
        for j, layer in enumerate(layers, start=1):
            prefix = f"features.denseblock{i}.denselayer{j}"
            yield f"{prefix}.norm1", layer.mix.norm
            yield f"{prefix}.conv1", layer.mix.conv
            yield f"{prefix}.norm2", layer.norm
            yield f"{prefix}.conv2", layer.conv
        if transition is not None:
            yield f"features.transition{i}.norm", transition.norm
            yield f"features.transition{i}.conv", transition.conv
    yield "features.norm5", network.norm
    yield "classifier", network.head


def file_names(network: DenseNet) -> Names:
    """Yield the names in torchvision's published files, which are older than its code: norm.1 for norm1, and so on."""
    for name, part in names(network):
        layer, _, last = name.rpartition(".")
        yield (f"{layer}.{last[:-1]}.{last[-1]}" if "denselayer" in layer else name), part
