"""Attention, MLP and pre-normalised transformer blocks, with the initial weights of timm's ViT."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers import portable
from mtsccd_jax.models.layers.dropout import drop_path
from mtsccd_jax.models.layers.initializers import Initializer
from mtsccd_jax.models.layers.linear import WEIGHT_INIT, linear
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import Names

# The limits of cuDNN's flash attention, forward and backward, for any number of tokens.
FLASH_DTYPES = (jnp.bfloat16, jnp.float16)
FLASH_HEAD_MULTIPLE = 8
FLASH_LARGEST_HEAD = 128
FLASH_COMPUTE_CAPABILITY = 8.0


def gelu(x: jax.Array) -> jax.Array:
    """Return the exact GELU, as in torch."""
    y: jax.Array = portable.exact_gelu(x) if portable.is_portable() else nnx.gelu(x, approximate=False)
    return y


class LayerNorm(nnx.LayerNorm):
    """Flax's layer normalisation over the last axis, with scale and bias."""

    def __call__(self, x: jax.Array, **options: Any) -> jax.Array:
        """Return the normalised values in the compute type."""
        y: jax.Array
        if portable.is_portable() and self.scale is not None and self.bias is not None:
            y = portable.layer_normalization(x.astype(wide(x.dtype)), self.scale[...], self.bias[...], self.epsilon)
            return y.astype(self.dtype)
        y = super().__call__(x, **options)
        return y


def layer_norm(features: int, dtype: DTypeLike, rngs: nnx.Rngs, epsilon: float = 1e-6) -> LayerNorm:
    """Return a layer normalisation with float32 statistics."""
    return LayerNorm(features, epsilon=epsilon, dtype=dtype, rngs=rngs)


def attend(query_bnhd: jax.Array, key_bnhd: jax.Array, value_bnhd: jax.Array) -> jax.Array:
    """Return softmax(q k^T / sqrt(d)) v of every head, (b, n, h, d): batch, tokens, heads, channels of a head.

    On CUDA devices of this machine cuDNN's flash attention is used where type and head allow: it never writes the
    weights (b, h, n, n) to memory. All other programs use XLA, including those for the CPU of such a machine and
    those exported for a batch of any size.
    """
    xla = portable.attention if portable.is_portable() else jax.nn.dot_product_attention
    if not (takes_flash(query_bnhd) and has_flash_devices()):
        return xla(query_bnhd, key_bnhd, value_bnhd)
    flash = functools.partial(attend_even, implementation="cudnn")
    y: jax.Array = jax.lax.platform_dependent(query_bnhd, key_bnhd, value_bnhd, cuda=flash, default=xla)
    return y


def attend_even(
    query_bnhd: jax.Array, key_bnhd: jax.Array, value_bnhd: jax.Array, implementation: Literal["xla", "cudnn"]
) -> jax.Array:
    """Attend as `attend` does, with an even number of tokens: an odd one gets a masked token more.

    JAX 0.10 to 0.12 refuse the gradient of cuDNN's attention for an odd number of tokens, such as a ViT's 197. They
    mistake the empty bias for a bias, whose gradient has this limit.
    """
    b, n = query_bnhd.shape[:2]
    if n % 2 == 0:
        return jax.nn.dot_product_attention(query_bnhd, key_bnhd, value_bnhd, implementation=implementation)
    qkv = (jnp.pad(array, ((0, 0), (0, 1), (0, 0), (0, 0))) for array in (query_bnhd, key_bnhd, value_bnhd))
    seen_b = jnp.full(b, n, jnp.int32)
    y = jax.nn.dot_product_attention(*qkv, key_value_seq_lengths=seen_b, implementation=implementation)
    return y[:, :n]


def takes_flash(query_bnhd: jax.Array) -> bool:
    """Return whether cuDNN's flash attention takes queries, keys and values of this type and shape, without a bias."""
    head = query_bnhd.shape[-1]
    return (
        query_bnhd.dtype in FLASH_DTYPES
        and head % FLASH_HEAD_MULTIPLE == 0
        and head <= FLASH_LARGEST_HEAD
        # Its call needs the shape as numbers; a program exported for any batch has a symbol.
        and all(isinstance(length, int) for length in query_bnhd.shape)
    )


@functools.cache
def has_flash_devices() -> bool:
    """Return whether this process has CUDA devices that can all run cuDNN's flash attention.

    Without such devices JAX cannot even trace the call, not in the branch of another platform either.
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
        init: Initializer = WEIGHT_INIT,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.heads = heads
        self.qkv = linear(embedding, 3 * embedding, dtype, rngs, init)
        self.projection = linear(embedding, embedding, dtype, rngs, init)

    def __call__(self, x_bnd: jax.Array) -> jax.Array:
        """Map (b, n, d) to (b, n, d)."""
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
        init: Initializer = WEIGHT_INIT,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.activation = activation
        self.expand = linear(embedding, hidden, dtype, rngs, init)
        self.contract = linear(hidden, embedding, dtype, rngs, init)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., d) to (..., d)."""
        return self.contract(self.activation(self.expand(x)))


class Block(nnx.Module):
    """Attention, then MLP, each with a normalisation before it and a shortcut (arXiv:2010.11929, equations 2 and 3).

    `attention` is made between the layers around it, so that keys are drawn in their order. `rate` is the share of the
    examples that skip a branch in training, and `index` the block's place in the network.
    """

    def __init__(
        self,
        embedding: int,
        attention: Callable[[], nnx.Module],
        *,
        mlp_ratio: int = 4,
        activation: Callable[[jax.Array], jax.Array] = gelu,
        epsilon: float = 1e-6,
        rate: float,
        index: int,
        init: Initializer = WEIGHT_INIT,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.norm_attention = layer_norm(embedding, dtype, rngs, epsilon)
        self.attention: Any = attention()
        self.drop_attention = drop_path(rate, salt=2 * index)
        self.norm_mlp = layer_norm(embedding, dtype, rngs, epsilon)
        self.mlp = Mlp(embedding, mlp_ratio * embedding, activation=activation, init=init, dtype=dtype, rngs=rngs)
        self.drop_mlp = drop_path(rate, salt=2 * index + 1)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, n, d) or (b, h, w, d), whichever the attention takes, to the same shape."""
        x = x + self.drop_attention(self.attention(self.norm_attention(x)))
        return x + self.drop_mlp(self.mlp(self.norm_mlp(x)))


def block_names(prefix: str, block: Block) -> Names:
    """Yield timm's names for the parts of a block with `Attention`."""
    yield f"{prefix}.norm1", block.norm_attention
    yield f"{prefix}.attn.qkv", block.attention.qkv
    yield f"{prefix}.attn.proj", block.attention.projection
    yield f"{prefix}.norm2", block.norm_mlp
    yield f"{prefix}.mlp.fc1", block.mlp.expand
    yield f"{prefix}.mlp.fc2", block.mlp.contract
