"""Overhead of a step: the time of the host per dispatch, and of the device per operation that it starts."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import State
from mtsccd_jax.engine.steps import Step
from mtsccd_jax.perf.timing import Timing

# Operations of the chain, and the elements that each works on: too few to take time of their own.
_CHAIN, _ELEMENTS = 64, (8, 128)

# Instructions that are no operation of a device: names of values, and views of the same bytes.
_NO_OPERATION = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
_NO_OPERATION |= {"after-all", "partition-id", "replica-id", "opt-barrier"}
_COMPUTATION = re.compile(r"^(ENTRY\s+)?%?([\w.\-]+)\s*(?:\([^\n]*)?\{\s*$", re.MULTILINE)
# The first word before a bracket. Shapes, and tuples of shapes with comments, have no word before a bracket.
_OPERATION = re.compile(r"\s+(?:ROOT\s+)?%?[\w.\-]+\s*=\s.*?\s([a-z][\w\-]*)\(")
_CALLED = re.compile(r"(?:to_apply|body|calls)=%?([\w.\-]+)")
_TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


def idle_step(step: Step, state: Any, batch: Any) -> Step:
    """Return a step `(state, batch) -> (state, metrics)` with the results of a training step, and none of its work.

    Dispatched as the step itself, it takes the time of the host for passing arguments and taking results.
    """
    _, metrics = jax.eval_shape(step, state, batch)

    def idle(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        zeros = {name: jnp.zeros(metric.shape, metric.dtype) for name, metric in metrics.items()}
        return replace(state, step=state.step + 1), zeros

    return idle


def count_operations(compiled_text: str) -> int:
    """Count the operations that a compiled program starts on a device: fusions, products, copies, library calls.

    A loop counts once for each turn where the compiler knows their number, else once.
    """
    bodies: dict[str, str] = {}
    entry = ""
    headers = list(_COMPUTATION.finditer(compiled_text))
    ends = [*(header.start() for header in headers[1:]), len(compiled_text)]
    for header, end in zip(headers, ends[: len(headers)], strict=True):
        bodies[header[2]] = compiled_text[header.end() : end]
        entry = header[2] if header[1] else entry
    known: dict[str, int] = {}

    def count(name: str) -> int:
        if name not in known:
            known[name] = 0  # no computation calls itself
            known[name] = sum(_operations_of(line, count) for line in bodies.get(name, "").splitlines())
        return known[name]

    return count(entry)


def _operations_of(line: str, count: Callable[[str], int]) -> int:
    found = _OPERATION.match(line)
    if found is None or found[1] in _NO_OPERATION:
        return 0
    called = _CALLED.search(line)
    if found[1] == "while" and called:
        turns = _TURNS.search(line)
        return (int(turns[1]) if turns else 1) * count(called[1])
    if found[1] == "call" and called:
        return count(called[1])
    return 1


class Chain:
    """A program of many small operations, each of which waits for the one before: starting them takes its time.

    `run` calls it and returns an array to wait for; `run_single` calls the smallest possible program, which takes the
    time of a call alone.
    """

    def __init__(self, device: jax.Device):
        with jax.default_device(device):
            x = jnp.ones(_ELEMENTS, jnp.float32)
            # A maximum over everything ends a fusion, and its user begins the next.
            compiled = jax.jit(_chain).lower(x).compile()
            single = jax.jit(lambda x: x + 1).lower(x).compile()
        self.operations = count_operations(compiled.as_text() or "")
        self.run: Callable[[], jax.Array] = lambda: compiled(x)
        self.run_single: Callable[[], jax.Array] = lambda: single(x)

    def operation_s(self, chain: Timing, single: Timing) -> float:
        """Return the seconds of starting one operation, from the fastest rounds of `run` and `run_single`."""
        return max(min(chain.samples_s) - min(single.samples_s), 0.0) / max(self.operations - 1, 1)


def _chain(x: jax.Array) -> jax.Array:
    for _ in range(_CHAIN):
        x = jnp.roll(x / (1 + jnp.max(x)), 1, axis=1)
        x = jax.lax.optimization_barrier(x)
    return x
