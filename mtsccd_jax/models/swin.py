"""Swin transformers, arXiv:2103.14030 (section 3), in the variant and with the initial weights of torchvision.

timm publishes the same network, but cuts windows that do not fill a map in another way: the two agree where every map
is a multiple of the window, as at 224 pixels. Elsewhere this is torchvision's.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import (
    Dropout,
    Names,
    Output,
    Resampled,
    Settings,
    check_size,
    drop_path_rates,
    scaled,
    torch_conv,
    wide,
)
from mtsccd_jax.models.layers.pooling import global_average_pool
from mtsccd_jax.models.layers.transformer import WEIGHT_INIT, Mlp, layer_norm, linear

PATCH = 4
EPSILON = 1e-5


@dataclass(frozen=True)
class Architecture:
    """A variant of section 3.3.

    Attributes:
        embedding: channels of a token in the first stage; each stage doubles them.
        depths: blocks in each of the four stages.
        heads: of the attention in each stage.
        window: side of a window in tokens.
        drop_path: share of the examples that skip the last block in training; it grows from none in the first.
    """

    embedding: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int
    drop_path: float


class RelativePositionTable(Resampled):
    """A learned bias for every offset within a window, row by row, and every head: ((2 window - 1)^2, heads)."""

    @staticmethod
    def resampled(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """`value` for another window, bicubic with antialiasing; None where it has another number of heads."""
        side, old_side = math.isqrt(shape[0]), math.isqrt(value.shape[0])
        if value.shape[1] != shape[1] or old_side**2 != value.shape[0]:
            return None
        grid = jnp.asarray(value).reshape(old_side, old_side, -1)
        return np.asarray(jax.image.resize(grid, (side, side, shape[1]), "cubic", antialias=True)).reshape(shape)


def position_bias(table: jax.Array, window: int) -> jax.Array:
    """The bias between every two tokens of a window, (heads, window^2, window^2), from that of every offset.

    Slices instead of a gather by offset, whose gradient would be a scatter: that is slow on GPU.
    """
    side = 2 * window - 1
    # Reversed, the offsets of one token to all of a row are neighbours in the order of the row.
    offsets = table.reshape(side, side, -1)[::-1, ::-1]
    starts = range(window - 1, -1, -1)
    rows = jnp.stack([offsets[start : start + window] for start in starts])
    bias = jnp.stack([rows[:, :, start : start + window] for start in starts], axis=1)
    return bias.reshape(window**2, window**2, -1).transpose(2, 0, 1)


def shift_bias(rows: int, columns: int, window: int, shift: tuple[int, int]) -> np.ndarray:
    """-100 between tokens of a window that only the shift made neighbours, else 0: (rows columns, window^2, window^2).

    Args:
        rows: of windows in the map.
        columns: of windows in the map.
        window: side of a window.
        shift: rows and columns that the map was rolled by.
    """
    wrapped_row = np.arange(rows * window) >= rows * window - shift[0]
    wrapped_column = np.arange(columns * window) >= columns * window - shift[1]
    region = 2 * wrapped_row[:, None] + wrapped_column
    region = region.reshape(rows, window, columns, window).swapaxes(1, 2).reshape(rows * columns, -1)
    return np.where(region[:, :, None] != region[:, None, :], np.float32(-100), np.float32(0))


class WindowAttention(nnx.Module):
    """Multi-head self-attention within windows, which are shifted or not (section 3.2)."""

    def __init__(
        self, embedding: int, heads: int, window: int, shifted: bool, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.heads = heads
        self.window = window
        self.shifted = shifted
        self.qkv = linear(embedding, 3 * embedding, dtype, rngs)
        self.projection = linear(embedding, embedding, dtype, rngs)
        self.table = RelativePositionTable(WEIGHT_INIT(rngs.params(), ((2 * window - 1) ** 2, heads)))

    def __call__(self, x_bhwd: jax.Array) -> jax.Array:
        """(b, h, w, d) -> (b, h, w, d)."""
        b, height, width, d = x_bhwd.shape
        window = self.window
        rows, columns = -(-height // window), -(-width // window)
        # Zeros fill the last windows and take part, as in torchvision. A window as large as the map is not shifted.
        x = jnp.pad(x_bhwd, ((0, 0), (0, rows * window - height), (0, columns * window - width), (0, 0)))
        shift = (window // 2 * (self.shifted and rows > 1), window // 2 * (self.shifted and columns > 1))
        bias = position_bias(self.table[...], window)[None]
        if any(shift):
            x = jnp.roll(x, (-shift[0], -shift[1]), axis=(1, 2))
            bias = bias + shift_bias(rows, columns, window, shift)[:, None]

        x = x.reshape(b, rows, window, columns, window, d).swapaxes(2, 3)
        qkv = self.qkv(x).reshape(b, rows * columns, window**2, 3, self.heads, d // self.heads)
        # The bias is that of a window, or of every window of an image, whichever image it is. cuDNN's attention has no
        # gradient of a bias where the tokens are odd in number, and a window has 49.
        attention = jax.vmap(jax.nn.dot_product_attention, in_axes=(0, 0, 0, None))
        x = attention(qkv[..., 0, :, :], qkv[..., 1, :, :], qkv[..., 2, :, :], bias)
        x = self.projection(x.reshape(b, rows, columns, window, window, d))
        x = x.swapaxes(2, 3).reshape(b, rows * window, columns * window, d)

        if any(shift):
            x = jnp.roll(x, shift, axis=(1, 2))
        return x[:, :height, :width]


class Block(nnx.Module):
    """Attention within windows, then an MLP, each normalised before and added to what it was given (equation 3).

    Args:
        embedding: channels of a token.
        heads: of the attention.
        window: side of a window in tokens.
        shifted: whether the windows are shifted by half of one.
        drop_path: share of the examples that skip a branch in training.
        index: of the block in the network.
        dtype: type of the computation.
        rngs: source of the initial weights.
    """

    def __init__(
        self,
        embedding: int,
        heads: int,
        window: int,
        shifted: bool,
        *,
        drop_path: float,
        index: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.norm_attention = layer_norm(embedding, dtype, rngs, EPSILON)
        self.attention = WindowAttention(embedding, heads, window, shifted, dtype=dtype, rngs=rngs)
        self.drop_attention = Dropout(drop_path, salt=2 * index, whole_example=True)
        self.norm_mlp = layer_norm(embedding, dtype, rngs, EPSILON)
        self.mlp = Mlp(embedding, 4 * embedding, dtype=dtype, rngs=rngs)
        self.drop_mlp = Dropout(drop_path, salt=2 * index + 1, whole_example=True)

    def __call__(self, x_bhwd: jax.Array) -> jax.Array:
        """(b, h, w, d) -> (b, h, w, d)."""
        x_bhwd = x_bhwd + self.drop_attention(self.attention(self.norm_attention(x_bhwd)))
        return x_bhwd + self.drop_mlp(self.mlp(self.norm_mlp(x_bhwd)))


class PatchMerging(nnx.Module):
    """Makes one token of every four neighbours (section 3.1)."""

    def __init__(self, embedding: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.norm = layer_norm(4 * embedding, dtype, rngs, EPSILON)
        self.reduction = nnx.Linear(
            4 * embedding, 2 * embedding, use_bias=False, dtype=dtype, kernel_init=WEIGHT_INIT, rngs=rngs
        )

    def __call__(self, x_bhwd: jax.Array) -> jax.Array:
        """(b, h, w, d) -> (b, ceil(h / 2), ceil(w / 2), 2 d); zeros are added to odd sides."""
        b, height, width, d = x_bhwd.shape
        rows, columns = -(-height // 2), -(-width // 2)
        x = jnp.pad(x_bhwd, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        # Column by column: the second of the four lies below the first.
        x = x.reshape(b, rows, 2, columns, 2, d).transpose(0, 1, 3, 4, 2, 5).reshape(b, rows, columns, 4 * d)
        return self.reduction(self.norm(x))


class Swin(nnx.Module):
    """A Swin transformer for images of at least one patch of 4 pixels on a side, square or not.

    Args:
        architecture: channels, depths, heads, window and stochastic depth.
        settings: what is chosen whatever the family. `image_size` is only checked; `width` scales every head, their
            number stays.
        rngs: source of the initial weights.

    Raises:
        InputError: the image is smaller than a patch.
    """

    def __init__(self, architecture: Architecture, settings: Settings, *, rngs: nnx.Rngs) -> None:
        check_size((settings.image_size,) * 2, PATCH, "a Swin transformer")
        dtype, heads = settings.dtype, architecture.heads
        embedding = heads[0] * scaled(architecture.embedding // heads[0], settings.width)
        self.patch_embedding = torch_conv(
            settings.in_channels, embedding, PATCH, PATCH, padding=0, dtype=dtype, rngs=rngs
        )
        self.norm_embedding = layer_norm(embedding, dtype, rngs, EPSILON)
        self.stages: nnx.List[nnx.List[Block]] = nnx.List()
        self.mergings: nnx.List[PatchMerging] = nnx.List()
        drop_path = architecture.drop_path if settings.drop_path is None else settings.drop_path
        rates = drop_path_rates(drop_path, sum(architecture.depths))
        for stage, depth in enumerate(architecture.depths):
            if stage > 0:
                self.mergings.append(PatchMerging(embedding, dtype=dtype, rngs=rngs))
                embedding *= 2
            blocks: nnx.List[Block] = nnx.List()
            for i in range(depth):
                index = sum(architecture.depths[:stage]) + i
                blocks.append(
                    Block(
                        embedding,
                        heads[stage],
                        architecture.window,
                        shifted=i % 2 == 1,
                        drop_path=rates[index],
                        index=index,
                        dtype=dtype,
                        rngs=rngs,
                    )
                )
            self.stages.append(blocks)
        self.norm = layer_norm(embedding, dtype, rngs, EPSILON)
        self.head = linear(embedding, settings.num_classes, wide(dtype), rngs)

    def __call__(self, image_bhwc: jax.Array) -> Output:
        """Logits, the mean of the normalised tokens, and the tokens in their places."""
        check_size(image_bhwc.shape[1:3], PATCH, "a Swin transformer")
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
    """What torchvision calls the parts."""
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


def timm_names(network: Swin) -> Names:
    """What timm calls the parts."""
    yield from _layer_names(network, merged_before=True, head="head.fc")


def original_names(network: Swin) -> Names:
    """What the paper's authors, and older files of timm, call the parts: a stage ends where timm's next begins."""
    yield from _layer_names(network, merged_before=False, head="head")


def _layer_names(network: Swin, *, merged_before: bool, head: str) -> Names:
    """What timm and the authors call the parts; patches are merged as a stage begins, or as the one before ends."""
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
    """What all of them call the parts of a block, but for the layers of the MLP."""
    yield f"{prefix}.norm1", block.norm_attention
    yield f"{prefix}.attn.relative_position_bias_table", block.attention.table
    yield f"{prefix}.attn.qkv", block.attention.qkv
    yield f"{prefix}.attn.proj", block.attention.projection
    yield f"{prefix}.norm2", block.norm_mlp
    yield f"{prefix}.{expand}", block.mlp.expand
    yield f"{prefix}.{contract}", block.mlp.contract
