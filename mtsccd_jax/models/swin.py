"""Swin transformers, arXiv:2103.14030 (section 3), in the variant and with the initial weights of torchvision.

timm's network is the same where every map is a multiple of the window, as at 224 pixels. Elsewhere it treats incomplete
windows in another way, and this network follows torchvision.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers import portable
from mtsccd_jax.models.layers.convolution import torch_conv
from mtsccd_jax.models.layers.dropout import drop_path_rates
from mtsccd_jax.models.layers.linear import WEIGHT_INIT, linear
from mtsccd_jax.models.layers.pooling import global_average_pool
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.layers.transformer import Block, layer_norm
from mtsccd_jax.models.network import ImageNetwork, Names, Output, Resampled, Settings, Signature

PATCH = 4
EPSILON = 1e-5


@dataclass(frozen=True)
class Architecture:
    """A variant of section 3.3: blocks and heads of each stage."""

    embedding: int  # channels of a token in the first stage; each stage doubles them
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int  # side in tokens
    drop_path: float  # published stochastic depth rate of the last block


class RelativePositionTable(Resampled):
    """The learned bias of every offset in a window, row by row, and every head: ((2 window - 1)^2, heads)."""

    @staticmethod
    def resampled(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the table for another window, bicubic with antialiasing; None for another number of heads."""
        side, old_side = math.isqrt(shape[0]), math.isqrt(value.shape[0])
        if value.shape[1] != shape[1] or old_side**2 != value.shape[0]:
            return None
        grid = jnp.asarray(value).reshape(old_side, old_side, -1)
        return np.asarray(jax.image.resize(grid, (side, side, shape[1]), "cubic", antialias=True)).reshape(shape)


def position_bias(table: jax.Array, window: int) -> jax.Array:
    """Return the bias between every two tokens of a window, (heads, window^2, window^2), from a table of offsets.

    It slices the table. A gather by offset would have a scatter for a gradient, which is slow on GPU.
    """
    side = 2 * window - 1
    # Reversed, the offsets of one token to all tokens of a row are consecutive and in the order of the row.
    offsets = table.reshape(side, side, -1)[::-1, ::-1]
    starts = range(window - 1, -1, -1)
    rows = jnp.stack([offsets[start : start + window] for start in starts])
    bias = jnp.stack([rows[:, :, start : start + window] for start in starts], axis=1)
    return bias.reshape(window**2, window**2, -1).transpose(2, 0, 1)


def shift_bias(rows: int, columns: int, window: int, shift: tuple[int, int]) -> np.ndarray:
    """Return -100 between tokens of a window that are neighbours by the shift only, else 0.

    The map has rows x columns windows and was rolled by the (rows, columns) of the shift. The result is (rows columns,
    window^2, window^2) float32.
    """
    wrapped_row = np.arange(rows * window) >= rows * window - shift[0]
    wrapped_column = np.arange(columns * window) >= columns * window - shift[1]
    region = 2 * wrapped_row[:, None] + wrapped_column
    region = region.reshape(rows, window, columns, window).swapaxes(1, 2).reshape(rows * columns, -1)
    return np.where(region[:, :, None] != region[:, None, :], np.float32(-100), np.float32(0))


