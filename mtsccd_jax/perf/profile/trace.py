"""A trace of some training steps for Perfetto and XProf, taken in a separate process.

XProf attributes GPU work to operations only while command buffers are off, but timings need them on. So a process
without them takes the trace, and another one measures. The first ends before the other starts, since one process takes
all memory of a GPU.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import check_writable
from mtsccd_jax.recipes.config import Recipe, from_dict, to_dict

# Steps of a trace: more only make it slow to open.
STEPS = 8
_FLAGS = "--xla_gpu_enable_command_buffer="


def take_trace(recipe: Recipe, place: Path, *, generated: bool, platform: str | None = None) -> Path:
    """Trace some steps of a recipe's training in another process; return the folder of the trace.

    `platform` is "cpu", "gpu" or "tpu"; None leaves the choice to JAX.

    Raises:
        InputError: The folder cannot be written, or the recipe cannot be used.
        RunError: The other process failed; its last line is given.
    """
    check_writable(place)
    job = {"recipe": to_dict(recipe), "place": str(place.resolve()), "generated": generated, "platform": platform}
    flags = f"{os.environ.get('XLA_FLAGS', '')} {_FLAGS}".strip()
    done = subprocess.run(
        [sys.executable, "-m", "mtsccd_jax.perf.profile.trace"],
        input=json.dumps(job),
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        if done.returncode == 2:
            raise InputError(last)
        raise RunError(f"taking the trace failed: {last}")
    return place


def trace_steps(recipe: Recipe, place: Path, *, generated: bool) -> None:
    """Write a trace of `STEPS` steps with their data to `place`, with operations named by the network's layers."""
    import jax
    from flax import nnx

    from mtsccd_jax.engine.feed import Feed
    from mtsccd_jax.engine.parallel import make_parallel
    from mtsccd_jax.engine.program import make_program
    from mtsccd_jax.perf.profile.run import epochs_order, open_data
    from mtsccd_jax.perf.profile.scopes import module_scopes

    task = open_data(recipe, generated)
    parallel = make_parallel(recipe.engine.parallel)
    parallel.check_batch(recipe.engine.batch_size, "engine.batch_size")
    program = make_program(recipe, task, Feed(task.train, parallel, recipe.data.input))
    abstract = program.network.abstract()
    with module_scopes(nnx.merge(program.network.train_graph, abstract.params, abstract.statistics)):
        program.compile()
    state = program.network.initial(recipe.seed)
    dispatches = max(STEPS // program.steps, 2)
    with program.dispatches(epochs_order(recipe, program.feed, (dispatches + 1) * program.steps)) as work:
        _, first = next(work)
        state, _ = first(state)
        jax.block_until_ready(state)
        with jax.profiler.trace(str(place), create_perfetto_trace=True):
            for step, (_, dispatch) in enumerate(work):
                with jax.profiler.StepTraceAnnotation("train", step_num=step):
                    state, metrics = dispatch(state)
            jax.block_until_ready((state, metrics))


def main() -> int:
    """Take the trace of the job that is JSON on standard input; return the exit status, as commands do."""
    job = json.load(sys.stdin)
    from mtsccd_jax.engine.parallel import find_devices

    try:
        find_devices(job["platform"])
        trace_steps(from_dict(job["recipe"]), Path(job["place"]), generated=job["generated"])
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
