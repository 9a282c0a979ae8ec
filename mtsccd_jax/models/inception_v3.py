"""Inception v3, arXiv:1512.00567 (Table 1), with the layers and initial weights of torchvision.

torchvision's `transform_input`, which is on with its published weights, is no part of the network: those weights were
trained on images from -1 to 1, so normalise by a mean and a deviation of 0.5 in every channel.

The side classifier of training needs a map of 17 x 17, which images from 299 pixels leave it. Where `image_size` is
smaller (torchvision fails in training there) the network has none.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import (
    ConvChain,
    ConvNorm,
    Dropout,
    Names,
    Output,
    Settings,
    Step,
    check_size,
    scaled,
    torch_linear,
    wide,
)
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.pooling import average_pool, global_average_pool, max_pool

# A smaller image has no map left at the last halving, or none for the side classifier's 5x5 convolution.
SMALLEST_IMAGE = 75
SMALLEST_IMAGE_OF_SIDE_CLASSIFIER = 299
# torchvision truncates its normals at +-2, which is 20 standard deviations or more: plain normals. It means the side
# classifier's second convolution to begin by 0.01, but in fact all convolutions begin alike.
WEIGHT_INIT = normal(0.1)
SIDE_HEAD_INIT = normal(0.001)
BATCH_NORM_EPSILON = 1e-3
# Of the loss of the side classifier, as in the TF-Slim training that the published weights come from.
AUXILIARY_WEIGHT = 0.4


@dataclass(frozen=True)
class Fork:
    """The end of a branch: convolutions of 1x3 and of 3x1 beside each other, of so many channels each (Figure 7)."""

    channels: int


@dataclass(frozen=True)
class Block:
    """One inception module.

    Attributes:
        branches: of each torchvision's name and the convolutions; a branch called `branch_pool` sees the local mean.
        halves: whether the convolutions of stride 2 have a pooling beside them.
    """

    branches: tuple[tuple[str, tuple[Step | Fork, ...]], ...]
    halves: bool = False


def block_a(projection: int) -> Block:
    """A module of Figure 5, for maps of 35 x 35; torchvision keeps a 5x5 convolution in it."""
    return Block(
        (
            ("branch1x1", (Step(64, 1),)),
            ("branch5x5", (Step(48, 1), Step(64, 5))),
            ("branch3x3dbl", (Step(64, 1), Step(96, 3), Step(96, 3))),
            ("branch_pool", (Step(projection, 1),)),
        )
    )


BLOCK_B = Block(
    (
        ("branch3x3", (Step(384, 3, 2, 0),)),
        ("branch3x3dbl", (Step(64, 1), Step(96, 3), Step(96, 3, 2, 0))),
    ),
    halves=True,
)


def block_c(narrow: int) -> Block:
    """A module of Figure 6, for maps of 17 x 17."""
    row, column = (1, 7), (7, 1)
    return Block(
        (
            ("branch1x1", (Step(192, 1),)),
            ("branch7x7", (Step(narrow, 1), Step(narrow, row), Step(192, column))),
            (
                "branch7x7dbl",
                (Step(narrow, 1), Step(narrow, column), Step(narrow, row), Step(narrow, column), Step(192, row)),
            ),
            ("branch_pool", (Step(192, 1),)),
        )
    )


BLOCK_D = Block(
    (
        ("branch3x3", (Step(192, 1), Step(320, 3, 2, 0))),
        ("branch7x7x3", (Step(192, 1), Step(192, (1, 7)), Step(192, (7, 1)), Step(192, 3, 2, 0))),
    ),
    halves=True,
)

# A module of Figure 7, for maps of 8 x 8.
BLOCK_E = Block(
    (
        ("branch1x1", (Step(320, 1),)),
        ("branch3x3", (Step(384, 1), Fork(384))),
        ("branch3x3dbl", (Step(448, 1), Step(384, 3), Fork(384))),
        ("branch_pool", (Step(192, 1),)),
    )
)


@dataclass(frozen=True)
class Architecture:
    """The inception modules by torchvision's names, and after which the side classifier sees the map."""

    blocks: tuple[tuple[str, Block], ...] = (
        ("Mixed_5b", block_a(32)),
        ("Mixed_5c", block_a(64)),
        ("Mixed_5d", block_a(64)),
        ("Mixed_6a", BLOCK_B),
        ("Mixed_6b", block_c(128)),
        ("Mixed_6c", block_c(160)),
        ("Mixed_6d", block_c(160)),
        ("Mixed_6e", block_c(192)),
        ("Mixed_7a", BLOCK_D),
        ("Mixed_7b", BLOCK_E),
        ("Mixed_7c", BLOCK_E),
    )
    side_classifier: str = "Mixed_6e"


