"""What networks of transformer blocks share, in the pre-normalised layout and with timm's initial weights of a ViT."""

from collections.abc import Callable

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.initializers import normal
from mtsccd_jax.models.layers import Dropout, Names

# timm truncates its normal at +-2, which is 100 standard deviations: a plain normal.
WEIGHT_INIT = normal(0.02)


def gelu(x: jax.Array) -> jax.Array:
    """The exact GELU, as in torch."""
    return nnx.gelu(x, approximate=False)


def linear(
    in_features: int,
    out_features: int,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
    init: nnx.initializers.Initializer = WEIGHT_INIT,
) -> nnx.Linear:
    """A linear layer that begins with normal weights of deviation 0.02 and no bias."""
    return nnx.Linear(in_features, out_features, dtype=dtype, kernel_init=init, rngs=rngs)


def layer_norm(features: int, dtype: DTypeLike, rngs: nnx.Rngs, epsilon: float = 1e-6) -> nnx.LayerNorm:
    """A layer normalisation, its statistics in float32."""
    return nnx.LayerNorm(features, epsilon=epsilon, dtype=dtype, rngs=rngs)


class Attention(nnx.Module):
    """Multi-head self-attention (arXiv:2010.11929, appendix A)."""

    def __init__(
        self,
        embedding: int,
        heads: int,
        *,
        init: nnx.initializers.Initializer = WEIGHT_INIT,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.heads = heads
        self.qkv = linear(embedding, 3 * embedding, dtype, rngs, init)
        self.projection = linear(embedding, embedding, dtype, rngs, init)

    def __call__(self, x_bnd: jax.Array) -> jax.Array:
        """(b, n, d) -> (b, n, d)."""
        b, n, d = x_bnd.shape
        qkv = self.qkv(x_bnd).reshape(b, n, 3, self.heads, d // self.heads)
        y = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        return self.projection(y.reshape(b, n, d))


class Mlp(nnx.Module):
    """Two linear layers over the last axis, with an activation between them."""

    def __init__(
        self,
        embedding: int,
        hidden: int,
        *,
        activation: Callable[[jax.Array], jax.Array] = gelu,
        init: nnx.initializers.Initializer = WEIGHT_INIT,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.activation = activation
        self.expand = linear(embedding, hidden, dtype, rngs, init)
        self.contract = linear(hidden, embedding, dtype, rngs, init)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., d) -> (..., d)."""
        return self.contract(self.activation(self.expand(x)))


class Block(nnx.Module):
    """Attention, then MLP, each normalised before and added to what it was given (arXiv:2010.11929, equations 2 and 3).

    Args:
        embedding: channels of a token.
        heads: of the attention.
        mlp_ratio: width of the MLP's hidden layer over `embedding`.
        activation: of the MLP.
        epsilon: of the layer normalisations.
        drop_path: share of the examples that skip a branch in training.
        index: of the block in the network.
        init: initialiser of every weight matrix.
        dtype: type of the computation.
        rngs: source of the initial weights.
    """

    def __init__(
        self,
        embedding: int,
        heads: int,
        *,
        mlp_ratio: int = 4,
        activation: Callable[[jax.Array], jax.Array] = gelu,
        epsilon: float = 1e-6,
        drop_path: float,
        index: int,
        init: nnx.initializers.Initializer = WEIGHT_INIT,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.norm_attention = layer_norm(embedding, dtype, rngs, epsilon)
        self.attention = Attention(embedding, heads, init=init, dtype=dtype, rngs=rngs)
        self.drop_attention = Dropout(drop_path, salt=2 * index, whole_example=True)
        self.norm_mlp = layer_norm(embedding, dtype, rngs, epsilon)
        self.mlp = Mlp(embedding, mlp_ratio * embedding, activation=activation, init=init, dtype=dtype, rngs=rngs)
        self.drop_mlp = Dropout(drop_path, salt=2 * index + 1, whole_example=True)

    def __call__(self, x_bnd: jax.Array) -> jax.Array:
        """(b, n, d) -> (b, n, d)."""
        x_bnd = x_bnd + self.drop_attention(self.attention(self.norm_attention(x_bnd)))
        return x_bnd + self.drop_mlp(self.mlp(self.norm_mlp(x_bnd)))


def block_names(prefix: str, block: Block) -> Names:
    """What timm calls the parts of a block."""
    yield f"{prefix}.norm1", block.norm_attention
    yield f"{prefix}.attn.qkv", block.attention.qkv
    yield f"{prefix}.attn.proj", block.attention.projection
    yield f"{prefix}.norm2", block.norm_mlp
    yield f"{prefix}.mlp.fc1", block.mlp.expand
    yield f"{prefix}.mlp.fc2", block.mlp.contract
