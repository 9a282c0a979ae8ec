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
    return sum(equation_macs(equation) for equation in jaxpr.eqns)


def jaxpr_activations(jaxpr: Jaxpr | ClosedJaxpr) -> int:
    """Elements that the convolutions and matrix products of a traced program return: what timm calls activations.

    Of branches the smallest counts: a convolution written out as products for one platform returns more on the way.
    Of a scan every turn counts, of a loop of unknown length one.
    """
    return sum(_equation_activations(equation) for equation in jaxpr.eqns)


def _equation_activations(equation: JaxprEqn) -> int:
    match equation.primitive.name:
        case "dot_general" | "conv_general_dilated":
            return math.prod(_shape(equation.outvars[0]))
        case "scan":
            return equation.params["length"] * jaxpr_activations(equation.params["jaxpr"])
        case "cond":
            return min(jaxpr_activations(branch) for branch in equation.params["branches"])
        case _:
            return sum(map(jaxpr_activations, _inner(equation)))


def equation_macs(equation: JaxprEqn) -> int:
    """Multiply-accumulates of one primitive and of the programs in it, counted as `count_macs` does."""
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


def model_flops(forward_macs: int) -> int:
    """The floating-point operations of a training step by convention: three times those of a forward pass.

    What model FLOP utilisation is reckoned with, so that neither recomputation nor a layer that needs no gradient
    changes it (Chowdhery et al. 2022, appendix B).
    """
    return 3 * 2 * forward_macs


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
    """Output elements times the window and the input channels of a group: all of the kernel but its output axis.

    The gradient of a strided convolution's input is one whose own input has zeros between its elements; nobody
    multiplies those.
    """
    kernel = _shape(equation.invars[1])
    window = math.prod(kernel) // kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return math.prod(_shape(equation.outvars[0])) * window // math.prod(equation.params["lhs_dilation"])
