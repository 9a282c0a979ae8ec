"""Exact multiply-accumulates of a traced function, counted from shapes."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def count_macs(function: Callable[..., Any], *args: Any) -> int:
    """Multiply-accumulates of all convolutions and matrix products of `function(*args)`, which is only traced.

    Unlike the compiler's own estimate this neither misses a fused matrix product nor depends on the backend.
    Elementwise work is not counted; products with the zeros of padding are, as in published tables. FLOPs are twice
    this.

    Args:
        function: any traceable function.
        *args: arrays or `jax.ShapeDtypeStruct`, as the function takes them.

    Raises:
        ValueError: the function holds a loop whose number of turns is not known when it is traced.
    """
    return jaxpr_macs(jax.make_jaxpr(function)(*args))


def jaxpr_macs(jaxpr: Jaxpr | ClosedJaxpr) -> int:
    """Multiply-accumulates of a traced program, counted as `count_macs` does; of branches, the largest."""
    return sum(_equation_macs(equation) for equation in jaxpr.eqns)


def _equation_macs(equation: JaxprEqn) -> int:
    match equation.primitive.name:
        case "dot_general":
            return _dot_macs(equation)
        case "conv_general_dilated":
            return _conv_macs(equation)
        case "scan":
            return equation.params["length"] * jaxpr_macs(equation.params["jaxpr"])
        case "cond":
            return max(jaxpr_macs(branch) for branch in equation.params["branches"])
        case "while":
            macs = sum(map(jaxpr_macs, _inner(equation)))
            if macs:
                raise ValueError("cannot count the products of a while loop: its number of turns is not known")
            return 0
        case _:
            return sum(map(jaxpr_macs, _inner(equation)))


def _inner(equation: JaxprEqn) -> list[Jaxpr | ClosedJaxpr]:
    """The programs inside calls: jit, custom derivatives, checkpoints, shard_map."""
    return [value for value in equation.params.values() if isinstance(value, Jaxpr | ClosedJaxpr)]


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _dot_macs(equation: JaxprEqn) -> int:
    """Output elements times the length of the contraction."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = _shape(equation.invars[0])
    return math.prod(_shape(equation.outvars[0])) * math.prod(left[axis] for axis in contracted)


def _conv_macs(equation: JaxprEqn) -> int:
    """Output elements times the window and the input channels of a group: all of the kernel but its output axis."""
    kernel = _shape(equation.invars[1])
    window = math.prod(kernel) // kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return math.prod(_shape(equation.outvars[0])) * window
