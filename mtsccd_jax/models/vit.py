"""Vision transformers, arXiv:2010.11929, in the pre-normalised layout and with the initial weights of timm."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mtsccd_jax.models.layers.blocks import (
    Names,
    Output,
    Resampled,
    Settings,
    check_made_for,
    check_size,
    drop_path_rates,
    scaled,
    torch_conv,
    wide,
)
from mtsccd_jax.models.layers.initializers import normal
from mtsccd_jax.models.layers.transformer import WEIGHT_INIT, Block, block_names, layer_norm, linear


@dataclass(frozen=True)
class Architecture:
    """A row of Table 1 of the paper, or one of its smaller relatives (arXiv:2012.12877, Table 1)."""

    patch: int
    embedding: int
    depth: int
    heads: int


class PositionEmbedding(Resampled):
    """A learned position for every patch in reading order, after one of the class token: (1, 1 + n, d)."""

    @staticmethod
    def resampled(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """`value` for another number of patches, the class token's as it is: bicubic with antialiasing, as in timm."""
        side, old_side = (math.isqrt(number - 1) for number in (shape[1], value.shape[1]))
        grid = jnp.asarray(value[0, 1:]).reshape(old_side, old_side, -1)
        resized = jax.image.resize(grid, (side, side, value.shape[2]), "cubic", antialias=True)
        return np.concatenate([value[:, :1], np.asarray(resized).reshape(1, side * side, -1)], axis=1)


class VisionTransformer(nnx.Module):
    """A vision transformer for square images of one size.

    Args:
        architecture: patch, embedding, depth and heads.
        settings: what is chosen whatever the family. `image_size` decides the number of learned positions; what no
            patch fills is cut off, as in timm. `width` scales every head, their number and the depth stay.
        rngs: source of the initial weights.

    Raises:
        InputError: the size is smaller than a patch, or an image has another size than the network was made for.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        patch, heads, image_size = architecture.patch, architecture.heads, settings.image_size
        check_size((image_size,) * 2, patch, "a ViT")
        embedding = heads * scaled(architecture.embedding // heads, settings.width)
        self.image_size = image_size
        self.dtype = dtype = settings.dtype
        # The one layer that timm leaves as torch's convolution begins.
        self.patch_embedding = torch_conv(
            settings.in_channels, embedding, patch, patch, padding=0, dtype=dtype, rngs=rngs
        )
        self.class_token = nnx.Param(normal(1e-6)(rngs.params(), (1, 1, embedding)))
        positions = (image_size // patch) ** 2 + 1
        self.position_embedding = PositionEmbedding(WEIGHT_INIT(rngs.params(), (1, positions, embedding)))
        self.blocks = nnx.List(
            [
                Block(embedding, heads, drop_path=rate, index=index, dtype=dtype, rngs=rngs)
                for index, rate in enumerate(drop_path_rates(settings.drop_path, architecture.depth))
            ]
        )
        self.norm = layer_norm(embedding, dtype, rngs)
        self.head = linear(embedding, settings.num_classes, wide(dtype), rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the normalised class token, and the normalised tokens of the patches in their places."""
        check_made_for(image_bhwc.shape[1:3], self.image_size, "ViT")
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
    """What timm calls the parts."""
    yield "patch_embed.proj", network.patch_embedding
    yield "cls_token", network.class_token
    yield "pos_embed", network.position_embedding
    for i, block in enumerate(network.blocks):
        yield from block_names(f"blocks.{i}", block)
    yield "norm", network.norm
    yield "head", network.head
