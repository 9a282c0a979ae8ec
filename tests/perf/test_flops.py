"""Multiply-accumulates against arithmetic done by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from mtsccd_jax.perf.flops import count_macs


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def square(a: jax.Array) -> jax.Array:
    return a @ a


@pytest.mark.parametrize(
    ("macs", "function"),
    [
        (64, jax.jit(jax.checkpoint(square))),
        (7 * 64, lambda a: lax.scan(lambda x, _: (square(x), None), a, length=7)[0]),
        (64, lambda a: lax.cond(a[0, 0] > 0, square, lambda x: x, a)),
        (3 * 64, lambda a: jax.grad(lambda a, b: jnp.sum(jnp.sin(a @ b)), (0, 1))(a, a)),  # a product and two more
        (0, lambda a: lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x + 1, a)),
    ],
)
def test_calls_scans_and_branches_are_entered(macs, function) -> None:
    assert count_macs(function, shape(4, 4)) == macs


def test_a_loop_of_unknown_length_with_products_is_an_error() -> None:
    with pytest.raises(ValueError, match="number of turns is not known"):
        count_macs(lambda a: lax.while_loop(lambda x: x[0, 0] < 1, square, a), shape(4, 4))


def test_a_batched_product() -> None:
    assert count_macs(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), shape(3, 4, 5), shape(3, 5, 6)) == 3 * 4 * 5 * 6


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (1, 2), (4, 1)])
def test_a_convolution_counts_its_padding_and_no_zeros_between_strides(groups: int, stride: int) -> None:
    def convolve(image: jax.Array, kernel: jax.Array) -> jax.Array:
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            image, kernel, (stride, stride), "SAME", dimension_numbers=layout, feature_group_count=groups
        )

    arguments = shape(2, 10, 12, 8), shape(3, 5, 8 // groups, 16)
    expected = 2 * (10 // stride) * (12 // stride) * 16 * (3 * 5 * 8 // groups)
    assert count_macs(convolve, *arguments) == expected
    # Forward and backward, whatever the stride: the zeros that it puts into the gradient are not multiplied.
    gradient = jax.grad(lambda image, kernel: jnp.sum(jnp.sin(convolve(image, kernel))))
    assert count_macs(gradient, *arguments) == 2 * expected