def chain(in_channels: int, *steps: Step, dtype: DTypeLike, rngs: nnx.Rngs) -> ConvChain:
    """Convolutions one after the other, with the initial weights and the normalisation of this network."""
    return ConvChain(in_channels, *steps, init=WEIGHT_INIT, epsilon=BATCH_NORM_EPSILON, dtype=dtype, rngs=rngs)


class Branch(nnx.Module):
    """Convolutions one after the other, the last of them forked in two where the steps say so."""

    def __init__(
        self, in_channels: int, steps: tuple[Step | Fork, ...], width: float, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        plain = [step._replace(channels=scaled(step.channels, width)) for step in steps if isinstance(step, Step)]
        self.chain = chain(in_channels, *plain, dtype=dtype, rngs=rngs)
        self.channels = plain[-1].channels
        self.fork: nnx.List[ConvChain] = nnx.List()
        if isinstance(last := steps[-1], Fork):
            channels = scaled(last.channels, width)
            for size in ((1, 3), (3, 1)):
                self.fork.append(chain(self.channels, Step(channels, size), dtype=dtype, rngs=rngs))
            self.channels = 2 * channels

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h', w', channels)."""
        x = self.chain(x)
        return jnp.concatenate([part(x) for part in self.fork], axis=-1) if self.fork else x


class Inception(nnx.Module):
    """Branches that see the same map, their results side by side."""

    def __init__(self, in_channels: int, block: Block, width: float, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.branch_names = tuple(name for name, _ in block.branches)
        self.branches = nnx.List(
            [Branch(in_channels, steps, width, dtype=dtype, rngs=rngs) for _, steps in block.branches]
        )
        self.halves = block.halves
        self.channels = sum(branch.channels for branch in self.branches) + (in_channels if block.halves else 0)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h, w, channels), or (b, (h - 1) // 2, (w - 1) // 2, channels)."""
        maps = [
            branch(average_pool(x, 3, 1, 1) if name == "branch_pool" else x)
            for name, branch in zip(self.branch_names, self.branches, strict=True)
        ]
        if self.halves:
            maps.append(max_pool(x, 3, 2, 0))
        return jnp.concatenate(maps, axis=-1)


