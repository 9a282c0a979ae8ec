"""What networks of transformer blocks share, in the pre-normalised layout and with timm's initial weights of a ViT."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import Dropout, Names
from mtsccd_jax.models.layers.initializers import normal

# timm truncates its normal at +-2, which is 100 standard deviations: a plain normal.
WEIGHT_INIT = normal(0.02)

# What cuDNN's flash attention takes on every GPU that has it, forward and backward, whatever the number of tokens.
FLASH_DTYPES = (jnp.bfloat16, jnp.float16)
FLASH_HEAD_MULTIPLE = 8
FLASH_LARGEST_HEAD = 128
FLASH_COMPUTE_CAPABILITY = 8.0


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


def attend(query_bnhd: jax.Array, key_bnhd: jax.Array, value_bnhd: jax.Array) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v of every head, (b, n, h, d) of batch, tokens, heads and channels of a head.

    A program for CUDA devices of this machine uses cuDNN's flash attention, which never writes the weights (b, h, n, n)
    to memory, where type and head allow. Any other program, also one made on such a machine for the CPU or to be
    exported for any batch, is XLA's.
    """
    xla = jax.nn.dot_product_attention
    if not (takes_flash(query_bnhd) and has_flash_devices()):
        return xla(query_bnhd, key_bnhd, value_bnhd)
    flash = functools.partial(attend_even, implementation="cudnn")
    return jax.lax.platform_dependent(query_bnhd, key_bnhd, value_bnhd, cuda=flash, default=xla)


def attend_even(
    query_bnhd: jax.Array, key_bnhd: jax.Array, value_bnhd: jax.Array, implementation: Literal["xla", "cudnn"]
) -> jax.Array:
    """What `attend` gives, computed on an even number of tokens: of an odd one, with another that none of them sees.

    JAX 0.10 to 0.12 refuse the gradient of cuDNN's attention for an odd number, such as a ViT's 197: they take the
    empty bias for one, whose gradient has this limit.
    """
    b, n = query_bnhd.shape[:2]
    if n % 2 == 0:
        return jax.nn.dot_product_attention(query_bnhd, key_bnhd, value_bnhd, implementation=implementation)
    qkv = (jnp.pad(array, ((0, 0), (0, 1), (0, 0), (0, 0))) for array in (query_bnhd, key_bnhd, value_bnhd))
    seen_b = jnp.full(b, n, jnp.int32)
    y = jax.nn.dot_product_attention(*qkv, key_value_seq_lengths=seen_b, implementation=implementation)
    return y[:, :n]


def takes_flash(query_bnhd: jax.Array) -> bool:
    """Whether cuDNN's flash attention knows the type and the shape of a query, key and value without a bias."""
    head = query_bnhd.shape[-1]
    return (
        query_bnhd.dtype in FLASH_DTYPES
        and head % FLASH_HEAD_MULTIPLE == 0
        and head <= FLASH_LARGEST_HEAD
        # Its call holds the shape as numbers: a batch that is a symbol, of a program for export, has none.
        and all(isinstance(length, int) for length in query_bnhd.shape)
    )


@functools.cache
def has_flash_devices() -> bool:
    """Whether this process has CUDA devices, all of them able to run cuDNN's flash attention.

    Only with such devices does JAX trace its call, even in the branch of another platform.
    """
    try:
        devices = jax.local_devices(backend="cuda")
    except RuntimeError:  # there is no such backend
        return False
    return all(float(device.compute_capability) >= FLASH_COMPUTE_CAPABILITY for device in devices)


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
        y = attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
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
