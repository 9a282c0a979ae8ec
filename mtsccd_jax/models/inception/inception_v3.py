"""Inception v3, arXiv:1512.00567 (Table 1), with the layers and initial weights of torchvision.

The network does not contain torchvision's `transform_input`, which its published weights switch on. Those weights were
trained on images from -1 to 1: normalise with mean and standard deviation 0.5 in every channel.

The side classifier needs a map of 17 x 17, so images of 299 pixels or more. With a smaller `image_size` the network has
no side classifier; there torchvision fails in training.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.conv_norm import ConvChain, Step, conv_norm_names
from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.linear import torch_linear
from mtsccd_jax.models.layers.pooling import average_pool, global_average_pool, max_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import AuxiliaryNetwork, Names, Output, Settings, Signature, check_size

# A smaller image has no map left for the 5x5 convolution of the side classifier.
SMALLEST_IMAGE_OF_SIDE_CLASSIFIER = 299
# torchvision truncates its normals at +-2, which is 20 standard deviations or more: plain normals. Its code asks for
# 0.01 in the side classifier's second convolution, but in effect all convolutions begin with 0.1.
WEIGHT_INIT = normal(0.1)
SIDE_HEAD_INIT = normal(0.001)
BATCH_NORM_EPSILON = 1e-3
# The weight of the auxiliary loss, as in the TF-Slim training of the published weights.
AUXILIARY_WEIGHT = 0.4


@dataclass(frozen=True)
class Fork:
    """The end of a branch: a 1x3 and a 3x1 convolution of the same map, each with `channels` outputs (Figure 7)."""

    channels: int


@dataclass(frozen=True)
class Block:
    """One inception module: torchvision's name of each branch, and its convolutions.

    `branch_pool` takes the local mean of the map.
    """

    branches: tuple[tuple[str, tuple[Step | Fork, ...]], ...]
    halves: bool = False  # the map, with a pooling beside the convolutions of stride 2


def block_a(projection: int) -> Block:
    """Return a module of Figure 5, for maps of 35 x 35, with a 5x5 convolution as in torchvision."""
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
    """Return a module of Figure 6, for maps of 17 x 17."""
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
    """The inception modules with torchvision's names, and the one followed by the side classifier."""

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


# Convolutions one after the other, with the initial weights and the normalisation of this network.
chain = partial(ConvChain, init=WEIGHT_INIT, epsilon=BATCH_NORM_EPSILON)


class Branch(nnx.Module):
    """Convolutions one after the other, with an optional fork at the end."""

    def __init__(
        self, in_channels: int, steps: tuple[Step | Fork, ...], settings: Settings, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        plain = [step._replace(channels=settings.scaled(step.channels)) for step in steps if isinstance(step, Step)]
        self.chain = chain(in_channels, *plain, dtype=dtype, rngs=rngs)
        self.channels = plain[-1].channels
        self.fork: nnx.List[ConvChain] = nnx.List()
        if isinstance(last := steps[-1], Fork):
            channels = settings.scaled(last.channels)
            for size in ((1, 3), (3, 1)):
                self.fork.append(chain(self.channels, Step(channels, size), dtype=dtype, rngs=rngs))
            self.channels = 2 * channels

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h', w', channels)."""
        x = self.chain(x)
        return jnp.concatenate([part(x) for part in self.fork], axis=-1) if self.fork else x


class Inception(nnx.Module):
    """Branches of the same map, their results concatenated."""

    def __init__(self, in_channels: int, block: Block, settings: Settings, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.branch_names = tuple(name for name, _ in block.branches)
        self.branches = nnx.List(
            [Branch(in_channels, steps, settings, dtype=dtype, rngs=rngs) for _, steps in block.branches]
        )
        self.halves = block.halves
        self.channels = sum(branch.channels for branch in self.branches) + (in_channels if block.halves else 0)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels) to (b, h, w, channels), or (b, (h - 1) // 2, (w - 1) // 2, channels)."""
        maps = [
            branch(average_pool(x, 3, 1, 1) if name == "branch_pool" else x)
            for name, branch in zip(self.branch_names, self.branches, strict=True)
        ]
        if self.halves:
            maps.append(max_pool(x, 3, 2, 0))
        return jnp.concatenate(maps, axis=-1)


