"""What the families of networks share: their output, and layers with torch's conventions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.initializers import torch_uniform, uniform


@dataclass(frozen=True)
class Settings:
    """What is chosen when a network is made, whatever its family.

    Attributes:
        num_classes: width of the classifier.
        image_size: side of the images in pixels.
        in_channels: channels of an image.
        width: factor on the number of channels everywhere.
        dtype: type of the computation, float32 or bfloat16; parameters and statistics are float32.
        rectified_features: of AlexNet and VGG, whether `features` are taken behind the rectifier or before it.
        dropout: rate of the network's own dropout, where it has any outside side classifiers; None for the published.
        drop_path: share of the examples that skip the last block in training; None for the published.
    """

    num_classes: int
    image_size: int = 224
    in_channels: int = 3
    width: float = 1.0
    dtype: DTypeLike = jnp.float32
    rectified_features: bool = True
    dropout: float | None = None
    drop_path: float | None = None


class Output(NamedTuple):
    """What every network returns for a batch of images.

    Attributes:
        logits: (b, k) float32, one score a class.
        features: (b, d) float32, what the classifier sees; the feature of change detection and retrieval.
        feature_map: (b, h, w, c) in the compute type, the last map before features lose their place.
        auxiliary: (b, k) float32 each, the scores of side classifiers, in train mode of the networks that have them.
        auxiliary_weight: of the loss of each of them, beside 1 for that of the logits.
    """

    logits: jax.Array
    features: jax.Array
    feature_map: jax.Array
    auxiliary: tuple[jax.Array, ...] = ()
    auxiliary_weight: float = 0.0


def wide(dtype: DTypeLike) -> DTypeLike:
    """The type of statistics, features and scores in a computation of a type: float32 at least."""
    return jnp.promote_types(dtype, jnp.float32)


# Attributes of every network: the modules that turn features into logits, and side classifiers where there are any.
HEAD, AUXILIARY = "head", "auxiliary"

# What the published weights call a network's parts, from the convolution that sees the image to the head: the prefix of
# a module's arrays, or the whole name of a single array. A part that is folded into another is None.
Names = Iterator[tuple[str, nnx.Module | nnx.Param | None]]


class Resampled(nnx.Param):
    """A parameter whose shape depends on the size of the images; published values of another size can fill it."""

    @staticmethod
    def resampled(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """`value` of another size at `shape`, or None where there is no way."""
        raise NotImplementedError


class Moments(NamedTuple):
    """Mean and mean square of every channel (c,) over a batch, and the number of values that a channel has there."""

    mean: jax.Array
    mean_square: jax.Array
    values: int


class Coefficients(NamedTuple):
    """What a normalisation does to every channel, each (c,): see `normalized`."""

    mean: jax.Array
    scale: jax.Array
    bias: jax.Array


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, with torch's conventions (arXiv:1502.03167).

    Normalises by the biased variance of the batch and keeps running statistics as 0.9 old + 0.1 new with the
    *unbiased* variance, as `torch.nn.BatchNorm2d` does. Statistics and parameters are float32 whatever the compute
    type.

    Train mode is the default. `nnx.view(model, use_running_average=True)` evaluates;
    `nnx.view(model, axis_name="data")` makes the statistics those of the global batch where the network runs inside
    `pmap` or `shard_map`. Under plain `jit` with a sharded batch they are global already.
    """

    def __init__(
        self,
        channels: int,
        *,
        dtype: DTypeLike = jnp.float32,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        initial_scale: float = 1.0,
    ) -> None:
        self.scale = nnx.Param(jnp.full(channels, initial_scale, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros(channels, jnp.float32))
        self.var = nnx.BatchStat(jnp.ones(channels, jnp.float32))
        self.dtype = dtype
        self.momentum = momentum
        self.epsilon = epsilon
        self.use_running_average = False
        self.axis_name: str | None = None

    def set_view(self, use_running_average: bool | None = None, axis_name: str | None = None) -> None:
        """Set what `nnx.view` asks for; None leaves as it is.

        `nnx.view_info` reads the lines below and wants them indented by two.

        Args:
          use_running_average: normalise by the running statistics and leave them alone.
          axis_name: mapped axis over which the statistics of the batch are taken.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average
        if axis_name is not None:
            self.axis_name = axis_name

    def __call__(self, x: jax.Array) -> jax.Array:
        """The normalised input in the compute type; in train mode the running statistics move."""
        return normalized(x, self.coefficients(self.moments(x)), self.dtype)

    def moments(self, x: jax.Array) -> Moments | None:
        """What train mode wants to know of the global batch, None in evaluation."""
        if self.use_running_average:
            return None
        x = x.astype(wide(x.dtype))
        axes = tuple(range(x.ndim - 1))
        mean, mean_square = jnp.mean(x, axes), jnp.mean(jnp.square(x), axes)
        count = x.size // x.shape[-1]
        if self.axis_name is not None:
            mean, mean_square = jax.lax.pmean((mean, mean_square), self.axis_name)
            count *= jax.lax.psum(1, self.axis_name)
        if count < 2:
            raise InputError(
                "batch normalisation needs more than one value a channel to train: use a larger batch or image"
            )
        return Moments(mean, mean_square, count)

    def coefficients(self, moments: Moments | None) -> Coefficients:
        """How to normalise, by the batch or without moments by the running statistics; moments move the latter."""
        mean, var = (self.mean[...], self.var[...]) if moments is None else self._follow(moments)
        return Coefficients(mean, self.scale[...] * jax.lax.rsqrt(var + self.epsilon), self.bias[...])

    def _follow(self, moments: Moments) -> tuple[jax.Array, jax.Array]:
        """Mean and biased variance (c,) of the batch; moves the running ones."""
        mean, mean_square, count = moments
        # Rounding may leave the difference of a constant channel just below zero.
        var = jnp.maximum(mean_square - jnp.square(mean), 0.0)
        # `self.mean[...] = ` would ask where the value lies, for which JAX walks the whole program traced so far.
        self.mean.set_value(self.momentum * self.mean[...] + (1 - self.momentum) * mean)
        self.var.set_value(self.momentum * self.var[...] + (1 - self.momentum) * (count / (count - 1)) * var)
        return mean, var


def normalized(x: jax.Array, coefficients: Coefficients, dtype: DTypeLike) -> jax.Array:
    """(x - mean) scale + bias, computed in float32 at least."""
    mean, scale, bias = coefficients
    return ((x.astype(wide(x.dtype)) - mean) * scale + bias).astype(dtype)


class ConvNorm(nnx.Module):
    """A convolution and its batch normalisation; arguments as `Conv`, and `epsilon` of the latter.

    A bias, which some published weights have, is taken away again by the normalisation and begins at zero. `norm` is
    None once it is folded into the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        size: int | tuple[int, int],
        stride: int = 1,
        *,
        padding: int | tuple[int, int] | None = None,
        groups: int = 1,
        use_bias: bool = False,
        init: nnx.initializers.Initializer | None = None,
        epsilon: float = 1e-5,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.conv = Conv(
            in_channels,
            channels,
            size,
            stride,
            padding=padding,
            groups=groups,
            use_bias=use_bias,
            init=init,
            dtype=dtype,
            rngs=rngs,
        )
        self.norm: BatchNorm | None = BatchNorm(channels, dtype=dtype, epsilon=epsilon)

    def __call__(self, x: jax.Array) -> jax.Array:
        """The normalised map, not yet rectified."""
        x = self.conv(x)
        return x if self.norm is None else self.norm(x)


class Step(NamedTuple):
    """One convolution of a `ConvChain`, as `Conv` takes it."""

    channels: int
    size: int | tuple[int, int]
    stride: int = 1
    padding: int | tuple[int, int] | None = None


class ConvChain(nnx.Module):
    """Convolutions one after the other, each normalised and rectified; further arguments as `ConvNorm`."""

    def __init__(
        self,
        in_channels: int,
        *steps: Step,
        use_bias: bool = False,
        init: nnx.initializers.Initializer | None = None,
        epsilon: float = 1e-5,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.parts: nnx.List[ConvNorm] = nnx.List()
        for channels, size, stride, padding in steps:
            self.parts.append(
                ConvNorm(
                    in_channels,
                    channels,
                    size,
                    stride,
                    padding=padding,
                    use_bias=use_bias,
                    init=init,
                    epsilon=epsilon,
                    dtype=dtype,
                    rngs=rngs,
                )
            )
            in_channels = channels

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, h, w, in_channels) -> (b, h', w', channels of the last step)."""
        for part in self.parts:
            x = nnx.relu(part(x))
        return x


class Dropout(nnx.Module):
    """Zeroes values at random and scales the others up, so that the mean stays (arXiv:1207.0580).

    The randomness is given from outside, one key an example, by `nnx.view(model, example_keys=keys_b)`: so a mask
    depends on its example alone and not on how a batch is divided over devices. Without keys nothing happens.

    Where an example has several rows, which lie together, they share its mask.

    Args:
        rate: share of the values that are zeroed.
        salt: tells the masks of one network's layers apart.
        whole_example: zero all values of an example or none (stochastic depth, arXiv:1603.09382).
    """

    def __init__(self, rate: float, *, salt: int, whole_example: bool = False) -> None:
        self.rate = rate
        self.salt = salt
        self.whole_example = whole_example
        self.example_keys: jax.Array | None = nnx.data(None)

    def set_view(self, example_keys: jax.Array | None = None) -> None:
        """Set what `nnx.view` asks for; None leaves as it is.

        Args:
          example_keys: one key of `jax.random` an example of the batch.
        """
        if example_keys is not None:
            self.example_keys = example_keys

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, ...) -> (b, ...), or as many rows for every example."""
        if self.example_keys is None or self.rate == 0:
            return x
        shape = (1,) * (x.ndim - 1) if self.whole_example else x.shape[1:]
        kept = 1 - self.rate
        keep = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, self.salt), kept, shape))
        mask = keep(self.example_keys)
        if (rows := len(x) // len(mask)) > 1:
            mask = jnp.repeat(mask, rows, axis=0)
        return jnp.where(mask, x / kept, 0).astype(x.dtype)


def drop_path_rates(last: float | None, blocks: int) -> list[float]:
    """The share of the examples that skip each block in training: 0 for the first, on a line to `last` for the last.

    The linear decay rule of arXiv:1603.09382 (section 3, equation 4), begun at the first block as in timm; None is 0
    for every block.
    """
    return [(last or 0.0) * block / max(blocks - 1, 1) for block in range(blocks)]


def torch_linear(
    in_features: int,
    out_features: int,
    *,
    init: nnx.initializers.Initializer = torch_uniform,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """A linear layer that begins as `torch.nn.Linear` does: weights and bias uniform in +-1/sqrt(in_features).

    `init` draws other weights; the bias stays torch's.
    """
    bias_init = uniform(in_features**-0.5)
    return nnx.Linear(in_features, out_features, dtype=dtype, kernel_init=init, bias_init=bias_init, rngs=rngs)


def torch_conv(
    in_channels: int,
    channels: int,
    size: int,
    stride: int = 1,
    *,
    padding: int | None = None,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> Conv:
    """A convolution that begins as `torch.nn.Conv2d` does: weights and bias uniform in +-1/sqrt(inputs)."""
    return Conv(
        in_channels,
        channels,
        size,
        stride,
        padding=padding,
        use_bias=True,
        init=torch_uniform,
        bias_init=uniform((size * size * in_channels) ** -0.5),
        dtype=dtype,
        rngs=rngs,
    )


def flatten_channels_first(x_bhwc: jax.Array) -> jax.Array:
    """(b, h, w, c) -> (b, c h w), in the order in which torch's linear layers see a map."""
    return x_bhwc.transpose(0, 3, 1, 2).reshape(x_bhwc.shape[0], -1)


def scaled(channels: int, width: float) -> int:
    """A number of channels times the width factor of a network, at least one."""
    return max(1, round(channels * width))


def check_size(image: tuple[int, ...], smallest: int, network: str) -> None:
    """Refuse images that the halvings of a network would leave nothing of.

    Args:
        image: height and width in pixels.
        smallest: side that the network takes.
        network: as the message calls it, "a ResNet".

    Raises:
        InputError: a side is smaller.
    """
    if min(image) < smallest:
        height, width = image
        raise InputError(
            f"{network} takes images of {smallest} pixels or more, not {height}x{width}: set a larger image_size"
        )


def check_made_for(image: tuple[int, ...], image_size: int, network: str) -> None:
    """Refuse images of another size than a network was made for.

    Args:
        image: height and width in pixels.
        image_size: side that the network was made for.
        network: as the message calls it, "ViT".

    Raises:
        InputError: a side is another.
    """
    if image != (image_size, image_size):
        height, width = image
        raise InputError(
            f"this {network} was made for images of {image_size}x{image_size} pixels, not {height}x{width}: "
            "resize them or set image_size"
        )
