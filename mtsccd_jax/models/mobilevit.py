"""MobileViT, arXiv:2110.02178 (Table 4), with the details and initial weights of timm."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.conv_norm import ConvNorm, conv_norm_names
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.dropout import Dropout, drop_path, drop_path_rates
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.linear import linear
from mtsccd_jax.models.layers.normalization import BatchNorm
from mtsccd_jax.models.layers.pooling import global_average_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.layers.transformer import Attention, Block, block_names, layer_norm
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature

# Side of a patch. A token attends to the tokens at the same place of the other patches.
PATCH = 2
HEADS = 4
MLP_RATIO = 2
LAYER_NORM_EPSILON = 1e-5
LINEAR_INIT = normal(0.01)


class Stage(NamedTuple):
    """A stage of Table 4: inverted residuals and, where `embedding` is not 0, transformer blocks after them."""

    channels: int
    blocks: int
    stride: int
    embedding: int = 0
    depth: int = 0


@dataclass(frozen=True)
class Architecture:
    """A column of Table 4: the stages, channels of the last convolution, and the expansion of inverted residuals."""

    stages: tuple[Stage, ...]
    last: int
    expansion: int = 4
    stem: int = 16


XXS = Architecture(
    (Stage(16, 1, 1), Stage(24, 3, 2), Stage(48, 1, 2, 64, 2), Stage(64, 1, 2, 80, 4), Stage(80, 1, 2, 96, 3)),
    last=320,
    expansion=2,
)
XS = Architecture(
    (Stage(32, 1, 1), Stage(48, 3, 2), Stage(64, 1, 2, 96, 2), Stage(80, 1, 2, 120, 4), Stage(96, 1, 2, 144, 3)),
    last=384,
)
S = Architecture(
    (Stage(32, 1, 1), Stage(64, 3, 2), Stage(96, 1, 2, 144, 2), Stage(128, 1, 2, 192, 4), Stage(160, 1, 2, 240, 3)),
    last=640,
)


class InvertedResidual(nnx.Module):
    """A depthwise 3x3 convolution of an expanded map (arXiv:1801.04381, section 3.3).

    `drop` is the stochastic depth of a block with a shortcut. timm also drops blocks without one, whose output is then
    zero.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        expansion: int,
        stride: int,
        drop: Dropout,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        inner = expansion * in_channels
        self.expand = ConvNorm(in_channels, inner, 1, dtype=dtype, rngs=rngs)
        self.depthwise = ConvNorm(inner, inner, 3, stride, groups=inner, dtype=dtype, rngs=rngs)
        self.project = ConvNorm(inner, channels, 1, dtype=dtype, rngs=rngs)
        self.drop = drop if stride == 1 and in_channels == channels else None
        if self.drop is not None:
            # A block with a shortcut begins as the identity.
            self.project.norm = BatchNorm(channels, dtype=dtype, initial_scale=0.0)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h / stride, w / stride, channels)."""
        y = self.project(nnx.silu(self.depthwise(nnx.silu(self.expand(x)))))
        return y if self.drop is None else x + self.drop(y)


class MobileVitBlock(nnx.Module):
    """Convolutions for what is near, transformer blocks for what is far, and a convolution of both (section 3.1).

    `rate` is the share of the examples that skip a branch of a transformer block in training, and `first` the place of
    the first such block in the network.
    """

    def __init__(
        self, channels: int, embedding: int, depth: int, *, rate: float, first: int, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.local = ConvNorm(channels, channels, 3, dtype=dtype, rngs=rngs)
        self.embed = Conv(channels, embedding, 1, dtype=dtype, rngs=rngs)
        attention = partial(Attention, embedding, HEADS, init=LINEAR_INIT, dtype=dtype, rngs=rngs)
        block = partial(Block, embedding, attention, mlp_ratio=MLP_RATIO, activation=nnx.silu, init=LINEAR_INIT)
        block = partial(block, epsilon=LAYER_NORM_EPSILON, rate=rate, dtype=dtype, rngs=rngs)
        self.blocks = nnx.List(block(index=first + index) for index in range(depth))
        self.norm = layer_norm(embedding, dtype, rngs, LAYER_NORM_EPSILON)
        self.project = ConvNorm(embedding, channels, 1, dtype=dtype, rngs=rngs)
        self.fuse = ConvNorm(2 * channels, channels, 3, dtype=dtype, rngs=rngs)

    def __call__(self, x_bhwc: jax.Array) -> jax.Array:
        """Map (b, h, w, c) to (b, h, w, c)."""
        y = self.embed(nnx.silu(self.local(x_bhwc)))
        b, h, w, d = y.shape
        rows, columns = -(-h // PATCH), -(-w // PATCH)
        # A map that is no multiple of the patch is stretched to one.
        y = resized(y, rows * PATCH, columns * PATCH)
        y = y.reshape(b, rows, PATCH, columns, PATCH, d).transpose(0, 2, 4, 1, 3, 5).reshape(-1, rows * columns, d)
        for block in self.blocks:
            y = block(y)
        y = self.norm(y)
        y = y.reshape(b, PATCH, PATCH, rows, columns, d).transpose(0, 3, 1, 4, 2, 5)
        y = resized(y.reshape(b, rows * PATCH, columns * PATCH, d), h, w)
        y = nnx.silu(self.project(y))
        return nnx.silu(self.fuse(jnp.concatenate([x_bhwc, y], axis=-1)))


def resized(x_bhwc: jax.Array, height: int, width: int) -> jax.Array:
    """Return the map at another size: bilinear between the centres of its cells, as torch without aligned corners."""
    b, h, w, c = x_bhwc.shape
    if (h, w) == (height, width):
        return x_bhwc
    stretched: jax.Array = jax.image.resize(x_bhwc, (b, height, width, c), "bilinear", antialias=False)
    return stretched


class MobileVit(ImageNetwork):
    """A MobileViT for images of 32 pixels or more on a side, square or not.

    `width` scales channels and heads; the number of heads stays. As in timm, the transformer blocks of a stage have the
    same rate of stochastic depth.
    """

    title = "a MobileViT"
    follows = frozenset({"drop_path"})
    smallest_image = 32  # five halvings

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        self.dtype = dtype = signature.dtype
        in_channels = settings.scaled(architecture.stem)
        self.stem = ConvNorm(signature.in_channels, in_channels, 3, 2, dtype=dtype, rngs=rngs)
        self.stages: nnx.List[nnx.List[InvertedResidual | MobileVitBlock]] = nnx.List()
        depth = sum(stage.blocks + (stage.depth > 0) for stage in architecture.stages)
        rates = enumerate(drop_path_rates(settings.drop_path, depth))
        transformers = 0
        # The salts of the transformer blocks, two each, come first.
        first_salt = 2 * sum(stage.depth for stage in architecture.stages)
        for stage in architecture.stages:
            channels = settings.scaled(stage.channels)
            blocks: nnx.List[InvertedResidual | MobileVitBlock] = nnx.List()
            for block in range(stage.blocks):
                stride = stage.stride if block == 0 else 1
                index, rate = next(rates)
                drop = drop_path(rate, salt=first_salt + index)
                blocks.append(
                    InvertedResidual(
                        in_channels, channels, architecture.expansion, stride, drop, dtype=dtype, rngs=rngs
                    )
                )
                in_channels = channels
            if stage.embedding:
                embedding = HEADS * settings.scaled(stage.embedding // HEADS)
                _, rate = next(rates)
                blocks.append(
                    MobileVitBlock(
                        channels, embedding, stage.depth, rate=rate, first=transformers, dtype=dtype, rngs=rngs
                    )
                )
                transformers += stage.depth
            self.stages.append(blocks)
        features = settings.scaled(architecture.last)
        self.last = ConvNorm(in_channels, features, 1, dtype=dtype, rngs=rngs)
        self.head = linear(features, signature.num_classes, wide(dtype), rngs, LINEAR_INIT)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the features after the last pooling, and the map before it."""
        self.check_size(*image_bhwc.shape[1:3])
        x = nnx.silu(self.stem(image_bhwc.astype(self.dtype)))
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        x = nnx.silu(self.last(x))
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: MobileVit) -> Names:
    """Yield timm's names for the parts."""
    yield from conv_norm_names("stem", network.stem)
    for stage, blocks in enumerate(network.stages):
        for i, block in enumerate(blocks):
            prefix = f"stages.{stage}.{i}"
            if isinstance(block, InvertedResidual):
                yield from conv_norm_names(f"{prefix}.conv1_1x1", block.expand)
                yield from conv_norm_names(f"{prefix}.conv2_kxk", block.depthwise)
                yield from conv_norm_names(f"{prefix}.conv3_1x1", block.project)
                continue
            yield from conv_norm_names(f"{prefix}.conv_kxk", block.local)
            yield f"{prefix}.conv_1x1", block.embed
            for j, transformer in enumerate(block.blocks):
                yield from block_names(f"{prefix}.transformer.{j}", transformer)
            yield f"{prefix}.norm", block.norm
            yield from conv_norm_names(f"{prefix}.conv_proj", block.project)
            yield from conv_norm_names(f"{prefix}.conv_fusion", block.fuse)
    yield from conv_norm_names("final_conv", network.last)
    yield "head.fc", network.head
