"""Vision transformers, arXiv:2010.11929, in the pre-normalised layout and with the initial weights of timm."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.initializers import normal, uniform
from mtsccd_jax.models.layers import Output

LAYER_NORM_EPSILON = 1e-6
# timm truncates its normal at +-2, which is 100 standard deviations: a plain normal.
WEIGHT_INIT = normal(0.02)


@dataclass(frozen=True)
class Architecture:
    """A row of Table 1 of the paper, or one of its smaller relatives (arXiv:2012.12877, Table 1)."""

    patch: int
    embedding: int
    depth: int
    heads: int


def linear(in_features: int, out_features: int, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer that begins with normal weights of deviation 0.02 and no bias."""
    return nnx.Linear(in_features, out_features, dtype=dtype, kernel_init=WEIGHT_INIT, rngs=rngs)


def layer_norm(features: int, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """A layer normalisation, its statistics in float32."""
    return nnx.LayerNorm(features, epsilon=LAYER_NORM_EPSILON, dtype=dtype, rngs=rngs)


class Attention(nnx.Module):
    """Multi-head self-attention (appendix A)."""

    def __init__(self, embedding: int, heads: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.qkv = linear(embedding, 3 * embedding, dtype, rngs)
        self.projection = linear(embedding, embedding, dtype, rngs)

    def __call__(self, x_bnd: jax.Array) -> jax.Array:
        """(b, n, d) -> (b, n, d)."""
        b, n, d = x_bnd.shape
        qkv = self.qkv(x_bnd).reshape(b, n, 3, self.heads, d // self.heads)
        y = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        return self.projection(y.reshape(b, n, d))


class Mlp(nnx.Module):
    """Two linear layers, four times as wide between, with the exact GELU."""

    def __init__(self, embedding: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.expand = linear(embedding, 4 * embedding, dtype, rngs)
        self.contract = linear(4 * embedding, embedding, dtype, rngs)

    def __call__(self, x_bnd: jax.Array) -> jax.Array:
        """(b, n, d) -> (b, n, d)."""
        return self.contract(nnx.gelu(self.expand(x_bnd), approximate=False))


class Block(nnx.Module):
    """Attention, then MLP, each normalised before and added to what it was given (equations 2 and 3)."""

    def __init__(self, embedding: int, heads: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.norm_attention = layer_norm(embedding, dtype, rngs)
        self.attention = Attention(embedding, heads, dtype=dtype, rngs=rngs)
        self.norm_mlp = layer_norm(embedding, dtype, rngs)
        self.mlp = Mlp(embedding, dtype=dtype, rngs=rngs)

    def __call__(self, x_bnd: jax.Array) -> jax.Array:
        """(b, n, d) -> (b, n, d)."""
        x_bnd = x_bnd + self.attention(self.norm_attention(x_bnd))
        return x_bnd + self.mlp(self.norm_mlp(x_bnd))


class PatchEmbedding(nnx.Module):
    """A linear map of non-overlapping patches: what a strided convolution computes, without its slow gradients."""

    def __init__(self, patch: int, in_channels: int, embedding: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.patch = patch
        values = patch * patch * in_channels
        # The one layer that timm leaves as torch's convolution begins.
        init = uniform(values**-0.5)
        self.linear = nnx.Linear(values, embedding, dtype=dtype, kernel_init=init, bias_init=init, rngs=rngs)

    def __call__(self, image_bhwc: jax.Array) -> jax.Array:
        """(b, h, w, c) -> (b, h / patch, w / patch, d); a patch is flattened as row, column, channel."""
        b, h, w, c = image_bhwc.shape
        p = self.patch
        patches = image_bhwc.reshape(b, h // p, p, w // p, p, c).transpose(0, 1, 3, 2, 4, 5)
        return self.linear(patches.reshape(b, h // p, w // p, p * p * c))


class VisionTransformer(nnx.Module):
    """A vision transformer for square images of one size.

    Args:
        architecture: patch, embedding, depth and heads.
        num_classes: width of the classifier.
        image_size: side in pixels of the images, a multiple of the patch: it decides the number of learned positions.
        in_channels: channels of an image.
        width: factor on the width of every head; their number and the depth stay.
        dtype: type of the computation; parameters are float32.
        rngs: source of the initial weights.

    Raises:
        InputError: the size is not a multiple of the patch, or an image has another size than the network was made for.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int,
        image_size: int,
        in_channels: int,
        width: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        patch, heads = architecture.patch, architecture.heads
        if image_size < patch or image_size % patch:
            below = max(image_size // patch, 1) * patch
            raise InputError(
                f"a ViT with {patch}-pixel patches takes image sizes that are multiples of {patch}, not {image_size}: "
                f"choose {below} or {below + patch}"
            )
        embedding = heads * max(1, round(architecture.embedding / heads * width))
        self.image_size = image_size
        self.dtype = dtype
        self.patch_embedding = PatchEmbedding(patch, in_channels, embedding, dtype=dtype, rngs=rngs)
        self.class_token = nnx.Param(normal(1e-6)(rngs.params(), (embedding,)))
        positions = (image_size // patch) ** 2 + 1
        self.position_embedding = nnx.Param(WEIGHT_INIT(rngs.params(), (positions, embedding)))
        self.blocks = nnx.List([Block(embedding, heads, dtype=dtype, rngs=rngs) for _ in range(architecture.depth)])
        self.norm = layer_norm(embedding, dtype, rngs)
        self.head = linear(embedding, num_classes, jnp.float32, rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the normalised class token, and the normalised tokens of the patches in their places."""
        b, h, w, _ = image_bhwc.shape
        if (h, w) != (self.image_size, self.image_size):
            raise InputError(
                f"this ViT was made for images of {self.image_size}x{self.image_size} pixels, not {h}x{w}: "
                "resize them or set image_size"
            )
        x_bhwd = self.patch_embedding(image_bhwc.astype(self.dtype))
        d = x_bhwd.shape[-1]
        class_token = jnp.broadcast_to(self.class_token[...].astype(self.dtype), (b, 1, d))
        x_bnd = jnp.concatenate([class_token, x_bhwd.reshape(b, -1, d)], axis=1)
        x_bnd = x_bnd + self.position_embedding[...].astype(self.dtype)[None]
        for block in self.blocks:
            x_bnd = block(x_bnd)
        x_bnd = self.norm(x_bnd)
        features = x_bnd[:, 0].astype(jnp.float32)
        return Output(self.head(features), features, x_bnd[:, 1:].reshape(x_bhwd.shape))
