"""EfficientNet-B0, arXiv:1905.11946 (Table 1), its details as in torchvision and timm, which agree."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.conv_norm import ConvNorm, conv_norm_names
from mtsccd_jax.models.layers.dropout import Dropout, drop_path
from mtsccd_jax.models.layers.initializers import uniform
from mtsccd_jax.models.layers.pooling import global_average_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.layers.squeeze_excitation import SqueezeExcitation
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


class Stage(NamedTuple):
    """A row of Table 1: the blocks of a stage. Only the first has the stride."""

    expansion: int
    size: int
    stride: int
    channels: int
    blocks: int


@dataclass(frozen=True)
class Architecture:
    """Table 1: channels of the stem, the stages and channels of the last convolution, and the published rates."""

    stem: int
    stages: tuple[Stage, ...]
    last: int
    dropout: float = 0.2
    stochastic_depth: float = 0.2


B0 = Architecture(
    stem=32,
    stages=(
        Stage(1, 3, 1, 16, 1),
        Stage(6, 3, 2, 24, 2),
        Stage(6, 5, 2, 40, 2),
        Stage(6, 3, 2, 80, 3),
        Stage(6, 5, 1, 112, 3),
        Stage(6, 5, 2, 192, 4),
        Stage(6, 3, 1, 320, 1),
    ),
    last=1280,
)


class InvertedResidual(nnx.Module):
    """An inverted residual with squeeze-and-excitation (MBConv); `size` and `stride` are the depthwise convolution's.

    `drop` is the stochastic depth of a block with a shortcut: one that keeps the shape of its input.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        expansion: int,
        size: int,
        stride: int,
        drop: Dropout,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        inner = expansion * in_channels
        self.expand = ConvNorm(in_channels, inner, 1, dtype=dtype, rngs=rngs) if expansion > 1 else None
        self.depthwise = ConvNorm(inner, inner, size, stride, groups=inner, dtype=dtype, rngs=rngs)
        squeezed = max(1, in_channels // 4)
        self.attention = SqueezeExcitation(inner, squeezed, activation=nnx.silu, dtype=dtype, rngs=rngs)
        self.project = ConvNorm(inner, channels, 1, dtype=dtype, rngs=rngs)
        self.drop = drop if stride == 1 and in_channels == channels else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h / stride, w / stride, channels)."""
        y = x if self.expand is None else nnx.silu(self.expand(x))
        y = self.project(self.attention(nnx.silu(self.depthwise(y))))
        return y if self.drop is None else x + self.drop(y)


class EfficientNet(ImageNetwork):
    """An EfficientNet for images of 32 pixels or more on a side, square or not.

    The initial weights are timm's, which are the authors'. torchvision's depthwise kernels are smaller by the square
    root of their channels.
    """

    title = "an EfficientNet"
    follows = frozenset({"dropout", "drop_path"})
    smallest_image = 32  # five halvings

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        self.dtype = dtype = signature.dtype
        in_channels = settings.scaled(architecture.stem)
        self.stem = ConvNorm(signature.in_channels, in_channels, 3, 2, dtype=dtype, rngs=rngs)
        self.stages: nnx.List[nnx.List[InvertedResidual]] = nnx.List()
        depth = sum(stage.blocks for stage in architecture.stages)
        last_rate = architecture.stochastic_depth if settings.drop_path is None else settings.drop_path
        position = 0
        for expansion, size, stride, stage_channels, count in architecture.stages:
            channels = settings.scaled(stage_channels)
            blocks: nnx.List[InvertedResidual] = nnx.List()
            for block in range(count):
                drop = drop_path(last_rate * position / depth, salt=position)
                step = stride if block == 0 else 1
                blocks.append(
                    InvertedResidual(in_channels, channels, expansion, size, step, drop, dtype=dtype, rngs=rngs)
                )
                in_channels = channels
                position += 1
            self.stages.append(blocks)
        features = settings.scaled(architecture.last)
        self.last = ConvNorm(in_channels, features, 1, dtype=dtype, rngs=rngs)
        self.dropout = Dropout(architecture.dropout if settings.dropout is None else settings.dropout, salt=depth)
        head_init = uniform(signature.num_classes**-0.5)
        self.head = nnx.Linear(features, signature.num_classes, dtype=wide(dtype), kernel_init=head_init, rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the features after the last pooling, and the map before it."""
        self.check_size(*image_bhwc.shape[1:3])
        x = nnx.silu(self.stem(image_bhwc.astype(self.dtype)))
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        x = nnx.silu(self.last(x))
        features = global_average_pool(x)
        return Output(self.head(self.dropout(features)), features, x)


def torchvision_names(network: EfficientNet) -> Names:
    """Yield torchvision's names for the parts."""
    conv_norm = partial(conv_norm_names, conv="0", norm="1")
    yield from conv_norm("features.0", network.stem)
    for stage, blocks in enumerate(network.stages, start=1):
        for i, block in enumerate(blocks):
            prefix, step = f"features.{stage}.{i}.block", 0
            if block.expand is not None:
                yield from conv_norm(f"{prefix}.0", block.expand)
                step = 1
            yield from conv_norm(f"{prefix}.{step}", block.depthwise)
            yield f"{prefix}.{step + 1}.fc1", block.attention.squeeze
            yield f"{prefix}.{step + 1}.fc2", block.attention.excite
            yield from conv_norm(f"{prefix}.{step + 2}", block.project)
    yield from conv_norm(f"features.{len(network.stages) + 1}", network.last)
    yield "classifier.1", network.head


def timm_names(network: EfficientNet) -> Names:
    """Yield timm's names for the parts."""
    yield "conv_stem", network.stem.conv
    yield "bn1", network.stem.norm
    for stage, blocks in enumerate(network.stages):
        for i, block in enumerate(blocks):
            prefix, norm = f"blocks.{stage}.{i}", 1
            if block.expand is not None:
                yield f"{prefix}.conv_pw", block.expand.conv
                yield f"{prefix}.bn1", block.expand.norm
                norm = 2
            yield f"{prefix}.conv_dw", block.depthwise.conv
            yield f"{prefix}.bn{norm}", block.depthwise.norm
            yield f"{prefix}.se.conv_reduce", block.attention.squeeze
            yield f"{prefix}.se.conv_expand", block.attention.excite
            yield f"{prefix}.{'conv_pw' if block.expand is None else 'conv_pwl'}", block.project.conv
            yield f"{prefix}.bn{norm + 1}", block.project.norm
    yield "conv_head", network.last.conv
    yield "bn2", network.last.norm
    yield "classifier", network.head
