"""Products, convolutions, pooling and normalisation as nodes of an ONNX graph."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mtsccd_jax.engine.export.arrays import Lowering, Operation, each
from mtsccd_jax.engine.export.graph import NoPlaceInOnnx, Value, channels_first


def product(operation: Operation, left: Value, right: Value) -> Value:
    """Multiply and sum over pairs of axes."""
    (sum_left, sum_right), (batch_left, batch_right) = operation.parameters["dimension_numbers"]
    free_left, free_right = (
        tuple(axis for axis in range(len(value.shape)) if axis not in (*summed, *batch))
        for value, summed, batch in ((left, sum_left, batch_left), (right, sum_right, batch_right))
    )
    if left.is_known and not batch_left:
        # A constant is best on the right. The result then has its axes first, which come last.
        order = [*range(len(free_right), len(operation.shape)), *range(len(free_right))]
        turned = replace(
            operation,
            parameters={"dimension_numbers": ((sum_right, sum_left), ((), ()))},
            shape=tuple(operation.shape[axis] for axis in np.argsort(order)),
        )
        return product(turned, right, left).transposed(order)
    graph = operation.graph
    a = graph.tensor(left, (*batch_left, *free_left, *sum_left))
    b = graph.tensor(right, (*batch_right, *sum_right, *free_right))
    batch, rows, summed = ([left.shape[axis] for axis in axes] for axes in (batch_left, free_left, sum_left))
    columns = [right.shape[axis] for axis in free_right]
    # MatMul has one axis of rows, summed entries and columns each; without a batch the rows may have several.
    one_row_axis = len(rows) == 1 or (len(rows) > 1 and not batch)
    if len(summed) != 1 or not one_row_axis:
        a = graph.reshaped(a, (*batch, math.prod(rows), math.prod(summed)))
    if len(summed) != 1 or len(columns) != 1:
        b = graph.reshaped(b, (*batch, math.prod(summed), math.prod(columns)))
    name = graph.add("MatMul", a, b)
    as_asked = len(columns) == 1 and one_row_axis and (len(rows) == 1 or len(summed) == 1)
    return operation.result(name if as_asked else graph.reshaped(name, operation.shape))


def convolution(operation: Operation, x: Value, kernel: Value) -> Value:
    """Convolve."""
    parameters, graph = operation.parameters, operation.graph
    numbers = parameters["dimension_numbers"]
    if set(parameters["lhs_dilation"]) != {1} or parameters["batch_group_count"] != 1:
        raise NoPlaceInOnnx("a transposed convolution")
    name = graph.add(
        "Conv",
        graph.tensor(x, tuple(numbers.lhs_spec)),
        graph.tensor(kernel, tuple(numbers.rhs_spec)),
        strides=parameters["window_strides"],
        pads=ends(parameters["padding"]),
        dilations=parameters["rhs_dilation"],
        group=parameters["feature_group_count"],
    )
    return operation.result(name, tuple(numbers.out_spec))


def ends(margins: Sequence[tuple[int, int]]) -> list[int]:
    """Return the margins before all sides, and then those after them."""
    return [int(margin[end]) for end in (0, 1) for margin in margins]


def windows(operator: str, operation: Operation, x: Value) -> Value:
    """Reduce every window of a channels-last map."""
    parameters, graph, axes = operation.parameters, operation.graph, channels_first(len(x.shape))
    window = parameters["window_dimensions"]
    if len(window) != 4 or window[0] != 1 or window[3] != 1 or set(parameters["window_dilation"]) != {1}:
        raise NoPlaceInOnnx(f"a reduction of windows of {window}")
    strides, pads = parameters["window_strides"][1:3], ends(parameters["padding"][1:3])
    counted = {"count_include_pad": 1} if operator == "AveragePool" else {}
    name = graph.add(operator, graph.tensor(x, axes), kernel_shape=window[1:3], strides=strides, pads=pads, **counted)
    return operation.result(name, axes)


def window_sums(operation: Operation, x: Value) -> Value:
    """Sum every window: ONNX has its mean."""
    mean = windows("AveragePool", operation, x)
    values = operation.graph.constant(math.prod(operation.parameters["window_dimensions"]), np.float32)
    return replace(mean, data=operation.graph.add("Mul", str(mean.data), values))


def batch_normalization(operation: Operation, x: Value, mean: Value, scale: Value, bias: Value) -> Value:
    """Compute (x - mean) scale + bias, which runtimes fold into the convolution before."""
    graph, axes = operation.graph, channels_first(len(x.shape))
    variance = graph.constant(np.ones(mean.shape, np.float32))
    arrays = [graph.tensor(value) for value in (scale, bias, mean)]
    name = graph.add("BatchNormalization", graph.tensor(x, axes), *arrays, variance, epsilon=0.0)
    return operation.result(name, axes)


def layer_normalization(operation: Operation, x: Value, scale: Value, bias: Value, epsilon: Value) -> Value:
    """Bring the last axis to mean 0 and variance 1, times scale, plus bias."""
    arrays = [operation.graph.tensor(value) for value in (x, scale, bias)]
    number = float(np.asarray(epsilon.data))
    return operation.result(operation.graph.add("LayerNormalization", *arrays, axis=-1, epsilon=number))


def softmax(operation: Operation, x: Value) -> Value:
    """Take the softmax over the last axis."""
    return operation.result(operation.graph.add("Softmax", operation.graph.tensor(x), axis=-1))


LAYERS: dict[str, Lowering] = {
    "conv_general_dilated": convolution,
    "dot_general": product,
    "reduce_window_max": partial(windows, "MaxPool"),
    "reduce_window_sum": window_sums,
}
# The functions of `models/layers/portable.py`, by their names in a traced program.
OPERATORS: dict[str, Lowering] = {
    "batch_normalization": batch_normalization,
    "exact_gelu": partial(each, "Gelu"),
    "last_softmax": softmax,
    "layer_normalization": layer_normalization,
}
