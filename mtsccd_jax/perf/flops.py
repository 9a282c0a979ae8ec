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
    return _jaxpr_macs(jax.make_jaxpr(function)(*args).jaxpr)


def _jaxpr_macs(jaxpr: Jaxpr) -> int:
    return sum(_equation_macs(equation) for equation in jaxpr.eqns)


def _equation_macs(equation: JaxprEqn) -> int:
    match equation.primitive.name:
        case "dot_general":
            return _dot_macs(equation)
        case "conv_general_dilated":
            return _conv_macs(equation)
        case "scan":
            return equation.params["length"] * _jaxpr_macs(equation.params["jaxpr"].jaxpr)
        case "cond":
            return max(_jaxpr_macs(branch.jaxpr) for branch in equation.params["branches"])
        case "while":
            macs = sum(map(_jaxpr_macs, _inner(equation)))
            if macs:
                raise ValueError("cannot count the products of a while loop: its number of turns is not known")
            return 0
        case _:
            return sum(map(_jaxpr_macs, _inner(equation)))


def _inner(equation: JaxprEqn) -> list[Jaxpr]:
    """The programs inside calls: jit, custom derivatives, checkpoints, shard_map."""
    values = equation.params.values()
    return [v.jaxpr if isinstance(v, ClosedJaxpr) else v for v in values if isinstance(v, ClosedJaxpr | Jaxpr)]


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
