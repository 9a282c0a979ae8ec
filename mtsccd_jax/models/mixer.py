"""MLP-Mixer, arXiv:2105.01601 (section 2, Table 1), in the variant and with the initial weights of timm."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.dropout import drop_path
from mtsccd_jax.models.layers.initializers import uniform
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.layers.transformer import Mlp, layer_norm
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Settings, Signature


@dataclass(frozen=True)
class Architecture:
    """A column of Table 1: side of the patch, channels of a token, and number of blocks."""

    patch: int
    embedding: int
    depth: int


def xavier_uniform(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Draw a weight matrix, uniform with variance 2 / (inputs + outputs)."""
    return uniform((6 / sum(shape)) ** 0.5)(key, shape, dtype)


class Block(nnx.Module):
    """An MLP over the tokens of each channel, then one over the channels of each token, with shortcuts (equation 1).

    The biases begin at zero; timm's initial biases of about 1e-6 make no difference. `rate` is the share of examples
    that skip an MLP in training, and `index` the block's place in the network.
    """

    def __init__(
        self, tokens: int, embedding: int, *, rate: float, index: int, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.norm_tokens = layer_norm(embedding, dtype, rngs)
        # The hidden units are half and four times the channels of a token, also over the tokens.
        self.mlp_tokens = Mlp(tokens, max(1, embedding // 2), init=xavier_uniform, dtype=dtype, rngs=rngs)
        self.drop_tokens = drop_path(rate, salt=2 * index)
        self.norm_channels = layer_norm(embedding, dtype, rngs)
        self.mlp_channels = Mlp(embedding, 4 * embedding, init=xavier_uniform, dtype=dtype, rngs=rngs)
        self.drop_channels = drop_path(rate, salt=2 * index + 1)

    def __call__(self, x_bnd: jax.Array) -> jax.Array:
        """Map (b, n, d) to (b, n, d)."""
        x_bnd = x_bnd + self.drop_tokens(self.mlp_tokens(self.norm_tokens(x_bnd).swapaxes(1, 2)).swapaxes(1, 2))
        return x_bnd + self.drop_channels(self.mlp_channels(self.norm_channels(x_bnd)))


class MlpMixer(ImageNetwork):
    """An MLP-Mixer for square images of one size, which decides the width of its MLPs over the tokens.

    Weights of another image size do not fit and cannot be resampled. As in timm, incomplete patches are cut off and all
    blocks have the same rate of stochastic depth.
    """

    title = "an MLP-Mixer"
    follows = frozenset({"drop_path"})

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        patch, image_size, dtype = architecture.patch, signature.image_size, signature.dtype
        self.smallest_image, self.image_size = patch, image_size
        self.check_size(image_size, image_size)
        embedding = settings.scaled(architecture.embedding)
        self.patch_embedding = Conv(
            signature.in_channels,
            embedding,
            patch,
            patch,
            padding=0,
            use_bias=True,
            init=nnx.initializers.lecun_normal(),
            dtype=dtype,
            rngs=rngs,
        )
        tokens, rate = (image_size // patch) ** 2, settings.drop_path or 0.0
        self.blocks = nnx.List(
            [
                Block(tokens, embedding, rate=rate, index=index, dtype=dtype, rngs=rngs)
                for index in range(architecture.depth)
            ]
        )
        self.norm = layer_norm(embedding, dtype, rngs)
        self.head = nnx.Linear(
            embedding, signature.num_classes, dtype=wide(dtype), kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the mean of the normalised tokens, and the tokens at their positions."""
        self.check_size(*image_bhwc.shape[1:3])
        x_bhwd = self.patch_embedding(image_bhwc)
        b, _, _, d = x_bhwd.shape
        x_bnd = x_bhwd.reshape(b, -1, d)
        for block in self.blocks:
            x_bnd = block(x_bnd)
        x_bnd = self.norm(x_bnd)
        features = jnp.mean(x_bnd, axis=1, dtype=wide(x_bnd.dtype))
        return Output(self.head(features), features, x_bnd.reshape(x_bhwd.shape))


def names(network: MlpMixer) -> Names:
    """Yield timm's names for the parts."""
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
