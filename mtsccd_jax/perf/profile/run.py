"""Measure what limits a run: a recipe's training step, its input and its devices, apart and together.

The step is the one that training dispatches, on the data that training reads. Windows of steps with real data and with
the same batch again take turns, so that other work on the machine slows both.
"""

import itertools
import logging
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.data.sources import views
from mtsccd_jax.data.stream import PREFETCH_BATCHES, stream, usable_cores
from mtsccd_jax.engine.batch_size import compile_program
from mtsccd_jax.engine.compilation import compilation_cache
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.memory import usable_bytes
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.program import Dispatch, Program, make_program
from mtsccd_jax.engine.state import State, create
from mtsccd_jax.engine.steps import make_train_step
from mtsccd_jax.engine.task import Task
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.calls import own_settings
from mtsccd_jax.perf.energy import Energy, watch
from mtsccd_jax.perf.generated_source import GeneratedSource
from mtsccd_jax.perf.hardware import measure_ceilings, memory_bytes, peak_of
from mtsccd_jax.perf.profile.layers import Layer, jaxpr_layers
from mtsccd_jax.perf.profile.overhead import Chain, count_operations, idle_step
from mtsccd_jax.perf.profile.result import Profile, Rate
from mtsccd_jax.perf.profile.roofline import input_stall_fraction
from mtsccd_jax.perf.profile.scopes import module_scopes
from mtsccd_jax.perf.timing import Timing, measure, ratio
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.table import make_task, open_task

logger = logging.getLogger(__name__)

# Windows of each kind, seconds of a window unless `--steps` sets its length, and the most dispatches of a window.
ROUNDS, WINDOW_S, MOST_DISPATCHES = 7, 0.6, 400
# The fewest and the most single dispatches that the percentiles of a step are taken over.
FEW_STEPS, MANY_STEPS = 9, 100
# Generated rows, unless the batch needs more: several times what a stream reads ahead.
GENERATED_ROWS = 512
# A split that is read in less than this share of a step never keeps it waiting, however long the window.
READ_AHEAD_SHARE = 0.3
# Calls per round of programs that are too short to time alone.
_REPEATED = 8


@own_settings()
def profile(recipe: Recipe, *, generated: bool = False, steps: int | None = None) -> Profile:
    """Measure the training of a recipe on these devices; the trained state is discarded.

    With `generated`, scenes or pairs in memory take the place of the recipe's data. `steps` are those of every timed
    window; None for about half a second.

    Raises:
        InputError: The recipe or its data cannot be used, or the batch is too large for the split or the memory.
    """
    parallel = make_parallel(recipe.engine.parallel)
    parallel.check_batch(recipe.engine.batch_size, "engine.batch_size")
    task = open_data(recipe, generated)
    feed = Feed(task.train, parallel, recipe.data.input)
    logger.info(feed.choice)
    with tempfile.TemporaryDirectory(prefix="mtsccd-jax-compiled-") as folder, compilation_cache(Path(folder)):
        program = compile_program(make_program(recipe, task, feed), recipe, task, usable_bytes(parallel))
        again = make_program(recipe, task, program.feed)
        again.compile()
        run = _Run(recipe, task, program, steps)
        logger.info("measuring the step alone, with its data, and what the devices can do")
        return run.profile(_compile_s(program), _compile_s(again))


def open_data(recipe: Recipe, generated: bool) -> Task:
    """Open the recipe's task with its own or with generated data; raise InputError where a batch is more than all."""
    batch = recipe.engine.batch_size
    if generated:
        return make_task(recipe, GeneratedSource(recipe, max(GENERATED_ROWS, 2 * batch)))
    task = open_task(recipe)
    if len(task.train) < batch:
        raise InputError(
            f"engine.batch_size={batch}: more than the {len(task.train)} training {task.examples} of "
            f"{task.train.name}; choose a smaller one with --batch N"
        )
    return task


