"""The signatures of `ops` state shapes, and the check that all other tests run under finds wrong ones."""

import inspect
from typing import Any, get_args, get_type_hints

import jax.numpy as jnp
import numpy as np
import pytest
from beartype.roar import BeartypeDoorHintViolation
from jax import Array
from jaxtyping import Float32
from shape_checks import MODULES, check_shapes, public_functions


def _leaves(hint: Any) -> set[Any]:
    return {hint}.union(*map(_leaves, get_args(hint))) if not isinstance(hint, list) else set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_no_public_function_leaves_the_shape_of_an_array_open(module):
    for owner, name, function in public_functions(module):
        for argument, hint in get_type_hints(inspect.unwrap(function)).items():
            assert not _leaves(hint) & {Array, np.ndarray}, f"{owner.__name__}.{name}: {argument}"


def sums(x_nd: Float32[Array, "n d"], y_nd: Float32[Array, "n d"]) -> Float32[Array, " n"]:
    return x_nd.sum(1) if x_nd.shape[1] < 4 else x_nd.sum(0)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (jnp.ones((2, 3)), jnp.ones((3, 3))),
        (jnp.ones((2, 3), int), jnp.ones((2, 3))),
        (np.ones((2, 3), np.float32), jnp.ones((2, 3))),
        (jnp.ones((2, 4)), jnp.ones((2, 4))),
    ],
    ids=["length", "type", "library", "result"],
)
def test_a_wrong_shape_is_found(x, y):
    check_shapes(sums)(jnp.ones((2, 3)), jnp.ones((2, 3)))
    with pytest.raises(BeartypeDoorHintViolation):
        check_shapes(sums)(x, y)
