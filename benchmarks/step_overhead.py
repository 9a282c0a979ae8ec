"""The cost of the training loop beyond the compiled step: gather, metrics, history, progress, dispatch.

    python benchmarks/step_overhead.py [--steps 6] [--rounds 7] [--image-size 96] [--out FILE]

Trains ResNet-18 on resident scenes made up for it. "step" runs the compiled update alone on one batch that is already
on the device and waits for every result; "loop" is an epoch of as many steps as `fit` runs them, which gathers
every batch, reads metrics late and writes the history; the two change places every round. "overhead" is
loop / step - 1, round by round, and holds the noise of two long times. "host" is the processor time of the loop's own
thread a step: all that Python does, dispatch included, while the device computes.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import jax
import numpy as np
from record import make_parser, publish, spread

from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.loop import MetricsLog
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.program import make_program
from mtsccd_jax.engine.state import State
from mtsccd_jax.engine.steps import make_train_step
from mtsccd_jax.engine.workdir import History
from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.perf.timing import Timing
from mtsccd_jax.recipes import get_recipe
from mtsccd_jax.tasks.table import open_task


def main() -> None:
    options = make_parser(__doc__, steps=6, image_size=96).parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as place:
        result = measure(options, Path(place))
    print(f"step {result['step_ms']:.1f} ms, loop {result['loop_ms']:.1f} ms a step", file=sys.stderr)
    print(f"overhead {100 * result['overhead']['median']:.2f} %", file=sys.stderr)
    print(f"host {result['host_ms']:.2f} ms, {100 * result['host_share']['median']:.2f} % of a step", file=sys.stderr)
    publish(result, options.out)


def measure(options: argparse.Namespace, place: Path) -> dict:
    recipe = get_recipe("demo")
    batch = recipe.engine.batch_size
    write_scenes(place / "scenes", batch * options.steps, options.image_size)
    data = replace(recipe.data, folder=str(place / "scenes"), image_size=options.image_size, input="resident")
    recipe = replace(recipe, data=data, model=replace(recipe.model, width=1.0))
    parallel, task = make_parallel("jit"), open_task(recipe)
    program = make_program(recipe, task, Feed(task.train, parallel, "resident"))
    history = History(place, 0)
    log, order = MetricsLog(history, batch), batch_indices(recipe.seed, 0, len(task.train), batch)
    state = program.network.initial(0)
    with program.feed.batches(np.arange(batch)[None]) as batches:
        fixed = next(batches)
    step = make_train_step(program.network, task.objective, recipe.data, parallel.axis_name)
    update = parallel.compile_update(step)
    state, _ = update(state, fixed)

    def run_steps(state: State) -> State:
        for _ in range(options.steps):
            state, _ = update(state, fixed)
        return state

    def run_loop(state: State) -> State:
        """Run the steps of an epoch as `fit` does."""
        with program.dispatches(order) as dispatches:
            log.start_clock()
            for step, (_, dispatch) in enumerate(dispatches, start=1):
                state, metrics = dispatch(state)
                log.add(step, 0, metrics, program.compiled_sizes)
        log.write_all()
        return state

    elapsed: dict[str, list[float]] = {"step": [], "loop": [], "host": []}
    for turn in range(1 + options.rounds):
        turns = [("step", run_steps), ("loop", run_loop)]
        for name, work in turns if turn % 2 else reversed(turns):
            started, busy = time.perf_counter(), time.thread_time()
            state = work(state)
            busy = time.thread_time() - busy
            jax.block_until_ready(state)
            if turn:
                elapsed[name].append(time.perf_counter() - started)
            if turn and name == "loop":
                elapsed["host"].append(busy)
    history.close()
    step, loop, host = (Timing(tuple(elapsed[name])) for name in ("step", "loop", "host"))
    return {
        "benchmark": "step overhead",
        "model": "resnet18",
        "image_size": options.image_size,
        "batch": batch,
        "step_ms": 1e3 * step.median_s / options.steps,
        "loop_ms": 1e3 * loop.median_s / options.steps,
        "host_ms": 1e3 * host.median_s / options.steps,
        "host_share": spread(host, step),
        "overhead": {name: round(value - 1, 4) for name, value in spread(loop, step).items()},
    }


def write_scenes(root: Path, count: int, size: int) -> None:
    """Write noise into two class folders below train/ and validation/."""
    generator = np.random.default_rng(0)
    for split, images in (("train", count), ("validation", 2)):
        for index in range(images):
            folder = root / split / ("a", "b")[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{index}.png"), generator.integers(0, 255, (size, size, 3), dtype=np.uint8))


if __name__ == "__main__":
    main()
