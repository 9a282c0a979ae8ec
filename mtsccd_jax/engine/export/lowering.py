"""A traced program, operation by operation, into an ONNX graph.

What depends on weights alone is computed at once; everything else becomes nodes. `arrays` and `layers` have the
operations that the networks of the table need; one that is missing is an error.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from mtsccd_jax.engine.export.arrays import ARRAYS, ELEMENTWISE, Operation
from mtsccd_jax.engine.export.graph import Graph, NoPlaceInOnnx, Value, known, stored_type
from mtsccd_jax.engine.export.layers import LAYERS, OPERATORS

# Calls of a program that stands in its place; those that repeat one, such as loops, are other operations.
CALLS = ("closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "jit", "pjit", "remat2")
# These keep their result short, or their known arrays as they are.
NEVER_COMPUTED = ("broadcast_in_dim", "convert_element_type")


def walk(graph: Graph, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
    """Add the operations of a program to a graph, and return its results."""
    values: dict[Any, Value] = dict(zip(jaxpr.constvars, map(known, consts), strict=True))
    values |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(variable: Any) -> Value:
        return known(variable.val) if hasattr(variable, "val") else values[variable]

    for equation in jaxpr.eqns:
        results = lowered(graph, equation, [read(variable) for variable in equation.invars])
        values |= dict(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def lowered(graph: Graph, equation: Any, inputs: Sequence[Value]) -> list[Value]:
    """Return the results of an operation: as one operator, of the program that it calls, known, or as nodes."""
    name, parameters = equation.primitive.name, equation.params
    operator = OPERATORS.get(parameters.get("name", ""))
    inner = parameters.get("jaxpr") or parameters.get("call_jaxpr")
    if operator is None and name in CALLS:
        return walk(graph, getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
    is_known = all(value.is_known and value.is_fixed for value in inputs)
    if operator is None and is_known and name not in NEVER_COMPUTED:
        return result_of(equation, inputs)
    lower = operator or ARRAYS.get(name) or LAYERS.get(name)
    if lower is None:
        raise NoPlaceInOnnx(f"JAX's operation '{name}'")
    result = equation.outvars[0].aval
    return [lower(Operation(graph, parameters, result.shape, result.dtype), *inputs)]


def result_of(equation: Any, inputs: Sequence[Value]) -> list[Value]:
    """Return the results of an operation on known arrays, by NumPy where it has the function: nothing is compiled."""
    primitive = equation.primitive
    arrays = [np.broadcast_to(value.data, value.shape) for value in inputs]
    _, function = ELEMENTWISE.get(primitive.name, ("", None))
    if function is not None:
        return [known(function(*arrays))]
    types = [stored_type(variable.aval.dtype) for variable in equation.invars]
    given = [jax.numpy.asarray(array, dtype) for array, dtype in zip(arrays, types, strict=True)]
    results = primitive.bind(*given, **equation.params)
    return [known(array) for array in (results if primitive.multiple_results else [results])]
