"""Floating-point operations and bytes of every layer of a traced program, counted from shapes.

Products and convolutions count twice their multiply-accumulates. Everything else counts one operation per result, a sum
one per summand. Bytes are those that go through memory where a compiler fuses well and no cache is large enough to
help. Products, convolutions, sorts and gathers read their operands and write their results. Elementwise work is done in
passes: connected work that can be done at the same time reads every array once. An intermediate result is written if a
product, convolution, sort or gather reads it, or if a later pass would have to read more to compute it again.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jax.extend.core import Literal as Constant

from mtsccd_jax.perf.flops import equation_macs, jaxpr_macs

Kind = Literal["convolution", "product", "movement", "elementwise"]
# The work of the network outside of its modules, the loss included.
BETWEEN = "between layers"
Stage = Literal["input", "forward", "backward", "update"]

# The same array in another shape or order: its reader only indexes it differently.
_ALIASES = {"reshape", "squeeze", "expand_dims", "transpose", "stop_gradient", "sharding_constraint", "copy", "rev"}
# Primitives that compute nothing and belong to the pass of their reader.
_FREE = _ALIASES | {"broadcast_in_dim", "iota", "slice", "pad", "concatenate", "select_n", "optimization_barrier"}
_FREE |= {"convert_element_type", "bitcast_convert_type"}
# A pass computes a result of another pass again if that reads at most this many times the bytes of the result.
_AGAIN = 1.25
# Primitives that go through memory by themselves.
_MOVING = {"gather", "scatter", "scatter-add", "scatter_add", "sort", "dynamic_slice", "dynamic_update_slice", "top_k"}
_MOVING |= {"cumsum", "reduce_window", "reduce_window_sum", "reduce_window_max", "select_and_scatter_add", "argmax"}
_MOVING |= {"select_and_gather_add"}
# Primitives whose inner program is no plain call.
_NO_CALLS = {"scan", "while", "cond", "reduce", "reduce_window", "sort", "scatter", "scatter-add"}
_MARKERS = re.compile(r"transpose\(|jvp\(|vmap\(|rematted_computation|checkpoint|\)")


@dataclass(frozen=True)
class Layer:
    """The work of one layer in one program.

    Attributes:
        name: The path of its module, or BETWEEN; outside of the network the stage.
        kind: The kind of work; a layer has one entry for each kind.
        stage: Before the network, in its forward or backward pass, or after it.
        macs: Multiply-accumulates of products and convolutions, included in `flops`.
    """

    name: str
    kind: Kind
    stage: Stage
    flops: int
    macs: int
    bytes: int
    operations: int

    @property
    def intensity(self) -> float | None:
        """Floating-point operations per byte; None where no byte moves."""
        return self.flops / self.bytes if self.bytes else None


@dataclass
class _Node:
    """One primitive of the flattened program, with the numbers of the arrays that it reads and writes."""

    primitive: str
    stack: str
    times: int
    macs: int
    flops: int
    reads: list[int]
    writes: list[int]
    phase: int = 0


def jaxpr_layers(jaxpr: ClosedJaxpr, platform: str | None = None) -> list[Layer]:
    """Return the layers of a traced program, in the order of their first primitive.

    Args:
        jaxpr: The result of `jax.make_jaxpr`; trace it under `module_scopes` to have the layers named.
        platform: "cpu", "gpu" or "tpu", where some operations differ (a 3x3 convolution on CPU, for example); None for
            the default of each operation.
    """
    return _Program(jaxpr, platform).layers()


class _Program:
    """A jaxpr with its calls inlined and its arrays numbered."""

    def __init__(self, jaxpr: ClosedJaxpr, platform: str | None):
        self.platform = platform
        self.nodes: list[_Node] = []
        self.sizes: list[int] = []
        self.producer: dict[int, int] = {}
        environment = {variable: self._array(variable.aval) for variable in jaxpr.jaxpr.invars}
        outputs = self._walk(jaxpr.jaxpr, environment, "", 1)
        self.kept = set(outputs)

    def _array(self, aval: Any) -> int:
        size = math.prod(getattr(aval, "shape", ())) * getattr(getattr(aval, "dtype", None), "itemsize", 0)
        self.sizes.append(size)
        return len(self.sizes) - 1

    def _walk(self, jaxpr: Jaxpr, environment: dict[Any, int], stack: str, times: int) -> list[int]:
        """Append the primitives to `nodes` and return the numbers of the results."""

        def number(variable: Any) -> int:
            if isinstance(variable, Constant):
                return self._array(None)
            if variable not in environment:  # a constant of the program
                environment[variable] = self._array(variable.aval)
            return environment[variable]

        for equation in jaxpr.eqns:
            own_stack = str(equation.source_info.name_stack)
            where = "/".join(part for part in (stack, own_stack) if part)
            reads = [number(variable) for variable in equation.invars]
            inner = _call(equation, self.platform)
            if inner is not None:
                inputs = reads[len(reads) - len(inner.invars) :]
                results = self._walk(inner, dict(zip(inner.invars, inputs, strict=True)), where, times)
                environment.update(zip(equation.outvars, results, strict=True))
                continue
            if (body := _body(equation)) is not None:
                turns = times * body[1]
                self._walk(body[0], {variable: self._array(variable.aval) for variable in body[0].invars}, where, turns)
            if equation.primitive.name in _ALIASES and len(reads) == 1:
                environment[equation.outvars[0]] = reads[0]
                continue
            writes = [self._array(variable.aval) for variable in equation.outvars]
            environment.update(zip(equation.outvars, writes, strict=True))
            if body is None:
                self._append(equation, where, times, reads, writes)
        return [number(variable) for variable in jaxpr.outvars]

    def _append(self, equation: JaxprEqn, stack: str, times: int, reads: list[int], writes: list[int]) -> None:
        macs = equation_macs(equation)
        name = equation.primitive.name
        results = sum(math.prod(getattr(variable.aval, "shape", ())) for variable in equation.outvars)
        if macs:
            flops = 2 * macs
        elif name in _FREE or name in _MOVING:
            flops = 0
        elif name.startswith(("reduce", "arg")):
            flops = math.prod(getattr(equation.invars[0].aval, "shape", ()))
        else:
            flops = results
        node = _Node(name, stack, times, macs, flops, reads, writes)
        before = [self.nodes[self.producer[read]] for read in reads if read in self.producer]
        node.phase = max((other.phase + _ends_pass(other) for other in before), default=0)
        for write in writes:
            self.producer[write] = len(self.nodes)
        self.nodes.append(node)

    def layers(self) -> list[Layer]:
        """Return one layer for each name, kind and stage."""
        first_forward = next((i for i, node in enumerate(self.nodes) if "jvp(" in node.stack), len(self.nodes))
        read_by: dict[int, list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            for read in node.reads:
                read_by[read].append(index)
        group = self._passes()
        leaves = self._leaves(group, read_by)
        totals: dict[tuple[str, Kind, Stage], list[int]] = {}
        counted: set[tuple[int, int]] = set()
        for index, node in enumerate(self.nodes):
            written = [write for write in node.writes if leaves[write] == {write}]
            moved = sum(self.sizes[write] for write in written)
            if written:  # a result that is not written belongs to its readers
                for read in set().union(*(leaves.get(read, {read}) for read in node.reads)):
                    own = read in self.producer and group[self.producer[read]] == group[index]
                    if not own and (group[index], read) not in counted:
                        counted.add((group[index], read))
                        moved += self.sizes[read]
            stage = _stage(node.stack, index < first_forward)
            total = totals.setdefault((_layer_name(node.stack, stage), _kind(node), stage), [0, 0, 0, 0])
            for position, value in enumerate((node.flops, node.macs, moved, 1)):
                total[position] += node.times * value
        return [Layer(*key, *values) for key, values in totals.items()]

    def _leaves(self, group: list[int], read_by: dict[int, list[int]]) -> dict[int, set[int]]:
        """Return, for every result, the arrays in memory that it is computed from elementwise; itself if it is one."""
        leaves: dict[int, set[int]] = {}
        for index, node in enumerate(self.nodes):
            below = set().union(*(leaves.get(read, {read}) for read in node.reads))
            for write in node.writes:
                readers = read_by[write]
                in_memory = _ends_pass(node) or write in self.kept or any(_alone(self.nodes[r]) for r in readers)
                if not in_memory and any(group[reader] != group[index] for reader in readers):
                    in_memory = sum(self.sizes[leaf] for leaf in below) > _AGAIN * self.sizes[write]
                leaves[write] = {write} if in_memory else below
        return leaves

    def _passes(self) -> list[int]:
        """Return the number of the pass over memory of each primitive."""
        parent = list(range(len(self.nodes)))

        def root(index: int) -> int:
            while parent[index] != index:
                parent[index] = parent[parent[index]]
                index = parent[index]
            return index

        for index, node in enumerate(self.nodes):
            if _alone(node):
                continue
            for read in node.reads:
                before = self.producer.get(read)
                if before is None or self.nodes[before].phase != node.phase or _ends_pass(self.nodes[before]):
                    continue
                parent[root(index)] = root(before)
        return [root(index) for index in range(len(self.nodes))]


def _alone(node: _Node) -> bool:
    return bool(node.macs) or node.primitive in _MOVING


def _ends_pass(node: _Node) -> bool:
    """Return whether a reader of the result must wait for all of it."""
    return _alone(node) or node.primitive.startswith(("reduce_", "arg"))


def _kind(node: _Node) -> Kind:
    if node.primitive == "conv_general_dilated":
        return "convolution"
    if node.macs:
        return "product"
    return "movement" if node.primitive in _MOVING else "elementwise"


def _stage(stack: str, before_network: bool) -> Stage:
    if "transpose(" in stack:
        return "backward"
    if "jvp(" in stack:
        return "forward"
    return "input" if before_network else "update"


def _layer_name(stack: str, stage: Stage) -> str:
    """Return the path of the module in a name stack such as "transpose(jvp(stages.0))/conv1"."""
    if stage in ("input", "update"):
        return stage
    parts = [part for part in _MARKERS.sub("", stack).split("/") if part]
    return ".".join(parts) or BETWEEN


def _call(equation: JaxprEqn, platform: str | None) -> Jaxpr | None:
    """Return the program that an equation calls once: jit, custom derivatives, checkpoints, a platform's branch."""
    if equation.params.get("branches_platforms"):
        names = ("gpu", "cuda", "rocm") if platform == "gpu" else (platform,)
        for branch, platforms in zip(equation.params["branches"], equation.params["branches_platforms"], strict=True):
            if platforms is None or set(names) & set(platforms):
                chosen: Jaxpr = branch.jaxpr
                return chosen
    if equation.primitive.name in _NO_CALLS:
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(name)
        if isinstance(inner, ClosedJaxpr):
            inner = inner.jaxpr
        if isinstance(inner, Jaxpr) and len(inner.invars) <= len(equation.invars):
            return inner if len(inner.outvars) == len(equation.outvars) else None
    return None


def _body(equation: JaxprEqn) -> tuple[Jaxpr, int] | None:
    """Return the body of a loop or the larger branch, and how often it runs; its results are not followed."""
    match equation.primitive.name:
        case "scan":
            return equation.params["jaxpr"].jaxpr, equation.params["length"]
        case "cond":
            branches = equation.params["branches"]
            return max(branches, key=lambda branch: (jaxpr_macs(branch), len(branch.jaxpr.eqns))).jaxpr, 1
        case "while":
            equation_macs(equation)  # raises where it holds products
            return equation.params["body_jaxpr"].jaxpr, 1
    return None