class WindowAttention(nnx.Module):
    """Multi-head self-attention within windows, shifted or not (section 3.2)."""

    def __init__(
        self, embedding: int, heads: int, window: int, shifted: bool, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.heads, self.window, self.shifted = heads, window, shifted
        self.qkv = linear(embedding, 3 * embedding, dtype, rngs)
        self.projection = linear(embedding, embedding, dtype, rngs)
        self.table = RelativePositionTable(WEIGHT_INIT(rngs.params(), ((2 * window - 1) ** 2, heads)))

    def __call__(self, x_bhwd: jax.Array) -> jax.Array:
        """Map (b, h, w, d) to (b, h, w, d)."""
        b, height, width, d = x_bhwd.shape
        window = self.window
        rows, columns = -(-height // window), -(-width // window)
        # Zeros fill the last windows and are attended to, as in torchvision. A window as large as the map stays.
        x = jnp.pad(x_bhwd, ((0, 0), (0, rows * window - height), (0, columns * window - width), (0, 0)))
        shift = (window // 2 * (self.shifted and rows > 1), window // 2 * (self.shifted and columns > 1))
        bias = position_bias(self.table[...], window)[None]
        if any(shift):
            x = jnp.roll(x, (-shift[0], -shift[1]), axis=(1, 2))
            bias = bias + shift_bias(rows, columns, window, shift)[:, None]

        x = x.reshape(b, rows, window, columns, window, d).swapaxes(2, 3)
        qkv = self.qkv(x).reshape(b, rows * columns, window**2, 3, self.heads, d // self.heads)
        # All windows of an image, or each of them, have a bias of their own, the same for all images. cuDNN's attention
        # has no gradient of a bias for an odd number of tokens, and a window has 49.
        attention = portable.attention
        if not portable.is_portable():
            attention = jax.vmap(jax.nn.dot_product_attention, in_axes=(0, 0, 0, None))
        x = attention(qkv[..., 0, :, :], qkv[..., 1, :, :], qkv[..., 2, :, :], bias)
        x = self.projection(x.reshape(b, rows, columns, window, window, d))
        x = x.swapaxes(2, 3).reshape(b, rows * window, columns * window, d)

        if any(shift):
            x = jnp.roll(x, shift, axis=(1, 2))
        return x[:, :height, :width]


class PatchMerging(nnx.Module):
    """A layer that makes one token of every 2x2 tokens (section 3.1)."""

    def __init__(self, embedding: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.norm = layer_norm(4 * embedding, dtype, rngs, EPSILON)
        self.reduction = nnx.Linear(
            4 * embedding, 2 * embedding, use_bias=False, dtype=dtype, kernel_init=WEIGHT_INIT, rngs=rngs
        )

    def __call__(self, x_bhwd: jax.Array) -> jax.Array:
        """Map (b, h, w, d) to (b, ceil(h / 2), ceil(w / 2), 2 d); odd sides are padded with zeros."""
        b, height, width, d = x_bhwd.shape
        rows, columns = -(-height // 2), -(-width // 2)
        x = jnp.pad(x_bhwd, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        # The four tokens are concatenated column by column.
        x = x.reshape(b, rows, 2, columns, 2, d).transpose(0, 1, 3, 4, 2, 5).reshape(b, rows, columns, 4 * d)
        return self.reduction(self.norm(x))


class Swin(ImageNetwork):
    """A Swin transformer for images of one patch of 4 pixels or more on a side, square or not.

    `width` scales the heads; their number stays.
    """

    title = "a Swin transformer"
    follows = frozenset({"drop_path"})
    smallest_image = PATCH

    def __init__(self, architecture: Architecture, signature: Signature, settings: Settings, *, rngs: nnx.Rngs) -> None:
        self.check_size(signature.image_size, signature.image_size)
        dtype, heads, window = signature.dtype, architecture.heads, architecture.window
        embedding = heads[0] * settings.scaled(architecture.embedding // heads[0])
        self.patch_embedding = torch_conv(
            signature.in_channels, embedding, PATCH, PATCH, padding=0, dtype=dtype, rngs=rngs
        )
        self.norm_embedding = layer_norm(embedding, dtype, rngs, EPSILON)
        self.stages: nnx.List[nnx.List[Block]] = nnx.List()
        self.mergings: nnx.List[PatchMerging] = nnx.List()
        last_rate = architecture.drop_path if settings.drop_path is None else settings.drop_path
        rates = enumerate(drop_path_rates(last_rate, sum(architecture.depths)))
        for stage, depth in enumerate(architecture.depths):
            if stage > 0:
                self.mergings.append(PatchMerging(embedding, dtype=dtype, rngs=rngs))
                embedding *= 2
            blocks: nnx.List[Block] = nnx.List()
            for i in range(depth):
                index, rate = next(rates)
                attention = partial(
                    WindowAttention, embedding, heads[stage], window, shifted=i % 2 == 1, dtype=dtype, rngs=rngs
                )
                blocks.append(
                    Block(embedding, attention, epsilon=EPSILON, rate=rate, index=index, dtype=dtype, rngs=rngs)
                )
            self.stages.append(blocks)
        self.norm = layer_norm(embedding, dtype, rngs, EPSILON)
        self.head = linear(embedding, signature.num_classes, wide(dtype), rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Return logits, the mean of the normalised tokens, and the tokens at their positions."""
        self.check_size(*image_bhwc.shape[1:3])
        x = self.norm_embedding(self.patch_embedding(image_bhwc))
        for stage, blocks in enumerate(self.stages):
            if stage > 0:
                x = self.mergings[stage - 1](x)
            for block in blocks:
                x = block(x)
        x = self.norm(x)
        features = global_average_pool(x)
        return Output(self.head(features), features, x)


def torchvision_names(network: Swin) -> Names:
    """Yield torchvision's names for the parts."""
    yield "features.0.0", network.patch_embedding
    yield "features.0.2", network.norm_embedding
    for stage, blocks in enumerate(network.stages):
        if stage > 0:
            yield f"features.{2 * stage}.norm", network.mergings[stage - 1].norm
            yield f"features.{2 * stage}.reduction", network.mergings[stage - 1].reduction
        for i, block in enumerate(blocks):
            yield from _block_names(f"features.{2 * stage + 1}.{i}", block, "mlp.0", "mlp.3")
    yield "norm", network.norm
    yield "head", network.head


def torchvision_buffers(network: Swin) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays that torchvision's network saves beside its parameters: the place of every offset in a table."""
    for name, part in torchvision_names(network):
        if isinstance(part, RelativePositionTable):
            window = (math.isqrt(part.shape[0]) + 1) // 2
            yield name.replace("_bias_table", "_index"), offset_index(window).ravel()


def offset_index(window: int) -> np.ndarray:
    """Return the row in a table of the offset between every two tokens of a window, (window^2, window^2) int64."""
    row, column = np.divmod(np.arange(window**2), window)
    rows, columns = (place[:, None] - place + window - 1 for place in (row, column))
    return np.asarray(rows * (2 * window - 1) + columns, np.int64)


def timm_names(network: Swin) -> Names:
    """Yield timm's names for the parts."""
    yield from _layer_names(network, merged_before=True, head="head.fc")


def original_names(network: Swin) -> Names:
    """Yield the names of the paper's authors and of older files of timm for the parts."""
    yield from _layer_names(network, merged_before=False, head="head")


def _layer_names(network: Swin, *, merged_before: bool, head: str) -> Names:
    """Yield the names of timm or of the authors, who merge patches at the end of the stage before."""
    yield "patch_embed.proj", network.patch_embedding
    yield "patch_embed.norm", network.norm_embedding
    for stage, blocks in enumerate(network.stages):
        if stage > 0:
            prefix = f"layers.{stage if merged_before else stage - 1}.downsample"
            yield f"{prefix}.norm", network.mergings[stage - 1].norm
            yield f"{prefix}.reduction", network.mergings[stage - 1].reduction
        for i, block in enumerate(blocks):
            yield from _block_names(f"layers.{stage}.blocks.{i}", block, "mlp.fc1", "mlp.fc2")
    yield "norm", network.norm
    yield head, network.head


def _block_names(prefix: str, block: Block, expand: str, contract: str) -> Names:
    """Yield the names of the parts of a block, given those of the layers of its MLP."""
    yield f"{prefix}.norm1", block.norm_attention
    yield f"{prefix}.attn.relative_position_bias_table", block.attention.table
    yield f"{prefix}.attn.qkv", block.attention.qkv
    yield f"{prefix}.attn.proj", block.attention.projection
    yield f"{prefix}.norm2", block.norm_mlp
    yield f"{prefix}.{expand}", block.mlp.expand
    yield f"{prefix}.{contract}", block.mlp.contract