class SideClassifier(nnx.Module):
    """A classifier of an intermediate map, which brings the gradient there in training (section 4)."""

    def __init__(self, in_channels: int, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        narrow, channels = settings.scaled(128), settings.scaled(768)
        self.chain = chain(in_channels, Step(narrow, 1), Step(channels, 5, 1, 0), dtype=signature.dtype, rngs=rngs)
        self.head = torch_linear(
            channels, signature.num_classes, init=SIDE_HEAD_INIT, dtype=wide(signature.dtype), rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, h, w, in_channels), 17 or more on a side, to (b, k) in float32 at least."""
        return self.head(global_average_pool(self.chain(average_pool(x, 5, 3))))


class InceptionV3(AuxiliaryNetwork):
    """Inception v3 for images of 75 pixels or more on a side, square or not; 299 in the paper.

    With an image size of 299 or more there is a side classifier, which also scores images in training. Such a network
    is trained on images from 299 pixels on and evaluated on images from 75 on.
    """

    title = "Inception v3"
    follows = frozenset({"dropout"})
    smallest_image = 75  # a smaller image has no map left at the last halving

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        dtype = signature.dtype
        first, second, third, last = (settings.scaled(channels) for channels in (32, 64, 80, 192))
        stem = Step(first, 3, 2, 0), Step(first, 3, 1, 0), Step(second, 3)
        self.stem = chain(signature.in_channels, *stem, dtype=dtype, rngs=rngs)
        self.second = chain(second, Step(third, 1), Step(last, 3, 1, 0), dtype=dtype, rngs=rngs)
        self.block_names = tuple(name for name, _ in architecture.blocks)
        self.side_classifier = architecture.side_classifier
        self.blocks: nnx.List[Inception] = nnx.List()
        self.auxiliary: nnx.List[SideClassifier] = nnx.List()
        in_channels = last
        for name, block in architecture.blocks:
            self.blocks.append(Inception(in_channels, block, settings, dtype=dtype, rngs=rngs))
            in_channels = self.blocks[-1].channels
            if name == self.side_classifier and signature.image_size >= SMALLEST_IMAGE_OF_SIDE_CLASSIFIER:
                self.auxiliary.append(SideClassifier(in_channels, signature, settings, rngs=rngs))
        self.dropout = Dropout(0.5 if settings.dropout is None else settings.dropout, salt=0)
        self.head = torch_linear(in_channels, signature.num_classes, init=WEIGHT_INIT, dtype=wide(dtype), rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the features after the last pooling, the map before it, and in training the side logits."""
        self.check_size(*image_bhwc.shape[1:3])
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
        height, width = image_bhwc.shape[1:3]
        title = f"{self.title} in training with a side classifier"
        check_size(height, width, SMALLEST_IMAGE_OF_SIDE_CLASSIFIER, title)
        return Output(logits, features, x, tuple(classify(halfway) for classify in self.auxiliary), AUXILIARY_WEIGHT)


def names(network: InceptionV3) -> Names:
    """Yield torchvision's names for the parts."""
    stem = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    for name, part in zip(stem, (*network.stem.parts, *network.second.parts), strict=True):
        yield from conv_norm_names(name, part)
    for block_name, block in zip(network.block_names, network.blocks, strict=True):
        for branch_name, branch in zip(block.branch_names, block.branches, strict=True):
            prefix = f"{block_name}.{branch_name}"
            parts = branch.chain.parts
            if len(parts) == 1 and not branch.fork:
                yield from conv_norm_names(prefix, parts[0])
                continue
            for i, part in enumerate(parts, start=1):
                yield from conv_norm_names(f"{prefix}_{i}", part)
            for letter, chain in zip("ab", branch.fork, strict=False):
                yield from conv_norm_names(f"{prefix}_{len(parts) + 1}{letter}", chain.parts[0])
    for side in network.auxiliary:
        for i, part in enumerate(side.chain.parts):
            yield from conv_norm_names(f"AuxLogits.conv{i}", part)
        yield "AuxLogits.fc", side.head
    yield "fc", network.head
