"""MLP-Mixer, arXiv:2105.01601 (section 2, Table 1), in the variant and with the initial weights of timm."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import Dropout, Names, Output, Settings, check_made_for, check_size, scaled, wide
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.initializers import uniform
from mtsccd_jax.models.layers.transformer import Mlp, layer_norm


@dataclass(frozen=True)
class Architecture:
    """A column of Table 1: side of the patch, channels of a token, and number of blocks."""

    patch: int
    embedding: int
    depth: int


def xavier_uniform(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Uniform with variance 2 / (inputs + outputs), for a weight matrix."""
    return uniform((6 / sum(shape)) ** 0.5)(key, shape, dtype)


class Block(nnx.Module):
    """An MLP over the tokens of each channel, then one over the channels of each token, beside shortcuts (equation 1).

    The biases begin at zero, which timm's millionths are to float32.

    Args:
        tokens: of an image.
        embedding: channels of a token.
        drop_path: share of the examples that skip an MLP in training.
        index: of the block in the network.
        dtype: type of the computation.
        rngs: source of the initial weights.
    """

    def __init__(
        self, tokens: int, embedding: int, *, drop_path: float, index: int, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.norm_tokens = layer_norm(embedding, dtype, rngs)
        # Half and four times as many hidden units as a token has channels, also over the tokens.
        self.mlp_tokens = Mlp(tokens, max(1, embedding // 2), init=xavier_uniform, dtype=dtype, rngs=rngs)
        self.drop_tokens = Dropout(drop_path, salt=2 * index, whole_example=True)
        self.norm_channels = layer_norm(embedding, dtype, rngs)
        self.mlp_channels = Mlp(embedding, 4 * embedding, init=xavier_uniform, dtype=dtype, rngs=rngs)
        self.drop_channels = Dropout(drop_path, salt=2 * index + 1, whole_example=True)

    def __call__(self, x_bnd: jax.Array) -> jax.Array:
        """(b, n, d) -> (b, n, d)."""
        x_bnd = x_bnd + self.drop_tokens(self.mlp_tokens(self.norm_tokens(x_bnd).swapaxes(1, 2)).swapaxes(1, 2))
        return x_bnd + self.drop_channels(self.mlp_channels(self.norm_channels(x_bnd)))


class MlpMixer(nnx.Module):
    """An MLP-Mixer for square images of one size, which its MLPs over the tokens are as wide as.

    Weights that were trained at one size fit no other, and nothing resamples them.

    Args:
        architecture: patch, embedding and depth.
        settings: what is chosen whatever the family. What no patch of `image_size` fills is cut off, and examples skip
            every block alike, not the last ones more than the first: both as in timm.
        rngs: source of the initial weights.

    Raises:
        InputError: the size is smaller than a patch, or an image has another size than the network was made for.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        patch, self.image_size, dtype = architecture.patch, settings.image_size, settings.dtype
        check_size((self.image_size,) * 2, patch, "an MLP-Mixer")
        embedding = scaled(architecture.embedding, settings.width)
        self.patch_embedding = Conv(
            settings.in_channels,
            embedding,
            patch,
            patch,
            padding=0,
            use_bias=True,
            init=nnx.initializers.lecun_normal(),
            dtype=dtype,
            rngs=rngs,
        )
        tokens = (self.image_size // patch) ** 2
        drop_path = settings.drop_path or 0.0
        self.blocks = nnx.List(
            [
                Block(tokens, embedding, drop_path=drop_path, index=index, dtype=dtype, rngs=rngs)
                for index in range(architecture.depth)
            ]
        )
        self.norm = layer_norm(embedding, dtype, rngs)
        self.head = nnx.Linear(
            embedding, settings.num_classes, dtype=wide(dtype), kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the mean of the normalised tokens, and the tokens in their places."""
        check_made_for(image_bhwc.shape[1:3], self.image_size, "MLP-Mixer")
        x_bhwd = self.patch_embedding(image_bhwc)
        b, _, _, d = x_bhwd.shape
        x_bnd = x_bhwd.reshape(b, -1, d)
        for block in self.blocks:
            x_bnd = block(x_bnd)
        x_bnd = self.norm(x_bnd)
        features = jnp.mean(x_bnd, axis=1, dtype=wide(x_bnd.dtype))
        return Output(self.head(features), features, x_bnd.reshape(x_bhwd.shape))


def names(network: MlpMixer) -> Names:
    """What timm calls the parts."""
    yield "stem.proj", network.patch_embedding
    for i, block in enumerate(network.blocks):
        yield f"blocks.{i}.norm1", block.norm_tokens
        yield f"blocks.{i}.mlp_tokens.fc1", block.mlp_tokens.expand
        yield f"blocks.{i}.mlp_tokens.fc2", block.mlp_tokens.contract
        yield f"blocks.{i}.norm2", block.norm_channels
        yield f"blocks.{i}.mlp_channels.fc1", block.mlp_channels.expand
        yield f"blocks.{i}.mlp_channels.fc2", block.mlp_channels.contract
    yield "norm", network.norm
    yield "head", network.head
