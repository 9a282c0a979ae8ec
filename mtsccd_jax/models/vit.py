"""Vision transformers, arXiv:2010.11929, in the pre-normalised layout and with the initial weights of timm."""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mtsccd_jax.models.layers.convolution import torch_conv
from mtsccd_jax.models.layers.dropout import drop_path_rates
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.linear import WEIGHT_INIT, linear
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.layers.transformer import Attention, Block, block_names, layer_norm
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Resampled, Settings, Signature


@dataclass(frozen=True)
class Architecture:
    """A row of Table 1 of the paper, or a smaller variant (arXiv:2012.12877, Table 1)."""

    patch: int
    embedding: int
    depth: int
    heads: int


class PositionEmbedding(Resampled):
    """The learned positions of the class token and of every patch, row by row: (1, 1 + n, d)."""

    @staticmethod
    def resampled(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the positions for another number of patches: bicubic with antialiasing, as in timm.

        A class token that the published table has no position for gets zeros, as it is added to none there. None
        where the positions of the patches are no square, or others are among them, such as those of registers.
        """
        patches = value.shape[1] if math.isqrt(value.shape[1]) ** 2 == value.shape[1] else value.shape[1] - 1
        side, old_side = math.isqrt(shape[1] - 1), math.isqrt(patches)
        if old_side**2 != patches or value.shape[2] != shape[2]:
            return None
        first = value[:, :-patches] if patches < value.shape[1] else np.zeros_like(value[:, :1])
        grid = jnp.asarray(value[0, -patches:]).reshape(old_side, old_side, -1)
        resized = jax.image.resize(grid, (side, side, value.shape[2]), "cubic", antialias=True)
        return np.concatenate([first, np.asarray(resized).reshape(1, side * side, -1)], axis=1)


class VisionTransformer(ImageNetwork):
    """A vision transformer for square images of one size, which decides the number of learned positions.

    `width` scales the heads; their number and the depth stay. Incomplete patches are cut off, as in timm.
    """

    title = "a ViT"
    follows = frozenset({"drop_path"})

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        patch, heads, image_size = architecture.patch, architecture.heads, signature.image_size
        self.smallest_image, self.image_size = patch, image_size
        self.check_size(image_size, image_size)
        embedding = heads * settings.scaled(architecture.embedding // heads)
        self.dtype = dtype = signature.dtype
        # The only layer in which timm keeps torch's initial weights.
        self.patch_embedding = torch_conv(
            signature.in_channels, embedding, patch, patch, padding=0, dtype=dtype, rngs=rngs
        )
        self.class_token = nnx.Param(normal(1e-6)(rngs.params(), (1, 1, embedding)))
        positions = (image_size // patch) ** 2 + 1
        self.position_embedding = PositionEmbedding(WEIGHT_INIT(rngs.params(), (1, positions, embedding)))
        attention = partial(Attention, embedding, heads, dtype=dtype, rngs=rngs)
        self.blocks = nnx.List(
            [
                Block(embedding, attention, rate=rate, index=index, dtype=dtype, rngs=rngs)
                for index, rate in enumerate(drop_path_rates(settings.drop_path, architecture.depth))
            ]
        )
        self.norm = layer_norm(embedding, dtype, rngs)
        self.head = linear(embedding, signature.num_classes, wide(dtype), rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the normalised class token, and the normalised tokens of the patches at their positions."""
        self.check_size(*image_bhwc.shape[1:3])
        x_bhwd = self.patch_embedding(image_bhwc)
        b, _, _, d = x_bhwd.shape
        class_token = jnp.broadcast_to(self.class_token[...].astype(self.dtype), (b, 1, d))
        x_bnd = jnp.concatenate([class_token, x_bhwd.reshape(b, -1, d)], axis=1)
        x_bnd = x_bnd + self.position_embedding[...].astype(self.dtype)
        for block in self.blocks:
            x_bnd = block(x_bnd)
        x_bnd = self.norm(x_bnd)
        features = x_bnd[:, 0].astype(wide(self.dtype))
        return Output(self.head(features), features, x_bnd[:, 1:].reshape(x_bhwd.shape))


def names(network: VisionTransformer) -> Names:
    """Yield timm's names for the parts."""
    yield "patch_embed.proj", network.patch_embedding
    yield "cls_token", network.class_token
    yield "pos_embed", network.position_embedding
    for i, block in enumerate(network.blocks):
        yield from block_names(f"blocks.{i}", block)
    yield "norm", network.norm
    yield "head", network.head


def torchvision_names(network: VisionTransformer) -> Names:
    """Yield torchvision's names for the parts."""
    yield "conv_proj", network.patch_embedding
    yield "class_token", network.class_token
    yield "encoder.pos_embedding", network.position_embedding
    for i, block in enumerate(network.blocks):
        prefix = f"encoder.layers.encoder_layer_{i}"
        yield f"{prefix}.ln_1", block.norm_attention
        yield f"{prefix}.self_attention.in_proj_", block.attention.qkv
        yield f"{prefix}.self_attention.out_proj", block.attention.projection
        yield f"{prefix}.ln_2", block.norm_mlp
        yield f"{prefix}.mlp.0", block.mlp.expand
        yield f"{prefix}.mlp.3", block.mlp.contract
    yield "encoder.ln", network.norm
    yield "heads.head", network.head
