"""The base of all networks: the settings they are made from, their output, and the images they take."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError

# Attributes of a network: the modules that turn features into logits, and the side classifiers.
HEAD, AUXILIARY = "head", "auxiliary"

# The published names of a network's parts, from the convolution that sees the image to the head. A name is the prefix
# of a module's arrays or, for a parameter, the whole name of its array.
Names = Iterator[tuple[str, nnx.Module | nnx.Param[Any]]]


@dataclass(frozen=True)
class Settings:
    """How a network differs from the published one; the recipe keys under `model.` have the same names.

    Attributes:
        width: factor on the number of channels of every layer.
        features: AlexNet and VGG only: take the features after the rectifier of their layer, or before it.
        hidden: outputs of a new rectified layer between the features and a new classifier, which together are `head`.
            The features stay those of the network. None: no such layer.
        dropout: rate of dropout in training. It replaces the network's own dropout; a network without any gets one on
            the features. None: as published.
        drop_path: share of the examples that skip the last block in training (stochastic depth, arXiv:1603.09382).
            Earlier blocks have smaller shares, as in timm. None: as published.
    """

    width: float = 1.0
    features: Literal["rectified", "linear"] = "rectified"
    hidden: int | None = None
    dropout: float | None = None
    drop_path: float | None = None

    def scaled(self, channels: int) -> int:
        """Return a number of channels times `width`, rounded and at least one."""
        return max(1, round(channels * self.width))


PUBLISHED = Settings()


@dataclass(frozen=True)
class Signature:
    """The input of a network, which computes in `dtype`, and its number of classes."""

    num_classes: int
    image_size: int = 224
    in_channels: int = 3
    dtype: DTypeLike = jnp.float32


class Output(NamedTuple):
    """The output of a network for a batch of images.

    Attributes:
        logits: (b, k) float32, one score for each class.
        features: (b, d) float32, the features of change detection and retrieval.
        feature_map: (b, h, w, c) in the compute type, the last map that still has positions.
        auxiliary: (b, k) float32 each, the logits of the side classifiers; empty in evaluation.
        auxiliary_weight: weight of each auxiliary loss; the loss of `logits` has weight 1.
    """

    logits: jax.Array
    features: jax.Array
    feature_map: jax.Array
    auxiliary: tuple[jax.Array, ...] = ()
    auxiliary_weight: float = 0.0


class ImageNetwork(nnx.Module):
    """A network of the table: called on images (b, h, w, c), it returns an `Output`.

    Raises:
        InputError: the network does not take images of this size.
    """

    title: ClassVar[str]  # in error messages: "a ResNet"
    follows: ClassVar[frozenset[str]] = frozenset()  # of the settings "features", "dropout" and "drop_path"
    smallest_image: int  # side in pixels
    image_size: int | None = None  # the only side in pixels; None where any from `smallest_image` on is taken
    head: Any  # an `nnx.Linear` or a `Head`

    def __init__(self, architecture: Any, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        raise NotImplementedError

    def check_size(self, height: int, width: int) -> None:
        """Raise InputError unless the network takes images of this size in pixels."""
        if self.image_size is not None and (height, width) != (self.image_size, self.image_size):
            raise InputError(
                f"this {self.title.split(maxsplit=1)[-1]} was made for images of {self.image_size}x{self.image_size} "
                f"pixels, not {height}x{width}: resize them or set image_size"
            )
        check_size(height, width, self.smallest_image, self.title)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return the output for a batch of images."""
        raise NotImplementedError


class AuxiliaryNetwork(ImageNetwork):
    """A network with side classifiers, which score images in training only."""

    auxiliary: nnx.List[Any]
    use_running_average: bool = False

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Take the options of `nnx.view`; None changes nothing.

        Args:
          use_running_average: evaluate, without the side classifiers.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average


class Resampled(nnx.Param[Any]):
    """A parameter whose shape depends on the image size; published values of another size can be resampled."""

    @staticmethod
    def resampled(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return `value` resampled to `shape`, or None where that is impossible."""
        raise NotImplementedError


def check_size(height: int, width: int, smallest: int, title: str) -> None:
    """Raise InputError where a side in pixels is smaller than a network takes; `title` is "a ResNet"."""
    if min(height, width) < smallest:
        raise InputError(
            f"{title} takes images of {smallest} pixels or more, not {height}x{width}: set a larger image_size"
        )
