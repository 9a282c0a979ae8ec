"""One convolution, computed in the way that is fastest for its shape; the result is the same.

XLA's own convolution is fastest for most shapes on every platform. A plain matrix product is faster where the kernel is
1x1, the map is small or the windows do not overlap. On CPU, Winograd's algorithm is faster for many channels, and a sum
of shifted maps for depthwise convolutions. `benchmarks/NOTES.md` has the measurements.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.initializers import Initializer, kaiming_normal_fan_out, torch_uniform, uniform
from mtsccd_jax.models.layers.portable import is_portable

# Up to this many output positions the unfolded input is small, and XLA spends more time on transposing the kernel than
# on the map. Where the kernel is larger than the map, XLA:CPU runs a naive loop, a hundred times slower.
UNFOLD_POSITIONS = 16
# From this many channels on, the products that Winograd saves cost more than the sums that it adds.
WINOGRAD_CHANNELS = 128

# The transform G of three taps to four points, for both sides of a kernel at once: (16, 9).
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
KERNEL_POINTS = np.kron(_G, _G)


class Conv(nnx.Module):
    """A convolution, by default padded by size // 2, with kaiming normal weights over the outputs as in torchvision.

    The kernel is stored as (height, width, in / groups, out). `size` and `padding` are one number or that of rows and
    that of columns.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        size: int | tuple[int, int],
        stride: int = 1,
        *,
        padding: int | tuple[int, int] | None = None,
        groups: int = 1,
        use_bias: bool = False,
        init: Initializer | None = None,
        bias_init: Initializer = nnx.initializers.zeros,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        height, width = size if isinstance(size, tuple) else (size, size)
        init = kaiming_normal_fan_out(groups) if init is None else init
        self.kernel = nnx.Param(init(rngs.params(), (height, width, in_channels // groups, channels)))
        self.bias = nnx.Param(bias_init(rngs.params(), (channels,))) if use_bias else None
        self.stride = stride
        self.padding = (height // 2, width // 2) if padding is None else padding
        self.dtype = dtype

    def __call__(self, x_bhwc: jax.Array) -> jax.Array:
        """Map (b, h, w, in) to (b, (h + 2 padding - height) // stride + 1, ..., out) in the compute type."""
        y = convolve(x_bhwc.astype(self.dtype), self.kernel[...].astype(self.dtype), self.stride, self.padding)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


def torch_conv(
    in_channels: int,
    channels: int,
    size: int,
    stride: int = 1,
    *,
    padding: int | None = None,
    groups: int = 1,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> Conv:
    """Return a convolution with the initial values of `torch.nn.Conv2d`: uniform in +-1/sqrt(inputs of an output)."""
    return Conv(
        in_channels,
        channels,
        size,
        stride,
        padding=padding,
        groups=groups,
        use_bias=True,
        init=torch_uniform,
        bias_init=uniform((size * size * in_channels // groups) ** -0.5),
        dtype=dtype,
        rngs=rngs,
    )


def convolve(
    x_bhwc: jax.Array, kernel_hwio: jax.Array, stride: int = 1, padding: int | tuple[int, int] | None = None
) -> jax.Array:
    """Convolve (b, h, w, in) with (height, width, in / groups, out) to (b, (h + 2 p - height) // stride + 1, ..., out).

    The shapes decide the number of groups. `padding` None is half the kernel, rounded down.
    """
    size = kernel_hwio.shape[:2]
    margin = _margin(size, padding)
    if is_portable():
        return direct(x_bhwc, kernel_hwio, stride, margin)
    groups = x_bhwc.shape[-1] // kernel_hwio.shape[2]
    if groups > 1:
        if kernel_hwio.shape[2] > 1:
            return direct(x_bhwc, kernel_hwio, stride, margin)
        by_channel = partial(depthwise, stride=stride, padding=margin)
        compiled = partial(direct, stride=stride, padding=margin)
        y: jax.Array = jax.lax.platform_dependent(x_bhwc, kernel_hwio, cpu=by_channel, default=compiled)
        return y
    height, width = _output_size(x_bhwc, size, stride, margin)
    if size == (1, 1) or height * width <= UNFOLD_POSITIONS:
        return unfolded(x_bhwc, kernel_hwio, stride, margin)
    if size == (stride, stride) and margin == (0, 0):
        return patches(x_bhwc, kernel_hwio)
    many_channels = min(kernel_hwio.shape[2:]) >= WINOGRAD_CHANNELS
    if size == (3, 3) and stride == 1 and margin == (1, 1) and many_channels and x_bhwc.dtype == jnp.float32:
        y = jax.lax.platform_dependent(x_bhwc, kernel_hwio, cpu=winograd, default=direct)
        return y
    return direct(x_bhwc, kernel_hwio, stride, margin)


def direct(
    x_bhwc: jax.Array, kernel_hwio: jax.Array, stride: int = 1, padding: int | tuple[int, int] | None = None
) -> jax.Array:
    """Convolve with the compiler's own convolution."""
    rows, columns = _margin(kernel_hwio.shape[:2], padding)
    return jax.lax.conv_general_dilated(
        x_bhwc,
        kernel_hwio,
        window_strides=(stride, stride),
        padding=((rows, rows), (columns, columns)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x_bhwc.shape[-1] // kernel_hwio.shape[2],
    )


def unfolded(
    x_bhwc: jax.Array, kernel_hwio: jax.Array, stride: int = 1, padding: int | tuple[int, int] | None = None
) -> jax.Array:
    """Convolve by one matrix product: the window of each position, flattened, times the flattened kernel."""
    seen = _windows(x_bhwc, kernel_hwio.shape[:2], stride, _margin(kernel_hwio.shape[:2], padding))
    return jnp.concatenate(seen, axis=-1) @ kernel_hwio.reshape(-1, kernel_hwio.shape[-1])


def patches(x_bhwc: jax.Array, kernel_hwio: jax.Array) -> jax.Array:
    """Convolve with a stride equal to the size: a matrix product of patches that do not overlap."""
    size, _, c, channels = kernel_hwio.shape
    b, rows, columns = x_bhwc.shape[0], x_bhwc.shape[1] // size, x_bhwc.shape[2] // size
    x_bhwc = x_bhwc[:, : rows * size, : columns * size]
    x = x_bhwc.reshape(b, rows, size, columns, size, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, rows, columns, size * size * c) @ kernel_hwio.reshape(-1, channels)


def depthwise(x_bhwc: jax.Array, kernel_hwio: jax.Array, *, stride: int, padding: tuple[int, int]) -> jax.Array:
    """Convolve each channel by itself: a sum of shifted maps, which XLA:CPU compiles to one loop."""
    size = kernel_hwio.shape[:2]
    multiplier = kernel_hwio.shape[-1] // x_bhwc.shape[-1]
    if multiplier > 1:
        x_bhwc = jnp.repeat(x_bhwc, multiplier, axis=-1)
    if stride == 1 and size == (2 * padding[0] + 1, 2 * padding[1] + 1):
        return _shifted_sum_of_same_size(x_bhwc, kernel_hwio)
    y: jax.Array = _shifted_sum(x_bhwc, kernel_hwio, stride, padding)
    return y


# Jitted so that it is traced once for all equal blocks of a network.
@partial(jax.jit, static_argnums=(2, 3))
def _shifted_sum(x_bhwc: jax.Array, kernel_hwio: jax.Array, stride: int, margin: tuple[int, int]) -> jax.Array:
    """Sum the values under the places of the kernel times the kernel, at every position."""
    size = kernel_hwio.shape[:2]
    taps = kernel_hwio.reshape(size[0] * size[1], -1)
    windows = _windows(x_bhwc, size, stride, margin)
    return sum((seen * tap for seen, tap in zip(windows, taps, strict=True)), start=jnp.zeros((), x_bhwc.dtype))


@jax.custom_vjp
def _shifted_sum_of_same_size(x_bhwc: jax.Array, kernel_hwio: jax.Array) -> jax.Array:
    """Sum at stride 1, with a result as large as the map.

    The derived gradients of the sum take five times as long to run and to compile, so they are written by hand.
    """
    y: jax.Array = _shifted_sum(x_bhwc, kernel_hwio, 1, _margin(kernel_hwio.shape[:2], None))
    return y


def _same_size_forward(x_bhwc: jax.Array, kernel_hwio: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _shifted_sum_of_same_size(x_bhwc, kernel_hwio), (x_bhwc, kernel_hwio)


def _same_size_backward(saved: tuple[jax.Array, jax.Array], gradient_bhwc: jax.Array) -> tuple[jax.Array, jax.Array]:
    x_bhwc, kernel_hwio = saved
    height, width = kernel_hwio.shape[:2]
    padded = jnp.pad(x_bhwc, ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)))

    def of_tap(place: jax.Array) -> jax.Array:
        seen = jax.lax.dynamic_slice(padded, (0, place // width, place % width, 0), x_bhwc.shape)
        return jnp.sum(seen * gradient_bhwc, axis=(1, 2))

    # The batch, which may lie on several devices, is summed last and once.
    of_kernel = jnp.sum(jax.lax.map(of_tap, jnp.arange(height * width)), axis=1)
    return _shifted_sum_of_same_size(gradient_bhwc, kernel_hwio[::-1, ::-1]), of_kernel.reshape(kernel_hwio.shape)


_shifted_sum_of_same_size.defvjp(_same_size_forward, _same_size_backward)


def _margin(size: tuple[int, ...], padding: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return the rows and columns of zeros on each side."""
    if padding is None:
        return size[0] // 2, size[1] // 2
    return padding if isinstance(padding, tuple) else (padding, padding)


def _output_size(x_bhwc: jax.Array, size: tuple[int, ...], stride: int, margin: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the result."""
    height, width = (x_bhwc.shape[1 + i] + 2 * margin[i] - size[i] for i in (0, 1))
    return height // stride + 1, width // stride + 1


def _windows(x_bhwc: jax.Array, size: tuple[int, ...], stride: int, margin: tuple[int, int]) -> list[jax.Array]:
    """Return the values under each place of the kernel at all positions of the result: size arrays (b, h, w, c)."""
    height, width = _output_size(x_bhwc, size, stride, margin)
    padded = jnp.pad(x_bhwc, ((0, 0), (margin[0],) * 2, (margin[1],) * 2, (0, 0)))
    return [
        padded[:, row : row + stride * (height - 1) + 1 : stride, column : column + stride * (width - 1) + 1 : stride]
        for row in range(size[0])
        for column in range(size[1])
    ]


def winograd(x_bhwc: jax.Array, kernel_hwio: jax.Array) -> jax.Array:
    """Convolve 3x3 at stride 1 by F(2x2, 3x3) of arXiv:1509.09308, section 4.1.

    A tile of 2x2 outputs takes 16 products for each channel instead of 36. The derived gradients save as much.
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
    """Apply the transform B^T to every four neighbours along an axis, at a stride of two."""
    length = x.shape[axis] - 3
    a, b, c, d = (jax.lax.slice_in_dim(x, start, start + length, stride=2, axis=axis) for start in range(4))
    return a - c, b + c, c - b, b - d


def _outputs(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Apply the transform A^T, which makes two outputs of four points."""
    return a + b + c, b - c - d
