"""Operations on numbers, shapes and axes as nodes of an ONNX graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mtsccd_jax.engine.export.graph import Graph, NoPlaceInOnnx, Side, Value, computed, known, natural, stored_type

# Operations on each number: ONNX's operator, and NumPy's function for known arrays (None: JAX computes them).
ELEMENTWISE: dict[str, tuple[str, Callable[..., Any] | None]] = {
    "abs": ("Abs", np.abs),
    "add": ("Add", np.add),
    "add_any": ("Add", np.add),
    "and": ("And", np.logical_and),
    "div": ("Div", None),  # of whole numbers it is another function
    "eq": ("Equal", np.equal),
    "erf": ("Erf", None),
    "exp": ("Exp", np.exp),
    "floor": ("Floor", np.floor),
    "ge": ("GreaterOrEqual", np.greater_equal),
    "gt": ("Greater", np.greater),
    "le": ("LessOrEqual", np.less_equal),
    "log": ("Log", np.log),
    "logistic": ("Sigmoid", None),
    "lt": ("Less", np.less),
    "min": ("Min", np.minimum),
    "mul": ("Mul", np.multiply),
    "neg": ("Neg", np.negative),
    "not": ("Not", np.logical_not),
    "or": ("Or", np.logical_or),
    "sqrt": ("Sqrt", np.sqrt),
    "sub": ("Sub", np.subtract),
    "tanh": ("Tanh", np.tanh),
}
REDUCTIONS = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_sum": "ReduceSum"}
SAME = ("copy", "copy_p", "optimization_barrier", "stop_gradient")


@dataclass(frozen=True)
class Operation:
    """One operation of a program: the graph that it becomes a part of, its parameters, and the result it must have."""

    graph: Graph
    parameters: dict[str, Any]
    shape: tuple[Side, ...]
    dtype: Any

    def result(self, tensor: str, axes: tuple[int, ...] | None = None) -> Value:
        """Return the result as a tensor, with its axes in order unless others are given."""
        return computed(tensor, self.shape, self.dtype, axes)


# Adds an operation to its graph and returns its result.
Lowering = Callable[..., Value]


def each(operator: str, operation: Operation, *inputs: Value) -> Value:
    """Apply an operator to each number, in the order of axes that the first tensor has."""
    rank = len(operation.shape)
    orders = [value.axes for value in inputs if not value.is_known and value.axes != natural(rank)]
    axes = orders[0] if orders else natural(rank)
    tensors = [operation.graph.tensor(value, axes if value.shape else (), whole=False) for value in inputs]
    full = [value for value in inputs if value.shape]
    narrow = {axis for axis, side in enumerate(operation.shape) if side != 1 and all(v.is_narrow(axis) for v in full)}
    result = operation.result(operation.graph.add(operator, *tensors), axes)
    return replace(result, stretched=frozenset(narrow if full else ()))


def maximum(operation: Operation, x: Value, y: Value) -> Value:
    """Take the larger of two; that of a value and 0 is a rectifier."""
    value, limit = (y, x) if x.is_known else (x, y)
    if limit.is_known and not np.any(limit.data):
        return each("Relu", operation, value)
    return each("Max", operation, x, y)


def square(operation: Operation, x: Value) -> Value:
    """Multiply x by itself."""
    return each("Mul", operation, x, x)


def rsqrt(operation: Operation, x: Value) -> Value:
    """Compute 1 / sqrt(x)."""
    return each("Reciprocal", operation, each("Sqrt", operation, x))


def erfc(operation: Operation, x: Value) -> Value:
    """Compute 1 - erf(x)."""
    return each("Sub", operation, known(np.float32(1)), each("Erf", operation, x))


def integer_power(operation: Operation, x: Value) -> Value:
    """Raise x to a whole power."""
    return each("Pow", operation, x, known(np.float32(operation.parameters["y"])))


def not_equal(operation: Operation, x: Value, y: Value) -> Value:
    """Compare two numbers."""
    return each("Not", operation, each("Equal", operation, x, y))


def select(operation: Operation, condition: Value, otherwise: Value, chosen: Value) -> Value:
    """Take one value where a condition is False, and another where it is True."""
    return each("Where", operation, condition, chosen, otherwise)


def convert(operation: Operation, x: Value) -> Value:
    """Change the type."""
    from onnx import helper

    dtype = stored_type(operation.parameters["new_dtype"])
    if dtype == x.dtype:
        return x
    if isinstance(x.data, np.ndarray):
        return replace(x, data=x.data.astype(dtype), dtype=dtype)
    cast = operation.graph.add("Cast", x.data, to=helper.np_dtype_to_tensor_dtype(dtype))
    return replace(x, data=cast, dtype=dtype)


def same(operation: Operation, x: Value) -> Value:
    """Return the value itself."""
    return x


def transpose(operation: Operation, x: Value) -> Value:
    """Note another order of axes."""
    return x.transposed(operation.parameters["permutation"])


def reshape(operation: Operation, x: Value) -> Value:
    """Change the shape."""
    return operation.result(operation.graph.reshaped(operation.graph.tensor(x), operation.shape))


def broadcast(operation: Operation, x: Value) -> Value:
    """Add axes, and let entries stand for many."""
    places, rank = [int(axis) for axis in operation.parameters["broadcast_dimensions"]], len(operation.shape)
    if len(places) < rank:
        sides = [x.shape[places.index(axis)] if axis in places else 1 for axis in range(rank)]
        stretched = frozenset(places[axis] for axis in x.stretched)
        if isinstance(x.data, np.ndarray):
            new = tuple(axis for axis in range(rank) if axis not in places)
            x = replace(
                x, data=np.expand_dims(x.data, new), axes=natural(rank), shape=tuple(sides), stretched=stretched
            )
        else:
            real = [1 if axis in stretched else side for axis, side in enumerate(sides)]
            name = operation.graph.reshaped(operation.graph.tensor(x, whole=False), real)
            x = replace(computed(name, sides, x.dtype), stretched=stretched)
    return x.widened(operation.shape)


def concatenate(operation: Operation, *inputs: Value) -> Value:
    """Put arrays one after the other along an axis."""
    orders = [value.axes for value in inputs if not value.is_known]
    axes = orders[0] if orders else natural(len(operation.shape))
    tensors = [operation.graph.tensor(value, axes) for value in inputs]
    joined = operation.graph.add("Concat", *tensors, axis=axes.index(operation.parameters["dimension"]))
    return operation.result(joined, axes)


def stack(operation: Operation, *inputs: Value) -> Value:
    """Put arrays along a new axis."""
    axis, graph = operation.parameters["axis"], operation.graph
    shape = (*operation.shape[:axis], 1, *operation.shape[axis + 1 :])
    wide = [computed(graph.reshaped(graph.tensor(value), shape), shape, value.dtype) for value in inputs]
    return concatenate(replace(operation, parameters={"dimension": axis}), *wide)


def pad(operation: Operation, x: Value, filling: Value) -> Value:
    """Add a margin of one value."""
    margins, graph = operation.parameters["padding_config"], operation.graph
    if not any(map(any, margins)):
        return x
    if any(low < 0 or high < 0 or inner for low, high, inner in margins):
        raise NoPlaceInOnnx(f"a margin of {margins}")
    sides = graph.whole_numbers(*(int(margins[axis][end]) for end in (0, 1) for axis in x.axes))
    return operation.result(graph.add("Pad", graph.tensor(x, x.axes), sides, graph.tensor(filling)), x.axes)


def slices(operation: Operation, x: Value) -> Value:
    """Cut a part out of each axis."""
    starts, stops = operation.parameters["start_indices"], operation.parameters["limit_indices"]
    steps = operation.parameters["strides"] or (1,) * len(starts)
    for axis, (start, stop, step) in enumerate(zip(starts, stops, steps, strict=True)):
        if start != 0 or step != 1 or stop != x.shape[axis]:
            x = entries(operation.graph, x, axis, np.arange(start, stop, step))
    return x


def reverse(operation: Operation, x: Value) -> Value:
    """Turn axes round."""
    for axis in operation.parameters["dimensions"]:
        x = entries(operation.graph, x, axis, np.arange(x.shape[axis])[::-1])
    return x


def entries(graph: Graph, x: Value, axis: int, places: np.ndarray) -> Value:
    """Return the entries at some places of an axis: a slice where these are evenly spaced."""
    name, at = graph.tensor(x, x.axes), x.axes.index(axis)
    steps = set(np.diff(places).tolist()) or {1}
    if len(steps) == 1 and min(steps) > 0:
        bounds = (places[0], places[-1] + 1, at, min(steps))
        name = graph.add("Slice", name, *(graph.whole_numbers(int(bound)) for bound in bounds))
    else:
        name = graph.add("Gather", name, graph.whole_numbers(*places.tolist()), axis=at)
    return computed(name, (*x.shape[:axis], len(places), *x.shape[axis + 1 :]), x.dtype, x.axes)


def gather(operation: Operation, x: Value, index: Value) -> Value:
    """Take entries at known places: what indexing by numbers, slices and vectors becomes.

    Each axis is indexed by a start, or by a vector that varies along an axis of its own in the result.
    """
    numbers, sizes = operation.parameters["dimension_numbers"], operation.parameters["slice_sizes"]
    if not isinstance(index.data, np.ndarray) or numbers.operand_batching_dims:
        raise NoPlaceInOnnx("an index that depends on the input")
    dropped = numbers.collapsed_slice_dims
    starts = dict(
        zip(numbers.start_index_map, np.moveaxis(np.broadcast_to(index.data, index.shape), -1, 0), strict=True)
    )
    owners = vector_axes(starts, dropped)
    for axis, start in starts.items():
        along = [at for at, owner in owners.items() if owner == axis]
        places = start[tuple(slice(None) if at in along else 0 for at in range(start.ndim))].reshape(-1)
        x = entries(operation.graph, x, axis, places if axis in dropped else places + np.arange(sizes[axis]))
    # Axes of the operand in the order of the result, and last those that a number took away.
    kept = iter([axis for axis in range(len(sizes)) if axis not in dropped])
    owned = iter([owners[at] for at in sorted(owners)])
    order = [next(kept if axis in numbers.offset_dims else owned) for axis in range(len(operation.shape))]
    gone = [axis for axis in range(len(sizes)) if axis not in order]
    return squeezed(operation, x.transposed([*order, *gone]), len(order))


def vector_axes(starts: dict[int, np.ndarray], dropped: Sequence[int]) -> dict[int, int]:
    """Return the axis of the operand that each axis of the indices belongs to."""
    varying = {
        axis: [at for at in range(start.ndim) if (start != start.take([0], at)).any()] for axis, start in starts.items()
    }
    owners = {at: axis for axis, along in varying.items() for at in along}
    loose = [at for start in list(starts.values())[:1] for at in range(start.ndim) if at not in owners]
    spare = [axis for axis, along in varying.items() if not along and axis in dropped]
    apart = len(owners) == sum(map(len, varying.values())) == sum(map(bool, varying.values()))
    if not apart or len(loose) > len(spare) or not set(owners.values()) <= set(dropped):
        raise NoPlaceInOnnx("an index that varies along several axes")
    return owners | dict(zip(loose, spare, strict=False))


def squeezed(operation: Operation, x: Value, rank: int) -> Value:
    """Return an array without the axes from `rank` on, whose sides are one."""
    if len(x.shape) == rank:
        return x
    places = operation.graph.whole_numbers(*(x.axes.index(axis) for axis in range(rank, len(x.shape))))
    name = operation.graph.add("Squeeze", operation.graph.tensor(x, x.axes), places)
    return operation.result(name, tuple(axis for axis in x.axes if axis < rank))


def reduce(operator: str, operation: Operation, x: Value) -> Value:
    """Reduce some axes to one number."""
    over, graph = [int(axis) for axis in operation.parameters["axes"]], operation.graph
    places = graph.whole_numbers(*(x.axes.index(axis) for axis in over))
    left = [axis for axis in x.axes if axis not in over]
    axes = tuple(sorted(left).index(axis) for axis in left)
    return operation.result(graph.add(operator, graph.tensor(x, x.axes), places, keepdims=0), axes)


ARRAYS: dict[str, Lowering] = {
    "broadcast_in_dim": broadcast,
    "concatenate": concatenate,
    "convert_element_type": convert,
    "erfc": erfc,
    "gather": gather,
    "integer_pow": integer_power,
    "max": maximum,
    "ne": not_equal,
    "pad": pad,
    "reshape": reshape,
    "rev": reverse,
    "rsqrt": rsqrt,
    "select_n": select,
    "slice": slices,
    "square": square,
    "squeeze": reshape,
    "stack": stack,
    "transpose": transpose,
    **dict.fromkeys(SAME, same),
    **{name: partial(each, operator) for name, (operator, _) in ELEMENTWISE.items()},
    **{name: partial(reduce, operator) for name, operator in REDUCTIONS.items()},
}
