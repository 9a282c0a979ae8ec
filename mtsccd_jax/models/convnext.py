"""ConvNeXt V2, arXiv:2301.00808 (section 3), in the variant and with the initial weights of timm."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.dropout import Dropout, drop_paths
from mtsccd_jax.models.layers.linear import WEIGHT_INIT, linear
from mtsccd_jax.models.layers.pooling import global_average_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.layers.transformer import gelu, layer_norm
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


@dataclass(frozen=True)
class Architecture:
    """A network of appendix A, or one of timm's smaller relatives: blocks and channels of each stage."""

    depths: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    convolutions: bool = False  # the published layers over the channels are 1x1 convolutions; they compute the same


# A convolution with timm's initial weights.
convolution = partial(Conv, use_bias=True, init=WEIGHT_INIT)


class ResponseNorm(nnx.Module):
    """Global response normalisation: scale each channel by its share of the map's magnitude (algorithm 1).

    Its initial weights make it the identity.
    """

    def __init__(self, channels: int) -> None:
        self.weight = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))

    def __call__(self, x_bhwc: jax.Array) -> jax.Array:
        """Map (b, h, w, c) to (b, h, w, c)."""
        x = x_bhwc.astype(wide(x_bhwc.dtype))
        square = jnp.sum(jnp.square(x), axis=(1, 2), keepdims=True)
        # A channel may be zero everywhere, and the root has no gradient at zero.
        empty = square == 0
        magnitude = jnp.where(empty, 0, jnp.sqrt(jnp.where(empty, 1, square)))
        share = magnitude / (jnp.mean(magnitude, axis=-1, keepdims=True) + 1e-6)
        return (x + self.weight[...] * (x * share) + self.bias[...]).astype(x_bhwc.dtype)


class Block(nnx.Module):
    """A depthwise 7x7 convolution and an MLP over the channels, with a shortcut (figure 5).

    `drop` is the stochastic depth of the block.
    """

    def __init__(self, channels: int, convolutions: bool, drop: Dropout, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        def pointwise(in_channels: int, out_channels: int) -> nnx.Module:
            if convolutions:
                return convolution(in_channels, out_channels, 1, dtype=dtype, rngs=rngs)
            return linear(in_channels, out_channels, dtype, rngs)

        self.depthwise = convolution(channels, channels, 7, groups=channels, dtype=dtype, rngs=rngs)
        self.norm = layer_norm(channels, dtype, rngs)
        self.expand = pointwise(channels, 4 * channels)
        self.response_norm = ResponseNorm(4 * channels)
        self.contract = pointwise(4 * channels, channels)
        self.drop = drop

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, c) to (b, h, w, c)."""
        y = gelu(self.expand(self.norm(self.depthwise(x))))
        return x + self.drop(self.contract(self.response_norm(y)))


class Downsampling(nnx.Module):
    """A normalisation, and a 2x2 convolution that halves the map."""

    def __init__(self, in_channels: int, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.norm = layer_norm(in_channels, dtype, rngs)
        self.conv = convolution(in_channels, channels, 2, 2, padding=0, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h // 2, w // 2, channels)."""
        return self.conv(self.norm(x))


class ConvNeXt(ImageNetwork):
    """A ConvNeXt V2 for images of 32 pixels or more on a side, square or not.

    As published it has no stochastic depth.
    """

    title = "a ConvNeXt"
    follows = frozenset({"drop_path"})
    smallest_image = 32  # patches of four pixels and three halvings

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        self.dtype = dtype = signature.dtype
        channels = [settings.scaled(channels) for channels in architecture.channels]
        self.stem = convolution(signature.in_channels, channels[0], 4, 4, padding=0, dtype=dtype, rngs=rngs)
        self.stem_norm = layer_norm(channels[0], dtype, rngs)
        self.downsamplings = nnx.List(
            [Downsampling(channels[i], channels[i + 1], dtype=dtype, rngs=rngs) for i in range(3)]
        )
        self.stages: nnx.List[nnx.List[Block]] = nnx.List()
        drops = drop_paths(settings.drop_path, sum(architecture.depths))
        for width, depth in zip(channels, architecture.depths, strict=True):
            blocks: nnx.List[Block] = nnx.List()
            for _ in range(depth):
                blocks.append(Block(width, architecture.convolutions, next(drops), dtype=dtype, rngs=rngs))
            self.stages.append(blocks)
        self.norm = layer_norm(channels[-1], wide(dtype), rngs)
        self.head = linear(channels[-1], signature.num_classes, wide(dtype), rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the normalised features after the last pooling, and the map before it."""
        self.check_size(*image_bhwc.shape[1:3])
        x = self.stem_norm(self.stem(image_bhwc))
        for stage, blocks in enumerate(self.stages):
            if stage > 0:
                x = self.downsamplings[stage - 1](x)
            for block in blocks:
                x = block(x)
        features = self.norm(global_average_pool(x))
        return Output(self.head(features), features, x)


def names(network: ConvNeXt) -> Names:
    """Yield timm's names for the parts."""
    yield "stem.0", network.stem
    yield "stem.1", network.stem_norm
    for stage, blocks in enumerate(network.stages):
        if stage > 0:
            yield f"stages.{stage}.downsample.0", network.downsamplings[stage - 1].norm
            yield f"stages.{stage}.downsample.1", network.downsamplings[stage - 1].conv
        for i, block in enumerate(blocks):
            prefix = f"stages.{stage}.blocks.{i}"
            yield f"{prefix}.conv_dw", block.depthwise
            yield f"{prefix}.norm", block.norm
            yield f"{prefix}.mlp.fc1", block.expand
            yield f"{prefix}.mlp.grn.weight", block.response_norm.weight
            yield f"{prefix}.mlp.grn.bias", block.response_norm.bias
            yield f"{prefix}.mlp.fc2", block.contract
    yield "head.norm", network.norm
    yield "head.fc", network.head
