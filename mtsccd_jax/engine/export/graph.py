"""An ONNX graph under construction, and the arrays of a program that it computes.

JAX's networks keep channels last and ONNX's operators want them second. So an array is a tensor with its axes in the
order that its operator left, and a transposition is another reading of the same tensor: the graph transposes only where
an operator needs another order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

# Of 2023: `Gelu` and `LayerNormalization` are one operator, and runtimes of the years since read it.
OPSET, IR_VERSION = 20, 9


class NoPlaceInOnnx(Exception):
    """A program has something that ONNX, or what is written here for the networks of the table, does not express."""


# A side of an array: a number, or what depends on JAX's symbol of the free batch.
Side = Any


@dataclass(frozen=True)
class Value:
    """An array of the program.

    Attributes:
        shape: Its sides in the program.
        data: The array itself where it is known, else the name of its tensor.
        dtype: NumPy's type.
        axes: The axis of the program that each axis of the tensor is; those of a known array are in order.
        stretched: The axes on which a tensor has one entry that stands for all. A known array has one entry there too.
    """

    shape: tuple[Side, ...]
    data: np.ndarray | str
    dtype: np.dtype[Any]
    axes: tuple[int, ...]
    stretched: frozenset[int] = frozenset()

    @property
    def is_known(self) -> bool:
        """True if the array does not depend on the input of the graph."""
        return not isinstance(self.data, str)

    @property
    def is_fixed(self) -> bool:
        """True if the shape does not depend on the batch."""
        return all(isinstance(side, int) for side in self.shape)

    def is_narrow(self, axis: int) -> bool:
        """Return whether there is one entry along an axis."""
        return axis in self.stretched or self.shape[axis] == 1

    def widened(self, shape: Sequence[Side]) -> "Value":
        """Return the array with one entry for many where it is narrow and the shape is not."""
        narrow = {axis for axis, side in enumerate(shape) if self.is_narrow(axis) and side != 1}
        return replace(self, shape=tuple(shape), stretched=frozenset(narrow))

    def transposed(self, order: Sequence[int]) -> "Value":
        """Return the array with its axes in another order."""
        place = {axis: at for at, axis in enumerate(order)}
        shape = tuple(self.shape[axis] for axis in order)
        stretched = frozenset(place[axis] for axis in self.stretched)
        if isinstance(self.data, np.ndarray):
            return replace(self, data=self.data.transpose(order), shape=shape, stretched=stretched)
        return replace(self, shape=shape, axes=tuple(place[axis] for axis in self.axes), stretched=stretched)


def known(array: Any) -> Value:
    """Return a known array."""
    array = np.asarray(array)
    array = array.astype(stored_type(array.dtype), copy=False)
    return Value(array.shape, array, array.dtype, natural(array.ndim))


def computed(tensor: str, shape: Sequence[Side], dtype: Any, axes: tuple[int, ...] | None = None) -> Value:
    """Return the array that a tensor holds, with its axes in order unless others are given."""
    return Value(tuple(shape), tensor, stored_type(dtype), natural(len(shape)) if axes is None else axes)


def stored_type(dtype: Any) -> np.dtype[Any]:
    """Return the type in the graph: float32 for every float, because few runtimes have bfloat16 on a CPU."""
    dtype = np.dtype(dtype)
    return dtype if dtype.kind in "biu" else np.dtype(np.float32)


def natural(rank: int) -> tuple[int, ...]:
    """Return the axes in order."""
    return tuple(range(rank))


def channels_first(rank: int) -> tuple[int, ...]:
    """Return the axes of a channels-last map in the order of ONNX: batch, channels, places."""
    return (0, rank - 1, *range(1, rank - 1))


@dataclass
class Graph:
    """The nodes and constants so far. `batch` is JAX's symbol, the first side of the tensor `batch_of`."""

    batch: Side
    batch_of: str
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    made: dict[Any, str] = field(default_factory=dict)  # tensors that several operators share

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        from onnx import helper

        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def constant(self, array: Any, dtype: Any = None) -> str:
        """Return the name of a constant. The same array is one, and so are equal small ones."""
        array = np.ascontiguousarray(array, dtype).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 16 else id(array)
        name = self.made.setdefault(key, f"constant_{len(self.constants)}")
        self.constants[name] = array  # and so its id is not given again
        return name

    def whole_numbers(self, *numbers: int) -> str:
        """Return the name of a vector of whole numbers."""
        return self.constant(numbers, np.int64)

    def tensor(self, value: Value, axes: tuple[int, ...] | None = None, *, whole: bool = True) -> str:
        """Return the name of the tensor with its axes in an order; None is that of the program.

        It may have one entry for many along an axis unless it is to be `whole`.
        """
        axes = natural(len(value.shape)) if axes is None else axes
        if isinstance(value.data, np.ndarray):
            repeats = whole and value.is_fixed
            array = np.broadcast_to(value.data, value.shape) if repeats else value.data
            name = self.constant(array.transpose(axes))
            return self.repeated(value, name, axes) if whole and value.stretched and not repeats else name
        name = self.transposed(value.data, tuple(value.axes.index(axis) for axis in axes))
        return self.repeated(value, name, axes) if whole and value.stretched else name

    def transposed(self, name: str, order: tuple[int, ...]) -> str:
        """Return a tensor with its axes in another order."""
        if order == natural(len(order)):
            return name
        if (name, order) not in self.made:
            self.made[name, order] = self.add("Transpose", name, perm=order)
        return self.made[name, order]

    def repeated(self, value: Value, name: str, axes: tuple[int, ...]) -> str:
        """Return a tensor with its entries repeated where one stands for all."""
        sides = [value.shape[axis] for axis in axes]
        if value.is_fixed:
            return self.add("Expand", name, self.whole_numbers(*sides))
        if not all(isinstance(side, int) or side == self.batch for side in sides):
            raise NoPlaceInOnnx(f"an array of shape {value.shape} with repeated entries")
        if "batch" not in self.made:
            self.made["batch"] = self.add("Shape", self.batch_of, start=0, end=1)
        parts = [self.whole_numbers(side) if isinstance(side, int) else self.made["batch"] for side in sides]
        return self.add("Expand", name, self.add("Concat", *parts, axis=0))

    def reshaped(self, name: str, shape: Sequence[Side]) -> str:
        """Return a tensor in another shape, of which one side may depend on the batch."""
        sides = [side if isinstance(side, int) else -1 for side in shape]
        if sides.count(-1) > 1:
            raise NoPlaceInOnnx(f"an array of shape {tuple(shape)}, with several sides that depend on the batch")
        return self.add("Reshape", name, self.whole_numbers(*sides))

    def kept(self, outputs: Iterable[str]) -> list[Any]:
        """Return the nodes that the outputs need, and drop the constants that these do not need."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed |= set(node.input)
                kept.append(node)
        self.constants = {name: array for name, array in self.constants.items() if name in needed}
        return kept[::-1]
