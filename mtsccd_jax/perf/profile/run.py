"""What limits a run: a recipe's training step, its input and its devices measured apart and together.

The step is the one that training dispatches, on the data that training reads. Windows of steps with real data and with
one batch again and again take turns, so that what else the machine does meets both.
"""

import itertools
import logging
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
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
from mtsccd_jax.engine.memory import USABLE_SHARE, free_bytes
from mtsccd_jax.engine.parallel import Parallel, make_parallel
from mtsccd_jax.engine.program import Dispatch, Program, make_program
from mtsccd_jax.engine.state import State, create
from mtsccd_jax.engine.steps import make_train_step
from mtsccd_jax.engine.task import Task
from mtsccd_jax.errors import InputError
from mtsccd_jax.perf.energy import Energy, watch
from mtsccd_jax.perf.generated_source import GeneratedSource
from mtsccd_jax.perf.hardware import measure_ceilings, memory_bytes, peak_of
from mtsccd_jax.perf.profile.layers import Layer, jaxpr_layers, module_scopes
from mtsccd_jax.perf.profile.overhead import Chain, count_operations, idle_step
from mtsccd_jax.perf.profile.result import Profile, Rate
from mtsccd_jax.perf.profile.roofline import Measurements, input_stall_fraction, place, verdict
from mtsccd_jax.perf.timing import Timing, measure, ratio
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.table import make_task, open_task

logger = logging.getLogger(__name__)

# Windows of each kind, seconds that one takes where the steps of `--steps` do not say, and dispatches at most.
ROUNDS, WINDOW_S, MOST_DISPATCHES = 7, 0.6, 400
# Single dispatches, each waited for, that the percentiles of a step are of: at least, at most.
FEW_STEPS, MANY_STEPS = 9, 100
# Generated rows, where the batch is not larger: several of a stream's read-ahead.
GENERATED_ROWS = 512
# A split that is read in less than this share of a step never keeps it waiting, however long the window.
READ_AHEAD_SHARE = 0.3


def profile(
    recipe: Recipe,
    *,
    generated: bool = False,
    steps: int | None = None,
) -> Profile:
    """What limits the training of a recipe on these devices. Nothing is trained: the state is thrown away.

    Args:
        recipe: whose data are read, unless they are `generated`.
        generated: made-up scenes or pairs in memory, in the place of the recipe's data.
        steps: of every window that is timed; None for about half a second.

    Raises:
        InputError: the recipe or its data cannot be used, or the batch is too large for the split or the memory.
    """
    parallel = make_parallel(recipe.engine.parallel)
    parallel.check_batch(recipe.engine.batch_size, "engine.batch_size")
    task = open_data(recipe, generated)
    feed = Feed(task.train, parallel, recipe.data.input)
    logger.info(feed.choice)
    limit_bytes = int(USABLE_SHARE * free_bytes(parallel))
    with tempfile.TemporaryDirectory(prefix="mtsccd-jax-compiled-") as folder, compilation_cache(Path(folder)):
        program = compile_program(make_program(recipe, task, feed), recipe, task, limit_bytes)
        again = make_program(recipe, task, program.feed)
        again.compile()
        run = _Run(recipe, task, program, steps)
        logger.info("measuring the step alone, with its data, and what the devices can do")
        return run.profile(_compile_s(program), _compile_s(again))