class SideClassifier(nnx.Module):
    """Scores from a map halfway, which bring the gradient there in training (section 4)."""

    def __init__(self, in_channels: int, settings: Settings, *, rngs: nnx.Rngs) -> None:
        narrow, channels = scaled(128, settings.width), scaled(768, settings.width)
        self.chain = chain(in_channels, Step(narrow, 1), Step(channels, 5, 1, 0), dtype=settings.dtype, rngs=rngs)
        self.head = torch_linear(
            channels, settings.num_classes, init=SIDE_HEAD_INIT, dtype=wide(settings.dtype), rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels), 17 or more on a side -> (b, k) in float32 at least."""
        return self.head(global_average_pool(self.chain(average_pool(x, 5, 3))))


class InceptionV3(nnx.Module):
    """Inception v3 for images of 75 pixels or more on a side, square or not; 299 in the paper.

    In train mode a side classifier gives scores of its own.

    Args:
        architecture: the inception modules.
        settings: what is chosen whatever the family. The network takes images of any size from 75; `image_size`
            decides whether there is a side classifier, which in train mode takes images from 299.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than 75 pixels, or than 299 where a side classifier is trained.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        check_size((settings.image_size,) * 2, SMALLEST_IMAGE, "Inception v3")
        dtype = settings.dtype
        self.use_running_average = False
        first, second, third, last = (scaled(channels, settings.width) for channels in (32, 64, 80, 192))
        self.stem = chain(
            settings.in_channels,
            Step(first, 3, 2, 0),
            Step(first, 3, 1, 0),
            Step(second, 3),
            dtype=dtype,
            rngs=rngs,
        )
        self.second = chain(second, Step(third, 1), Step(last, 3, 1, 0), dtype=dtype, rngs=rngs)
        self.block_names = tuple(name for name, _ in architecture.blocks)
        self.side_classifier = architecture.side_classifier
        self.blocks: nnx.List[Inception] = nnx.List()
        # One or none.
        self.auxiliary: nnx.List[SideClassifier] = nnx.List()
        in_channels = last
        for name, block in architecture.blocks:
            self.blocks.append(Inception(in_channels, block, settings.width, dtype=dtype, rngs=rngs))
            in_channels = self.blocks[-1].channels
            if name == self.side_classifier and settings.image_size >= SMALLEST_IMAGE_OF_SIDE_CLASSIFIER:
                self.auxiliary.append(SideClassifier(in_channels, settings, rngs=rngs))
        self.dropout = Dropout(0.5 if settings.dropout is None else settings.dropout, salt=0)
        self.head = torch_linear(in_channels, settings.num_classes, init=WEIGHT_INIT, dtype=wide(dtype), rngs=rngs)

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Set what `nnx.view` asks for; None leaves as it is.

        Args:
          use_running_average: evaluate, without the side classifier.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the features after the last pooling, the map before it, and in train mode the side scores."""
        check_size(image_bhwc.shape[1:3], SMALLEST_IMAGE, "Inception v3")
        x = max_pool(self.stem(image_bhwc), 3, 2, 0)
        x = max_pool(self.second(x), 3, 2, 0)
        halfway = x
        for name, block in zip(self.block_names, self.blocks, strict=True):
            x = block(x)
            if name == self.side_classifier:
                halfway = x
        features = global_average_pool(x)
        logits = self.head(self.dropout(features))
        if not self.auxiliary or self.use_running_average:
            return Output(logits, features, x)
        check_size(
            image_bhwc.shape[1:3], SMALLEST_IMAGE_OF_SIDE_CLASSIFIER, "Inception v3 in training with a side classifier"
        )
        return Output(logits, features, x, tuple(classify(halfway) for classify in self.auxiliary), AUXILIARY_WEIGHT)


def names(network: InceptionV3) -> Names:
    """What torchvision calls the parts."""
    stem = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    for name, part in zip(stem, (*network.stem.parts, *network.second.parts), strict=True):
        yield from _named(name, part)
    for block_name, block in zip(network.block_names, network.blocks, strict=True):
        for branch_name, branch in zip(block.branch_names, block.branches, strict=True):
            prefix = f"{block_name}.{branch_name}"
            parts = branch.chain.parts
            if len(parts) == 1 and not branch.fork:
                yield from _named(prefix, parts[0])
                continue
            for i, part in enumerate(parts, start=1):
                yield from _named(f"{prefix}_{i}", part)
            for letter, chain in zip("ab", branch.fork, strict=False):
                yield from _named(f"{prefix}_{len(parts) + 1}{letter}", chain.parts[0])
    for side in network.auxiliary:
        for i, part in enumerate(side.chain.parts):
            yield from _named(f"AuxLogits.conv{i}", part)
        yield "AuxLogits.fc", side.head
    yield "fc", network.head


def _named(prefix: str, part: ConvNorm) -> Names:
    """A convolution and its normalisation."""
    yield f"{prefix}.conv", part.conv
    yield f"{prefix}.bn", part.norm
