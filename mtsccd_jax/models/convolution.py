"""One convolution, computed in whichever of three ways is fastest for its shape; the result is the same.

XLA's own convolution is best for most shapes on every platform. It falls behind a plain matrix product where the kernel
is 1x1 or the map is small, and on CPU behind Winograd's algorithm where there are many channels. `benchmarks/NOTES.md`
has the measurements.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.initializers import normal

# Up to so many output positions the unfolded input is small, and turning the kernel costs XLA more than the map does.
# Where the kernel is larger than the map XLA:CPU has nothing but a naive loop, a hundred times slower.
UNFOLD_POSITIONS = 16
# From so many channels the products that Winograd saves are worth more than the sums that it adds.
WINOGRAD_CHANNELS = 128

# The transform G of three taps to four points, for both sides of a kernel at once: (16, 9).
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
KERNEL_POINTS = np.kron(_G, _G)


class Conv(nnx.Module):
    """A convolution with an odd kernel and no bias, padded by size // 2 as in torch.

    Begins by kaiming normal over the outputs, as in torchvision. The kernel is stored (height, width, in, out).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        size: int,
        stride: int = 1,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        deviation = (2 / (size * size * channels)) ** 0.5
        self.kernel = nnx.Param(normal(deviation)(rngs.params(), (size, size, in_channels, channels)))
        self.stride = stride
        self.dtype = dtype

    def __call__(self, x_bhwc: jax.Array) -> jax.Array:
        """(b, h, w, in) -> (b, ceil(h / stride), ceil(w / stride), out) in the compute type."""
        return convolve(x_bhwc.astype(self.dtype), self.kernel[...].astype(self.dtype), self.stride)


def convolve(x_bhwc: jax.Array, kernel_hwio: jax.Array, stride: int = 1) -> jax.Array:
    """The convolution of a map with an odd square kernel, padded by size // 2 with zeros.

    Args:
        x_bhwc: the map, (b, h, w, in).
        kernel_hwio: the kernel, (size, size, in, out), of the same type.
        stride: of both sides.

    Returns:
        (b, ceil(h / stride), ceil(w / stride), out).
    """
    size = kernel_hwio.shape[0]
    height, width = (-(-side // stride) for side in x_bhwc.shape[1:3])
    if size == 1 or height * width <= UNFOLD_POSITIONS:
        return unfolded(x_bhwc, kernel_hwio, stride)
    many_channels = min(kernel_hwio.shape[2:]) >= WINOGRAD_CHANNELS
    if size == 3 and stride == 1 and many_channels and x_bhwc.dtype == jnp.float32:
        return jax.lax.platform_dependent(x_bhwc, kernel_hwio, cpu=winograd, default=direct)
    return direct(x_bhwc, kernel_hwio, stride)


def direct(x_bhwc: jax.Array, kernel_hwio: jax.Array, stride: int = 1) -> jax.Array:
    """The convolution as the compiler does it."""
    margin = kernel_hwio.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x_bhwc,
        kernel_hwio,
        window_strides=(stride, stride),
        padding=((margin, margin), (margin, margin)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def unfolded(x_bhwc: jax.Array, kernel_hwio: jax.Array, stride: int = 1) -> jax.Array:
    """The convolution as one matrix product: what each position sees, side by side, times the flattened kernel."""
    size = kernel_hwio.shape[0]
    margin = size // 2
    height, width = (-(-side // stride) for side in x_bhwc.shape[1:3])
    padded = jnp.pad(x_bhwc, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    seen = [
        padded[:, row : row + stride * (height - 1) + 1 : stride, column : column + stride * (width - 1) + 1 : stride]
        for row in range(size)
        for column in range(size)
    ]
    return jnp.concatenate(seen, axis=-1) @ kernel_hwio.reshape(-1, kernel_hwio.shape[-1])


def winograd(x_bhwc: jax.Array, kernel_hwio: jax.Array) -> jax.Array:
    """The 3x3 convolution at stride 1 as F(2x2, 3x3) of arXiv:1509.09308, section 4.1.

    Every tile of 2x2 outputs takes 16 products a channel instead of 36. Its gradients follow by differentiating this,
    and save as much.
    """
    b, height, width, c = x_bhwc.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padded = jnp.pad(x_bhwc, ((0, 0), (1, 2 * rows + 1 - height), (1, 2 * columns + 1 - width), (0, 0)))
    tiles = jnp.stack(_input_points(padded, axis=1))  # (4, b, rows, w, c)
    tiles = jnp.stack(_input_points(tiles, axis=3), axis=1)  # (4, 4, b, rows, columns, c)
    kernels = KERNEL_POINTS @ kernel_hwio.reshape(9, -1)
    products = tiles.reshape(16, -1, c) @ kernels.reshape(16, c, -1)
    y = products.reshape(4, 4, b, rows, columns, -1)
    y = jnp.stack(_outputs(*y), axis=3)  # (4, b, rows, 2, columns, out)
    y = jnp.stack(_outputs(*y), axis=4)  # (b, rows, 2, columns, 2, out)
    return y.reshape(b, 2 * rows, 2 * columns, -1)[:, :height, :width]


def _input_points(x: jax.Array, axis: int) -> tuple[jax.Array, ...]:
    """The transform B^T of every four neighbours along an axis, two apart."""
    length = x.shape[axis] - 3
    a, b, c, d = (jax.lax.slice_in_dim(x, start, start + length, stride=2, axis=axis) for start in range(4))
    return a - c, b + c, c - b, b - d


def _outputs(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The transform A^T that makes two outputs of four points."""
    return a + b + c, b - c - d
