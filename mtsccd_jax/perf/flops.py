"""Count the multiply-accumulates of a traced function exactly, from shapes."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def count_macs(function: Callable[..., Any], *args: Any) -> int:
    """Count the multiply-accumulates of all convolutions and matrix products of `function(*args)`; it is only traced.

    Unlike the estimate of the compiler this neither misses a fused matrix product nor depends on the backend.
    Elementwise work is not counted; products with the zeros of padding are, as in published tables. FLOPs are twice the
    result.

    Raises:
        ValueError: The function has products in a loop whose number of turns is unknown at trace time.
    """
    return jaxpr_macs(jax.make_jaxpr(function)(*args))


def jaxpr_macs(jaxpr: Jaxpr | ClosedJaxpr) -> int:
    """Count the multiply-accumulates of a traced program as `count_macs` does; of branches, the largest counts."""
    return sum(equation_macs(equation) for equation in jaxpr.eqns)


def jaxpr_activations(jaxpr: Jaxpr | ClosedJaxpr) -> int:
    """Count the elements that convolutions and matrix products of a traced program return: timm's activations.

    Of branches the smallest counts, since a convolution that one platform computes as products has more results. A scan
    counts every turn, a loop of unknown length one.
    """
    return sum(_equation_activations(equation) for equation in jaxpr.eqns)


def _equation_activations(equation: JaxprEqn) -> int:
    match equation.primitive.name:
        case "dot_general" | "conv_general_dilated":
            return math.prod(_shape(equation.outvars[0]))
        case "scan":
            return int(equation.params["length"]) * jaxpr_activations(equation.params["jaxpr"])
        case "cond":
            return min(jaxpr_activations(branch) for branch in equation.params["branches"])
        case _:
            return sum(map(jaxpr_activations, _inner(equation)))


def equation_macs(equation: JaxprEqn) -> int:
    """Count the multiply-accumulates of one primitive and of the programs in it as `count_macs` does."""
    match equation.primitive.name:
        case "dot_general":
            return _dot_macs(equation)
        case "conv_general_dilated":
            return _conv_macs(equation)
        case "scan":
            return int(equation.params["length"]) * jaxpr_macs(equation.params["jaxpr"])
        case "cond":
            return max(jaxpr_macs(branch) for branch in equation.params["branches"])
        case "while":
            macs = sum(map(jaxpr_macs, _inner(equation)))
            if macs:
                raise ValueError("cannot count the products of a while loop: its number of turns is not known")
            return 0
        case _:
            return sum(map(jaxpr_macs, _inner(equation)))


def model_flops(forward_macs: int) -> int:
    """Return the floating-point operations of a training step by convention: three times those of a forward pass.

    Model FLOP utilisation uses this number, so that neither recomputation nor a layer that needs no gradient changes it
    (Chowdhery et al. 2022, appendix B).
    """
    return 3 * 2 * forward_macs


def _inner(equation: JaxprEqn) -> list[Jaxpr | ClosedJaxpr]:
    """Return the programs inside calls: jit, custom derivatives, checkpoints, shard_map."""
    return [value for value in equation.params.values() if isinstance(value, Jaxpr | ClosedJaxpr)]


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)


def _dot_macs(equation: JaxprEqn) -> int:
    """Count output elements times the length of the contraction."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = _shape(equation.invars[0])
    contraction: int = math.prod(left[axis] for axis in contracted)
    return math.prod(_shape(equation.outvars[0])) * contraction


def _conv_macs(equation: JaxprEqn) -> int:
    """Count output elements times the window and the input channels of a group: the kernel without its output axis.

    The input gradient of a strided convolution is a convolution whose input has zeros between its elements; these are
    not multiplied.
    """
    kernel = _shape(equation.invars[1])
    window: int = math.prod(kernel) // kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    dilation: int = math.prod(equation.params["lhs_dilation"])
    return math.prod(_shape(equation.outvars[0])) * window // dilation
