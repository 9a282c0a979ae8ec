"""MobileViT, arXiv:2110.02178 (Table 4), its details and initial weights as in timm."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import (
    BatchNorm,
    ConvNorm,
    Dropout,
    Names,
    Output,
    Settings,
    check_size,
    drop_path_rates,
    scaled,
    wide,
)
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.pooling import global_average_pool
from mtsccd_jax.models.layers.transformer import Block, block_names, layer_norm, linear

# Five halvings: a smaller image has no map left at the last stage.
SMALLEST_IMAGE = 32
# Side of the patches, of which a token of each attends to those at the same place of the others.
PATCH = 2
HEADS = 4
MLP_RATIO = 2
LAYER_NORM_EPSILON = 1e-5
LINEAR_INIT = normal(0.01)


class Stage(NamedTuple):
    """A stage of Table 4: inverted residuals, and where `embedding` is not 0 transformer blocks after them."""

    channels: int
    blocks: int
    stride: int
    embedding: int = 0
    depth: int = 0


@dataclass(frozen=True)
class Architecture:
    """A column of Table 4: the stages, channels of the last convolution, and what inverted residuals expand by."""

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
    """A depthwise 3x3 convolution of more channels than come in and go out (arXiv:1801.04381, section 3.3).

    `drop` is stochastic depth where the block has an identity to skip it by. timm drops the others too, which leaves
    nothing of an example.
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
            # A block that can begin as the identity does.
            self.project.norm = BatchNorm(channels, dtype=dtype, initial_scale=0.0)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h / stride, w / stride, channels)."""
        y = self.project(nnx.silu(self.depthwise(nnx.silu(self.expand(x)))))
        return y if self.drop is None else x + self.drop(y)


class MobileVitBlock(nnx.Module):
    """Convolutions for what is near, transformer blocks for what is far, and a convolution over both (section 3.1).

    Args:
        channels: of the map.
        embedding: channels of a token.
        depth: transformer blocks.
        drop_path: share of the examples that skip a branch of any of them in training.
        first: index of the first of them in the network.
        dtype: type of the computation.
        rngs: source of the initial weights.
    """

    def __init__(
        self,
        channels: int,
        embedding: int,
        depth: int,
        *,
        drop_path: float,
        first: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.local = ConvNorm(channels, channels, 3, dtype=dtype, rngs=rngs)
        self.embed = Conv(channels, embedding, 1, dtype=dtype, rngs=rngs)
        self.blocks = nnx.List(
            Block(
                embedding,
                HEADS,
                mlp_ratio=MLP_RATIO,
                activation=nnx.silu,
                epsilon=LAYER_NORM_EPSILON,
                drop_path=drop_path,
                index=first + index,
                init=LINEAR_INIT,
                dtype=dtype,
                rngs=rngs,
            )
            for index in range(depth)
        )
        self.norm = layer_norm(embedding, dtype, rngs, LAYER_NORM_EPSILON)
        self.project = ConvNorm(embedding, channels, 1, dtype=dtype, rngs=rngs)
        self.fuse = ConvNorm(2 * channels, channels, 3, dtype=dtype, rngs=rngs)

    def __call__(self, x_bhwc: jax.Array) -> jax.Array:
        """(b, h, w, c) -> (b, h, w, c)."""
        y = self.embed(nnx.silu(self.local(x_bhwc)))
        b, h, w, d = y.shape
        rows, columns = -(-h // PATCH), -(-w // PATCH)
        # A map that patches do not fill is stretched until they do.
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
    """The map at another size, bilinearly between the centres of its cells, as torch does without aligned corners."""
    b, h, w, c = x_bhwc.shape
    if (h, w) == (height, width):
        return x_bhwc
    return jax.image.resize(x_bhwc, (b, height, width, c), "bilinear", antialias=False)


class MobileVit(nnx.Module):
    """A MobileViT for images of 32 pixels or more on a side, square or not.

    Args:
        architecture: a column of Table 4.
        settings: what is chosen whatever the family; `image_size` is only checked, the network takes any from 32.
            `width` scales channels and heads, whose number stays. The transformer blocks of a stage share a rate of
            stochastic depth, as in timm.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than 32 pixels.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        check_size((settings.image_size,) * 2, SMALLEST_IMAGE, "a MobileViT")
        self.dtype = dtype = settings.dtype
        width = settings.width
        in_channels = scaled(architecture.stem, width)
        self.stem = ConvNorm(settings.in_channels, in_channels, 3, 2, dtype=dtype, rngs=rngs)
        self.stages: nnx.List[nnx.List[InvertedResidual | MobileVitBlock]] = nnx.List()
        depth = sum(stage.blocks + (stage.depth > 0) for stage in architecture.stages)
        rates = enumerate(drop_path_rates(settings.drop_path, depth))
        transformers = 0
        # Behind the salts of the transformer blocks, two each.
        first_salt = 2 * sum(stage.depth for stage in architecture.stages)
        for stage in architecture.stages:
            channels = scaled(stage.channels, width)
            blocks: nnx.List[InvertedResidual | MobileVitBlock] = nnx.List()
            for block in range(stage.blocks):
                stride = stage.stride if block == 0 else 1
                index, rate = next(rates)
                drop = Dropout(rate, salt=first_salt + index, whole_example=True)
                blocks.append(
                    InvertedResidual(
                        in_channels, channels, architecture.expansion, stride, drop, dtype=dtype, rngs=rngs
                    )
                )
                in_channels = channels
            if stage.embedding:
                embedding = HEADS * scaled(stage.embedding // HEADS, width)
                _, rate = next(rates)
                blocks.append(
                    MobileVitBlock(
                        channels, embedding, stage.depth, drop_path=rate, first=transformers, dtype=dtype, rngs=rngs
                    )
                )
                transformers += stage.depth
            self.stages.append(blocks)
        features = scaled(architecture.last, width)
        self.last = ConvNorm(in_channels, features, 1, dtype=dtype, rngs=rngs)
        self.head = linear(features, settings.num_classes, wide(dtype), rngs, LINEAR_INIT)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the features after the last pooling, and the map before it."""
        check_size(image_bhwc.shape[1:3], SMALLEST_IMAGE, "a MobileViT")
        x = nnx.silu(self.stem(image_bhwc.astype(self.dtype)))
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        x = nnx.silu(self.last(x))
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def names(network: MobileVit) -> Names:
    """What timm calls the parts."""

    def conv_norm(prefix: str, part: ConvNorm) -> Names:
        yield f"{prefix}.conv", part.conv
        yield f"{prefix}.bn", part.norm

    yield from conv_norm("stem", network.stem)
    for stage, blocks in enumerate(network.stages):
        for i, block in enumerate(blocks):
            prefix = f"stages.{stage}.{i}"
            if isinstance(block, InvertedResidual):
                yield from conv_norm(f"{prefix}.conv1_1x1", block.expand)
                yield from conv_norm(f"{prefix}.conv2_kxk", block.depthwise)
                yield from conv_norm(f"{prefix}.conv3_1x1", block.project)
                continue
            yield from conv_norm(f"{prefix}.conv_kxk", block.local)
            yield f"{prefix}.conv_1x1", block.embed
            for j, transformer in enumerate(block.blocks):
                yield from block_names(f"{prefix}.transformer.{j}", transformer)
            yield f"{prefix}.norm", block.norm
            yield from conv_norm(f"{prefix}.conv_proj", block.project)
            yield from conv_norm(f"{prefix}.conv_fusion", block.fuse)
    yield from conv_norm("final_conv", network.last)
    yield "head.fc", network.head
