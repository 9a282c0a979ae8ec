"""The ways to convolve against each other, against torch, and on every platform."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx
from jax import export

from mtsccd_jax.models.layers import convolution
from mtsccd_jax.models.layers.convolution import Conv, convolve, depthwise, direct, unfolded, winograd


def with_gradients(function: Callable, *operands: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the result, and the gradients of a fixed random sum of it with respect to every operand."""
    weight = np.random.default_rng(1).normal(size=jax.eval_shape(function, *operands).shape).astype(np.float32)

    @jax.jit
    def both(*operands: jax.Array) -> tuple[jax.Array, ...]:
        y, pull_back = jax.vjp(function, *operands)
        return y, *pull_back(weight)

    return both(*operands)


def operands(
    map_shape: tuple[int, ...], size: tuple[int, int], channels: int, groups: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return a random map and kernel."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=map_shape).astype(np.float32)
    return x, rng.normal(size=(*size, map_shape[-1] // groups, channels)).astype(np.float32)


@pytest.mark.parametrize(
    ("way", "side", "size", "groups", "options"),
    [
        *((winograd, side, (3, 3), 1, {}) for side in ((8, 8), (5, 7), (1, 2))),
        (unfolded, (9, 8), (1, 1), 1, {"stride": 2}),
        (unfolded, (4, 3), (3, 3), 1, {}),
        (unfolded, (7, 6), (3, 3), 1, {"stride": 2}),
        (unfolded, (1, 1), (3, 3), 1, {}),
        (depthwise, (9, 8), (7, 7), 6, {"stride": 1, "padding": (3, 3)}),
        (depthwise, (2, 3), (7, 7), 6, {"stride": 1, "padding": (3, 3)}),
        (depthwise, (9, 8), (1, 7), 6, {"stride": 1, "padding": (0, 3)}),
        (depthwise, (9, 8), (3, 3), 6, {"stride": 1, "padding": (0, 0)}),
        (depthwise, (9, 8), (5, 5), 6, {"stride": 2, "padding": (2, 2)}),
        (depthwise, (8, 8), (4, 4), 6, {"stride": 1, "padding": (2, 2)}),
    ],
)
def test_every_way_equals_the_direct_convolution_and_its_gradients(
    way: Callable, side: tuple[int, int], size: tuple[int, int], groups: int, options: dict
) -> None:
    x, kernel = operands((2, *side, 6), size, 12, groups)
    ours = with_gradients(partial(way, **options), x, kernel)
    reference = with_gradients(partial(direct, **options), x, kernel)
    for value, expected in zip(ours, reference, strict=True):
        assert torch_reference.relative_error(value, np.asarray(expected)) < 5e-6


@pytest.mark.parametrize(
    ("side", "channels", "size", "stride", "chosen"),
    [
        ((12, 9), 128, 3, 1, "winograd"),
        ((12, 9), 64, 3, 1, "direct"),
        ((12, 9), 128, 3, 2, "direct"),
        ((12, 9), 64, 1, 2, "unfolded"),
        ((4, 4), 128, 3, 1, "unfolded"),
        ((33, 40), 3, 7, 2, "direct"),
    ],
)
def test_every_shape_equals_torch(
    side: tuple[int, int], channels: int, size: int, stride: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torch's convolution")
    called = []
    for way in ("direct", "unfolded", "winograd"):
        function = getattr(convolution, way)
        monkeypatch.setattr(convolution, way, lambda *a, f=function, name=way: (called.append(name), f(*a))[1])
    x, kernel = operands((2, *side, channels), (size, size), 128)

    y = jax.jit(lambda x, kernel: convolve(x, kernel, stride))(x, kernel)

    kernel_torch = torch.from_numpy(kernel.transpose(3, 2, 0, 1)).double()
    reference = torch.nn.functional.conv2d(
        torch_reference.channels_first(x).double(), kernel_torch, stride=stride, padding=size // 2
    )
    assert torch_reference.relative_error(y, reference.numpy().transpose(0, 2, 3, 1)) < 1e-5
    assert chosen in called


@pytest.mark.parametrize(
    ("side", "size", "stride", "padding", "groups", "channels"),
    [
        ((9, 8), (1, 7), 1, None, 1, 5),  # a row, as in Inception v3
        ((9, 8), (7, 1), 1, None, 1, 5),
        ((9, 8), (3, 3), 2, 0, 1, 5),
        ((9, 8), (5, 5), 1, (2, 0), 1, 5),
        ((9, 8), (4, 4), 4, 0, 1, 5),  # patches, of which the last row is not filled
        ((9, 8), (2, 2), 2, 0, 1, 5),
        ((3, 4), (3, 3), 1, 0, 1, 5),  # so few positions that they are unfolded
        ((9, 8), (3, 3), 1, None, 6, 6),
        ((9, 8), (5, 5), 2, None, 6, 6),
        ((8, 9), (3, 3), 2, 0, 6, 6),
        ((9, 8), (1, 5), 1, None, 6, 6),
        ((2, 1), (7, 7), 1, None, 6, 6),  # a kernel larger than the map
        ((9, 8), (3, 3), 1, None, 6, 12),  # two results of every channel
        ((9, 8), (3, 3), 1, None, 2, 4),  # groups of three channels
    ],
)
def test_shapes_of_every_kind_and_their_gradients_equal_torch(
    side: tuple[int, int],
    size: tuple[int, int],
    stride: int,
    padding: int | tuple[int, int] | None,
    groups: int,
    channels: int,
) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torch's convolution")
    x, kernel = operands((2, *side, 6), size, channels, groups)
    ours = with_gradients(partial(convolve, stride=stride, padding=padding), x, kernel)

    x_torch = torch_reference.channels_first(x).double().requires_grad_()
    kernel_torch = torch.from_numpy(kernel.transpose(3, 2, 0, 1)).double().requires_grad_()
    margin = (size[0] // 2, size[1] // 2) if padding is None else padding
    y = torch.nn.functional.conv2d(x_torch, kernel_torch, stride=stride, padding=margin, groups=groups)
    weight = np.random.default_rng(1).normal(size=ours[0].shape).astype(np.float32)
    y.backward(torch_reference.channels_first(weight).double())
    reference = (
        y.detach().numpy().transpose(0, 2, 3, 1),
        x_torch.grad.numpy().transpose(0, 2, 3, 1),
        kernel_torch.grad.numpy().transpose(2, 3, 1, 0),
    )
    for value, expected in zip(ours, reference, strict=True):
        assert torch_reference.relative_error(value, expected) < 5e-6


def test_winograd_is_for_float32_on_cpu() -> None:
    """Its sums need the bits of float32, and the compilers of other platforms are faster."""
    x, kernel = (jnp.asarray(value, jnp.bfloat16) for value in operands((1, 8, 8, 128), (3, 3), 128))
    assert "conv_general_dilated" in str(jax.make_jaxpr(convolve)(x, kernel))
    assert "cond" not in str(jax.make_jaxpr(convolve)(x, kernel))
    shapes = [jax.ShapeDtypeStruct(value.shape, jnp.float32) for value in (x, kernel)]
    for platform, has_convolution in (("cpu", False), ("cuda", True), ("tpu", True)):
        text = export.export(jax.jit(convolve), platforms=[platform])(*shapes).mlir_module()
        assert ("stablehlo.convolution" in text) == has_convolution


def test_its_gradient_lowers_for_all_platforms_at_once() -> None:
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, 8, 8, 128), (3, 3, 128, 128))]
    gradient = jax.jit(jax.grad(lambda x, kernel: jnp.sum(jnp.sin(convolve(x, kernel))), (0, 1)))
    export.export(gradient, platforms=["cpu", "cuda", "tpu"])(*shapes)


@pytest.mark.parametrize("mapped", ["pmap", "jit"])
def test_a_batch_divided_over_devices_gives_the_same(mapped: str) -> None:
    x, kernel = operands((8, 6, 6, 128), (3, 3), 128)
    weight = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)

    def gradient(x: jax.Array, kernel: jax.Array, weight: jax.Array) -> jax.Array:
        return jax.grad(lambda kernel: jnp.sum(convolve(x, kernel) * weight))(kernel)

    if mapped == "pmap":
        split = jax.pmap(
            lambda x, kernel, weight: jax.lax.psum(gradient(x[None], kernel, weight[None]), "data"),
            axis_name="data",
            in_axes=(0, None, 0),
            out_axes=None,
        )
        ours = split(x, kernel, weight)
    else:
        mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
        rows = jax.NamedSharding(mesh, jax.P("data"))
        whole = jax.NamedSharding(mesh, jax.P())
        ours = jax.jit(gradient, in_shardings=(rows, whole, rows), out_shardings=whole)(x, kernel, weight)

    reference = jax.jit(lambda x, kernel, weight: jax.vjp(lambda k: direct(x, k), kernel)[1](weight)[0])
    assert torch_reference.relative_error(ours, np.asarray(reference(x, kernel, weight))) < 5e-6


def test_a_kernel_begins_as_torchvision_does() -> None:
    """Kaiming normal over the outputs."""
    layer = Conv(32, 64, 3, rngs=nnx.Rngs(0))
    assert layer.kernel[...].shape == (3, 3, 32, 64)
    assert np.std(layer.kernel[...]) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
