"""The training step of a run as it is dispatched: compiled ahead of the first step, for the way its batches come.

A resident split on accelerators takes several steps a dispatch: the rows of all of them go to the device, where gather,
augmentation and update run one after the other without the host. On CPU, where convolutions inside a loop are slow, one
dispatch is one step, the gather inside the same program. A streamed split, and pmap, take one batch a dispatch.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from mtsccd_jax.data.resident import gather
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.memory import program_bytes
from mtsccd_jax.engine.state import Network, State, create
from mtsccd_jax.engine.steps import Step, make_train_step
from mtsccd_jax.engine.task import Task
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Engine, Recipe

# Steps a dispatch on accelerators: enough to hide a millisecond of Python behind the shortest of steps.
MOST_STEPS = 16

Metrics = dict[str, jax.Array]
Dispatch = Callable[[State], tuple[State, Metrics]]

# For programs that are looked at and never run: kernels are not tried out.
LOOKED_AT: dict[str, dict[str, str | bool]] = {"gpu": {"xla_gpu_autotune_level": "0"}}


def steps_of_dispatch(engine: Engine, feed: Feed, steps_per_epoch: int) -> int:
    """How many steps one dispatch of a training on this feed takes, never more than an epoch has.

    What the recipe asks for; else 1 on CPU, and on accelerators at most MOST_STEPS: the largest divisor of an epoch's
    steps that is at least half of that, so that no shorter dispatch at the end of an epoch needs a program of its own.

    Raises:
        InputError: the recipe asks for less than one step, or for several where one is all there can be.
    """
    asked = engine.steps_per_dispatch
    if asked is not None and asked < 1:
        raise InputError(f"engine.steps_per_dispatch={asked}: must be 1 or more, or none for what suits the devices")
    if asked is not None and asked > 1 and (feed.mode == "stream" or feed.parallel.mode == "pmap"):
        raise InputError(
            f"engine.steps_per_dispatch={asked}: several steps a dispatch need a resident split under jit; "
            "set it to none, or data.input=resident and engine.parallel=jit"
        )
    if not feed.resident or feed.parallel.mode == "pmap":
        return 1
    if asked is not None:
        return min(asked, steps_per_epoch)
    if feed.parallel.platform == "cpu":
        return 1
    most = min(MOST_STEPS, steps_per_epoch)
    even = (steps for steps in range(most, most // 2, -1) if steps_per_epoch % steps == 0)
    return next(even, most)


class Program:
    """The training step of a run, compiled once for every number of steps that a dispatch takes.

    Args:
        network: whose state is trained.
        step: the pure step.
        feed: where its batches come from.
        batch_size: of all devices together.
        steps: of a dispatch; the last of an epoch may take fewer.
    """

    def __init__(self, network: Network, step: Step, feed: Feed, batch_size: int, steps: int):
        self.network, self.feed, self.batch_size, self.steps = network, feed, batch_size, steps
        self._fused = feed.resident and feed.parallel.mode == "jit"
        parallel = feed.parallel
        self._jitted = parallel.compile_steps(step, gather) if self._fused else parallel.compile_update(step)
        self._compiled: dict[int, jax.stages.Compiled] = {}
        self.compile_s: float | None = None

    @property
    def compiled_sizes(self) -> tuple[int, ...]:
        """The numbers of steps that programs have been compiled for."""
        return tuple(self._compiled)

    def compile(self, steps: int | None = None) -> jax.stages.Compiled:
        """The program of a dispatch of so many steps (None: `self.steps`), compiled when it is first asked for."""
        steps = self.steps if steps is None else steps
        if steps not in self._compiled:
            started = time.perf_counter()
            self._compiled[steps] = self._lowered(steps).compile()
            self.compile_s = (self.compile_s or 0.0) + time.perf_counter() - started
        return self._compiled[steps]

    @property
    def bytes_of_dispatch(self) -> int | None:
        """Bytes of each device that a dispatch takes, resident split and state included.

        None if the compiler does not say, or has not been asked yet.
        """
        return self._bytes_with(self._compiled[self.steps]) if self.steps in self._compiled else None

    def estimated_bytes(self) -> int | None:
        """`bytes_of_dispatch` of a program that need not be the one that runs; None if the compiler does not say.

        On GPUs it is compiled without trying kernels out, in a fraction of the time; elsewhere it is the one.
        """
        options = LOOKED_AT.get(self.feed.parallel.platform)
        if options is None or self.steps in self._compiled:
            self.compile()
            return self.bytes_of_dispatch
        return self._bytes_with(self._lowered(self.steps).compile(compiler_options=options))

    def _bytes_with(self, compiled: jax.stages.Compiled) -> int | None:
        """Bytes of each device that a call of the program takes beside the resident split, which pmap's never sees."""
        needed, apart = program_bytes(compiled), self.feed.resident and not self._fused
        return needed + self.feed.split_bytes if needed is not None and apart else needed

    @contextmanager
    def dispatches(self, order_sb: np.ndarray) -> Iterator[Iterator[tuple[int, Dispatch]]]:
        """`(steps, dispatch)` for the batches of rows `order_sb` (steps, b), in order.

        `dispatch(state)` takes the state over and gives the next one and the metrics of its steps, scalars or (steps,).
        """
        if self._fused:
            yield self._resident_dispatches(order_sb)
            return
        with self.feed.batches(order_sb) as batches:
            yield self._batch_dispatches(batches)

    def _resident_dispatches(self, order_sb: np.ndarray) -> Iterator[tuple[int, Dispatch]]:
        arrays = self.feed.arrays
        for first in range(0, len(order_sb), self.steps):
            row_sb = order_sb[first : first + self.steps].astype(np.int32)
            yield len(row_sb), _dispatch(self.compile(len(row_sb)), arrays, row_sb)

    def _batch_dispatches(self, batches: Iterator[dict[str, jax.Array]]) -> Iterator[tuple[int, Dispatch]]:
        for batch in batches:
            yield 1, _dispatch(self.compile(), batch)

    def _lowered(self, steps: int) -> jax.stages.Lowered:
        state = self.network.abstract()
        if not self._fused:
            return self._jitted.lower(state, self.feed.batch_shapes(self.batch_size))
        row_sb = jax.ShapeDtypeStruct((steps, self.batch_size), np.int32)
        return self._jitted.lower(state, self.feed.shapes, row_sb)


def _dispatch(update: jax.stages.Compiled, *inputs: Any) -> Dispatch:
    """The update on these inputs, waiting for its state."""
    return lambda state: update(state, *inputs)


def make_program(recipe: Recipe, task: Task, feed: Feed) -> Program:
    """The training step of a recipe with its network; nothing is compiled yet.

    Raises:
        InputError: the network does not exist or does not take what the recipe gives it, or the steps of a dispatch
            are not possible.
    """
    steps_per_epoch = len(feed.source) // recipe.engine.batch_size
    steps = steps_of_dispatch(recipe.engine, feed, steps_per_epoch)
    network = create(recipe, task.class_names, steps_per_epoch, feed.parallel)
    step = make_train_step(network, task.objective, recipe.data, feed.parallel.axis_name)
    return Program(network, step, feed, recipe.engine.batch_size, steps)
