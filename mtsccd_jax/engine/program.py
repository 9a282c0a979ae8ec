"""The training step as it is dispatched: compiled before the first step, for the way its batches arrive.

A resident split on accelerators takes several steps a dispatch. The row numbers of all of them go to the device, where
gather, augmentation and update run one after the other without the host. On CPU, where convolutions inside a loop are
slow, one dispatch is one step, with the gather in the same program. A streamed split, and pmap, take one batch a
dispatch.
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

# Compiler options of programs that are only asked for their memory: no time is spent on choosing the fastest kernels.
LOOKED_AT: dict[str, dict[str, str | bool]] = {"gpu": {"xla_gpu_autotune_level": "0"}}


def steps_of_dispatch(engine: Engine, feed: Feed, steps_per_epoch: int) -> int:
    """Return how many training steps one dispatch takes, at most the steps of an epoch.

    The recipe's own choice comes first. Without one it is 1 on CPU. On accelerators it is at most MOST_STEPS: the
    largest divisor of an epoch's steps that is at least half of that, so that the end of an epoch needs no shorter
    program of its own.

    Raises:
        InputError: The recipe asks for several steps where only one is possible.
    """
    asked = engine.steps_per_dispatch
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
        steps: Steps of a dispatch; the last one of an epoch may take fewer.
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
        """The numbers of steps for which there is a compiled program."""
        return tuple(self._compiled)

    def compile(self, steps: int | None = None) -> jax.stages.Compiled:
        """Return the program of a dispatch of `steps` steps (default: `self.steps`); compile it on the first call."""
        steps = self.steps if steps is None else steps
        if steps not in self._compiled:
            started = time.perf_counter()
            self._compiled[steps] = self._lowered(steps).compile()
            self.compile_s = (self.compile_s or 0.0) + time.perf_counter() - started
        return self._compiled[steps]

    @property
    def bytes_of_dispatch(self) -> int | None:
        """Bytes of each device that a dispatch takes, with the resident split and the state.

        None if the program is not compiled, or the compiler does not report memory.
        """
        return self._bytes_with(self._compiled[self.steps]) if self.steps in self._compiled else None

    def estimated_bytes(self) -> int | None:
        """Return `bytes_of_dispatch`, on GPUs of a program that takes a fraction of the time to compile.

        There the program that runs may take more, because its kernels are chosen for speed. None if the compiler does
        not report memory.
        """
        options = LOOKED_AT.get(self.feed.parallel.platform)
        if options is None or self.steps in self._compiled:
            self.compile()
            return self.bytes_of_dispatch
        return self._bytes_with(self._lowered(self.steps).compile(compiler_options=options))

    @contextmanager
    def dispatches(self, order_sb: np.ndarray) -> Iterator[Iterator[tuple[int, Dispatch]]]:
        """Give `(steps, dispatch)` for the batches of rows `order_sb` (steps, b), in order.

        `dispatch(state)` consumes the state; it returns the next one and the metrics of its steps, scalars or (steps,).
        """
        if not len(order_sb):
            yield iter(())
        elif self._fused:
            yield self._resident_dispatches(order_sb)
        else:
            with self.feed.batches(order_sb) as batches:
                yield ((1, _dispatch(self.compile(), batch)) for batch in batches)

    def _resident_dispatches(self, order_sb: np.ndarray) -> Iterator[tuple[int, Dispatch]]:
        """Yield a dispatch for every `self.steps` batches."""
        arrays = self.feed.arrays
        for first in range(0, len(order_sb), self.steps):
            row_sb = order_sb[first : first + self.steps].astype(np.int32)
            yield len(row_sb), _dispatch(self.compile(len(row_sb)), arrays, row_sb)

    def _lowered(self, steps: int) -> jax.stages.Lowered:
        """Return the program of a dispatch of `steps` steps before it is compiled."""
        inputs: tuple[Any, ...] = (self.feed.batch_shapes(self.batch_size),)
        if self._fused:
            inputs = self.feed.shapes, jax.ShapeDtypeStruct((steps, self.batch_size), np.int32)
        return self._jitted.lower(self.network.abstract(), *inputs)

    def _bytes_with(self, compiled: jax.stages.Compiled) -> int | None:
        """Return the bytes that a call takes, with the resident split, which pmap's program does not see."""
        needed, apart = program_bytes(compiled), self.feed.resident and not self._fused
        return needed + self.feed.split_bytes if needed is not None and apart else needed


def _dispatch(update: jax.stages.Compiled, *inputs: Any) -> Dispatch:
    """Return the update as a function of the state alone."""

    def dispatch(state: State) -> tuple[State, Metrics]:
        result: tuple[State, Metrics] = update(state, *inputs)
        return result

    return dispatch


def make_program(recipe: Recipe, task: Task, feed: Feed) -> Program:
    """Return the training step of a recipe with its network, not yet compiled."""
    steps_per_epoch = len(feed.source) // recipe.engine.batch_size
    steps = steps_of_dispatch(recipe.engine, feed, steps_per_epoch)
    network = create(recipe, task.class_names, steps_per_epoch, feed.parallel)
    step = make_train_step(network, task.objective, recipe.data, feed.parallel.axis_name)
    return Program(network, step, feed, recipe.engine.batch_size, steps)