def open_data(recipe: Recipe, generated: bool) -> Task:
    """The recipe's task with its own data, or with made-up ones; InputError where a batch is more than there is."""
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
    """The rows of so many training steps (steps, b), epoch after epoch, as this process reads them."""
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
    """A compiled step, its state, and a batch that stays on the devices."""

    def __init__(self, recipe: Recipe, task: Task, program: Program, steps: int | None):
        self.recipe, self.task, self.program, self.feed = recipe, task, program, program.feed
        self.steps = steps
        self.images_per_example = len(views(task.train))
        self.state: State = program.network.initial(recipe.seed)
        self.threads = usable_cores()

    @property
    def parallel(self) -> Parallel:
        """The devices."""
        return self.feed.parallel

    @property
    def dispatch_images(self) -> int:
        """Images of one dispatch."""
        return self.recipe.engine.batch_size * self.images_per_example * self.program.steps

    def profile(self, cold_s: float, warm_s: float) -> Profile:
        """Everything; the parts in the order in which one needs the other."""
        jax.block_until_ready(self.state)
        started = time.perf_counter()
        with self.program.dispatches(self.order(1)) as dispatches:
            _, same = next(dispatches)
            jax.block_until_ready(self.feed.arrays if self.feed.resident else None)
            first_batch_s = time.perf_counter() - started
        started = time.perf_counter()
        self.dispatch(same)
        jax.block_until_ready(self.state)
        first_step_s = time.perf_counter() - started
        alone_s = self.time_steps(same, 2) / 2
        read_s = None if self.feed.resident else self.read_s()
        synthetic, real = self.windows(same, alone_s, read_s)
        chain = Chain(self.device)
        samples = self.parts(same, alone_s, chain)
        steps = self.program.steps
        step = Timing(tuple(seconds / steps for seconds in samples["step"].samples_s))
        # As of the ceilings, the fastest round: other work makes all of them slower, and what is compared stays so.
        dispatch_s = min(samples["idle"].samples_s) / steps
        operations = count_operations(self.program.compile().as_text() or "") / steps
        operation_s = chain.operation_s(samples["chain"], samples["single"])
        transfer_s = samples["transfer"].median_s if "transfer" in samples else None
        energy, energy_images = self.watched(same, alone_s)
        layers, forward_macs = self.layers()
        dtype = self.recipe.engine.dtype
        ceilings = measure_ceilings(dtype, self.device)
        devices = self.parallel.mesh.size
        # What a step takes in a row of steps: the host prepares the next one meanwhile.
        step_s = synthetic.median_s / steps
        # Of the middle window and its neighbour in time: what slowed both down drops out.
        stall = input_stall_fraction(1 / max(ratio(real, synthetic)[0], 1.0), 1.0)
        flops = 2 * sum(layer.macs for layer in layers) / devices
        moved = sum(layer.bytes for layer in layers) / devices
        measured = Measurements(
            step_s=step_s,
            input_stall_fraction=stall,
            read_s=read_s,
            transfer_s=transfer_s,
            dispatch_s=min(dispatch_s, step_s),
            launch_s=operations * operation_s,
            compute_s=flops / ceilings.flops_per_s,
            memory_s=moved / ceilings.bytes_per_s,
        )
        _, device_peak = memory_bytes(self.device)
        return Profile(
            source=self.task.train.name,
            input="resident" if self.feed.resident else "stream",
            batch_size=self.recipe.engine.batch_size,
            images_per_example=self.images_per_example,
            steps_per_dispatch=steps,
            devices=devices,
            real=self.rate(real),
            synthetic=self.rate(synthetic),
            stall=stall,
            compile_cold_s=cold_s,
            compile_warm_s=warm_s,
            first_batch_s=first_batch_s,
            first_step_s=first_step_s,
            step=step,
            dispatch_s=dispatch_s,
            operations=round(operations),
            operation_s=operation_s,
            read_s=read_s,
            transfer_s=transfer_s,
            transfer_bytes=sum(array.nbytes for array in self.host_batch().values()),
            layers=tuple(layers),
            forward_macs=forward_macs,
            ceilings=ceilings,
            peak=peak_of(self.device),
            dtype=dtype,
            program_bytes=self.program.bytes_of_dispatch,
            device_peak_bytes=device_peak,
            host_peak_bytes=_host_peak_bytes(),
            energy=energy,
            energy_images=energy_images,
            verdict=verdict(measured, bfloat16=dtype == "bfloat16"),
            place=place(flops, moved, step_s, ceilings.flops_per_s, ceilings.bytes_per_s),
        )

    @property
    def device(self) -> jax.Device:
        """The first device of this process."""
        return self.parallel.mesh.local_devices[0]

    def order(self, dispatches: int) -> np.ndarray:
        """The rows of so many dispatches (steps, b)."""
        return epochs_order(self.recipe, self.feed, dispatches * self.program.steps)

    def dispatch(self, dispatch: Dispatch) -> Any:
        """The metrics of some steps that have been asked for; the state goes on."""
        self.state, metrics = dispatch(self.state)
        return metrics

    def time_steps(self, same: Dispatch, dispatches: int) -> float:
        """Seconds of so many dispatches in a row with the same batch, the last one waited for."""
        started = time.perf_counter()
        for _ in range(dispatches):
            self.dispatch(same)
        jax.block_until_ready(self.state)
        return time.perf_counter() - started

    def windows(self, same: Dispatch, alone_s: float, read_s: float | None) -> tuple[Timing, Timing]:
        """Seconds a dispatch with the same batch, and with real data, in windows that take turns."""
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
        """Seconds a dispatch with real data, once what was read ahead is used up."""
        ahead, least = 1, 1
        if read_s is not None and read_s > READ_AHEAD_SHARE * alone_s:
            # Batches that one thread each has read arrive together: whole turns of the threads count.
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
        """Seconds a batch that reading and decoding take with all threads at work and nothing else to do."""
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
        """Seconds of a dispatch, of one that does nothing, of a chain's programs, and of a transfer, in turns."""
        abstract, batch = self.program.network.abstract(), self.shapes()
        step = make_train_step(*self.plain())
        idle = idle_step(step, abstract, batch)
        feed, recipe = self.feed, self.recipe
        idle_program = Program(self.program.network, idle, feed, recipe.engine.batch_size, self.program.steps)
        with idle_program.dispatches(self.order(1)) as dispatches:
            _, nothing = next(dispatches)
        host_batch = self.host_batch()

        def several(call: Callable[[], Any], count: int) -> Callable[[], Any]:
            def calls() -> Any:
                for _ in range(count):
                    result = call()
                    jax.block_until_ready(result)
                return result

            return calls

        def train() -> Any:
            self.dispatch(same)
            return self.state

        def do_nothing() -> Any:
            self.dispatch(nothing)
            return self.state

        repeated = 8
        short = {"idle": do_nothing, "chain": chain.run, "single": chain.run_single}
        work = {"step": train} | {name: several(call, repeated) for name, call in short.items()}
        if self.parallel.platform != "cpu":
            work["transfer"] = lambda: self.parallel.place(host_batch)
        rounds = min(max(math.ceil(4 * WINDOW_S / alone_s), FEW_STEPS), MANY_STEPS)
        measured = measure(work, warmup=2, rounds=rounds)
        each = {name: Timing(tuple(seconds / repeated for seconds in measured[name].samples_s)) for name in short}
        return {**measured, **each}

    def watched(self, same: Dispatch, alone_s: float) -> tuple[Energy | None, int]:
        """The energy of some seconds of steps, and the images that it was for."""
        if self.parallel.platform != "gpu":
            return None, 0
        dispatches = max(math.ceil(3 * WINDOW_S / alone_s), 1)
        with watch(self.device) as meter:
            self.time_steps(same, dispatches)
        return meter.energy, dispatches * self.dispatch_images

    def host_batch(self) -> dict[str, np.ndarray]:
        """This process's part of a batch as the host reads it, without text."""
        rows = self.order(1)[0]
        if self.feed.resident and jax.process_count() > 1:
            rows = np.split(rows, jax.process_count())[jax.process_index()]
        batch = self.feed.source.read(rows) | {"row": rows.astype(np.int32)}
        return {name: array for name, array in batch.items() if array.dtype.kind in "biuf"}

    def plain(self) -> tuple[Any, ...]:
        """The arguments of a training step under jit: what operations are counted in, whatever runs it."""
        recipe = self.recipe
        parallel = make_parallel("jit", list(self.parallel.mesh.devices.flat))
        network = create(recipe, self.task.class_names, 1, parallel)
        return network, self.task.objective, recipe.data, None

    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """A whole batch as shapes, not laid out for any device."""
        batch = self.recipe.engine.batch_size
        shapes = {name: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype) for name, x in self.feed.shapes.items()}
        return shapes | {"row": jax.ShapeDtypeStruct((batch,), np.int32)}

    def layers(self) -> tuple[list[Layer], int]:
        """The layers of a step on these devices, and the multiply-accumulates of a plain forward pass."""
        network, *rest = self.plain()
        state = network.abstract()
        model = nnx.merge(network.train_graph, state.params, state.statistics)
        with module_scopes(model):
            jaxpr = jax.make_jaxpr(make_train_step(network, *rest))(state, self.shapes())
        plain = jaxpr_layers(jaxpr)
        return jaxpr_layers(jaxpr, self.parallel.platform), sum(x.macs for x in plain if x.stage == "forward")

    def rate(self, seconds: Timing) -> Rate:
        """Images/s of windows of dispatches."""
        return Rate(*(self.dispatch_images / value for value in (seconds.median_s, seconds.p90_s, seconds.p10_s)))


def _host_peak_bytes() -> int:
    """The largest resident size of this process until now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