def epochs_order(recipe: Recipe, feed: Feed, steps: int) -> np.ndarray:
    """Return the rows of some training steps (steps, b), epoch after epoch, as this process reads them."""
    per_epoch = len(feed.source) // recipe.engine.batch_size
    epochs = [
        batch_indices(recipe.seed, epoch, len(feed.source), recipe.engine.batch_size, *feed.processes)
        for epoch in range(-(-steps // per_epoch))
    ]
    return np.concatenate(epochs)[:steps]


def _compile_s(program: Program) -> float:
    assert program.compile_s is not None, "it has been compiled"
    return program.compile_s


class _Run:
    """A compiled step with its state and data."""

    def __init__(self, recipe: Recipe, task: Task, program: Program, steps: int | None):
        self.recipe, self.task, self.program, self.feed = recipe, task, program, program.feed
        self.parallel, self.steps = program.feed.parallel, steps
        self.images_per_example = len(views(task.train))
        self.state: State = program.network.initial(recipe.seed)
        self.threads = usable_cores()

    @property
    def dispatch_images(self) -> int:
        """Images of one dispatch."""
        return self.recipe.engine.batch_size * self.images_per_example * self.program.steps

    def profile(self, cold_s: float, warm_s: float) -> Profile:
        """Measure all parts, in the order in which one needs the other."""
        jax.block_until_ready(self.state)
        started = time.perf_counter()
        with self.program.dispatches(self.order(1)) as dispatches:
            _, same = next(dispatches)
            jax.block_until_ready(self.feed.arrays if self.feed.resident else None)
            first_batch_s = time.perf_counter() - started
        first_step_s = self.time_steps(same, 1)
        alone_s = self.time_steps(same, 2) / 2
        read_s = None if self.feed.resident else self.read_s()
        synthetic, real = self.windows(same, alone_s, read_s)
        chain = Chain(self.device)
        samples = self.parts(same, alone_s, chain)
        steps = self.program.steps
        energy, energy_images = self.watched(same, alone_s)
        layers, forward_macs = self.layers()
        dtype = self.recipe.engine.dtype
        return Profile(
            source=self.task.train.name,
            input="resident" if self.feed.resident else "stream",
            batch_size=self.recipe.engine.batch_size,
            images_per_example=self.images_per_example,
            steps_per_dispatch=steps,
            devices=self.parallel.mesh.size,
            real=self.rate(real),
            synthetic=self.rate(synthetic),
            # Each window is compared with its neighbour in time: a slow moment of the machine slows both.
            stall=input_stall_fraction(1 / max(ratio(real, synthetic)[0], 1.0), 1.0),
            compile_cold_s=cold_s,
            compile_warm_s=warm_s,
            first_batch_s=first_batch_s,
            first_step_s=first_step_s,
            step=Timing(tuple(seconds / steps for seconds in samples["step"].samples_s)),
            # The fastest round, as for the ceilings: other work only makes rounds slower.
            dispatch_s=min(samples["idle"].samples_s) / steps,
            operations=round(count_operations(self.program.compile().as_text() or "") / steps),
            operation_s=chain.operation_s(samples["chain"], samples["single"]),
            read_s=read_s,
            transfer_s=samples["transfer"].median_s if "transfer" in samples else None,
            transfer_bytes=sum(array.nbytes for array in self.host_batch().values()),
            layers=tuple(layers),
            forward_macs=forward_macs,
            ceilings=measure_ceilings(dtype, self.device),
            peak=peak_of(self.device),
            dtype=dtype,
            program_bytes=self.program.bytes_of_dispatch,
            device_peak_bytes=memory_bytes(self.device)[1],
            host_peak_bytes=_host_peak_bytes(),
            energy=energy,
            energy_images=energy_images,
        )

    @property
    def device(self) -> jax.Device:
        """The first device of this process."""
        return self.parallel.mesh.local_devices[0]

    def order(self, dispatches: int) -> np.ndarray:
        """Return the rows of some dispatches (steps, b)."""
        return epochs_order(self.recipe, self.feed, dispatches * self.program.steps)

    def dispatch(self, dispatch: Dispatch) -> State:
        """Dispatch some steps and return the new state, which the next ones take over."""
        self.state, _ = dispatch(self.state)
        return self.state

    def time_steps(self, same: Dispatch, dispatches: int) -> float:
        """Return the seconds of some dispatches in a row with the same batch, the last one waited for."""
        started = time.perf_counter()
        for _ in range(dispatches):
            self.dispatch(same)
        jax.block_until_ready(self.state)
        return time.perf_counter() - started

    def windows(self, same: Dispatch, alone_s: float, read_s: float | None) -> tuple[Timing, Timing]:
        """Return seconds per dispatch with the same batch, and with real data, in windows that take turns."""
        count = min(max(math.ceil(WINDOW_S / alone_s), 1), MOST_DISPATCHES)
        if self.steps is not None:
            count = max(self.steps // self.program.steps, 1)
        synthetic, real = [], []
        for turn in range(ROUNDS):
            for kind in ("synthetic", "real") if turn % 2 == 0 else ("real", "synthetic"):
                if kind == "synthetic":
                    synthetic.append(self.time_steps(same, count) / count)
                else:
                    real.append(self.real_window(count, alone_s, read_s))
        return Timing(tuple(synthetic)), Timing(tuple(real))

    def real_window(self, count: int, alone_s: float, read_s: float | None) -> float:
        """Return seconds per dispatch with real data, once the batches read ahead are used up."""
        ahead, least = 1, 1
        if read_s is not None and read_s > READ_AHEAD_SHARE * alone_s:
            # Each thread reads one batch, and these arrive together: only whole turns of the threads count.
            ahead = max(PREFETCH_BATCHES, self.threads)
            least = self.threads
        most = max(count, 2 * least)
        deadline_s = 4 * WINDOW_S if self.steps is None else math.inf
        with self.program.dispatches(self.order(ahead + most)) as dispatches:
            for _, dispatch in itertools.islice(dispatches, ahead):
                self.dispatch(dispatch)
            jax.block_until_ready(self.state)
            started, done = time.perf_counter(), 0
            for _, dispatch in dispatches:
                self.dispatch(dispatch)
                done += 1
                if done % least == 0 and time.perf_counter() - started > deadline_s:
                    break
            jax.block_until_ready(self.state)
            return (time.perf_counter() - started) / done

    def read_s(self) -> float:
        """Return the seconds of reading and decoding a batch, with all threads at work and nothing else."""
        turns = 0
        with stream(self.feed.source, self.order(self.threads * 33), threads=self.threads) as batches:
            for _ in range(self.threads):  # the first of each thread
                next(batches)
            started = time.perf_counter()
            while turns < 32 and (turns < 1 or time.perf_counter() - started < WINDOW_S):
                for _ in range(self.threads):
                    next(batches)
                turns += 1
            return (time.perf_counter() - started) / (turns * self.threads)

    def parts(self, same: Dispatch, alone_s: float, chain: Chain) -> dict[str, Timing]:
        """Return seconds of a dispatch, of an idle one, of the two programs of a chain, and of a transfer, in turns."""
        abstract, batch = self.program.network.abstract(), self.shapes()
        step = make_train_step(*self.plain())
        idle = idle_step(step, abstract, batch)
        feed, recipe = self.feed, self.recipe
        idle_program = Program(self.program.network, idle, feed, recipe.engine.batch_size, self.program.steps)
        with idle_program.dispatches(self.order(1)) as dispatches:
            _, nothing = next(dispatches)
        short: dict[str, Callable[[], Any]] = {
            "idle": partial(self.dispatch, nothing),
            "chain": chain.run,
            "single": chain.run_single,
        }
        work: dict[str, Callable[[], Any]] = {"step": partial(self.dispatch, same)}
        work |= {name: _several(call) for name, call in short.items()}
        if self.parallel.platform != "cpu":
            work["transfer"] = partial(self.parallel.place, self.host_batch())
        rounds = min(max(math.ceil(4 * WINDOW_S / alone_s), FEW_STEPS), MANY_STEPS)
        measured = measure(work, warmup=2, rounds=rounds)
        each = {name: Timing(tuple(seconds / _REPEATED for seconds in measured[name].samples_s)) for name in short}
        return {**measured, **each}

    def watched(self, same: Dispatch, alone_s: float) -> tuple[Energy | None, int]:
        """Return the energy of some seconds of steps, and their images."""
        if self.parallel.platform != "gpu":
            return None, 0
        dispatches = max(math.ceil(3 * WINDOW_S / alone_s), 1)
        with watch(self.device) as meter:
            self.time_steps(same, dispatches)
        return meter.energy, dispatches * self.dispatch_images

    def host_batch(self) -> dict[str, np.ndarray]:
        """Return this process's part of a batch as the host reads it, without text."""
        rows = self.order(1)[0]
        if self.feed.resident and jax.process_count() > 1:
            rows = np.split(rows, jax.process_count())[jax.process_index()]
        batch = self.feed.source.read(rows) | {"row": rows.astype(np.int32)}
        return {name: array for name, array in batch.items() if array.dtype.kind in "biuf"}

    def plain(self) -> tuple[Any, ...]:
        """Return the arguments of a training step under jit: its operations are counted, whatever runs it."""
        recipe = self.recipe
        parallel = make_parallel("jit", list(self.parallel.mesh.devices.flat))
        network = create(recipe, self.task.class_names, 1, parallel)
        return network, self.task.objective, recipe.data, None

    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Return the shapes of a whole batch, not laid out for any device."""
        batch = self.recipe.engine.batch_size
        shapes = {name: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype) for name, x in self.feed.shapes.items()}
        return shapes | {"row": jax.ShapeDtypeStruct((batch,), np.int32)}

    def layers(self) -> tuple[list[Layer], int]:
        """Return the layers of a step on these devices, and the multiply-accumulates of a plain forward pass."""
        network, *rest = self.plain()
        state = network.abstract()
        model = nnx.merge(network.train_graph, state.params, state.statistics)
        with module_scopes(model):
            jaxpr = jax.make_jaxpr(make_train_step(network, *rest))(state, self.shapes())
        plain = jaxpr_layers(jaxpr)
        return jaxpr_layers(jaxpr, self.parallel.platform), sum(x.macs for x in plain if x.stage == "forward")

    def rate(self, seconds: Timing) -> Rate:
        """Return images/s from the seconds of dispatches."""
        return Rate(*(self.dispatch_images / value for value in (seconds.median_s, seconds.p90_s, seconds.p10_s)))


def _several(call: Callable[[], Any]) -> Callable[[], Any]:
    """Return `_REPEATED` calls, each waited for."""

    def calls() -> Any:
        for _ in range(_REPEATED):
            result = call()
            jax.block_until_ready(result)
        return result

    return calls


def _host_peak_bytes() -> int:
    """Return the largest resident size of this process until now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
