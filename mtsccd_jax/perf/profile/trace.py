"""A trace of some training steps for Perfetto and XProf, taken in a process of its own.

XProf attributes GPU work to operations only while command buffers are off, and they are part of what is timed: so the
process that measures has them, and the one that traces has not. It ends before the other starts, as a GPU's memory is
one process's alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import check_writable
from mtsccd_jax.recipes.config import Recipe, from_dict, to_dict

# Steps in a trace: more make it slow to open and show nothing new.
STEPS = 8
_FLAGS = "--xla_gpu_enable_command_buffer="


def take_trace(recipe: Recipe, place: Path, *, generated: bool, platform: str | None = None) -> Path:
    """The folder of the trace of some steps of a recipe's training, below `place`; another process takes it.

    Args:
        recipe: whose step is traced, on its data.
        place: of the trace, made where it is missing.
        generated: made-up data instead.
        platform: "cpu", "gpu" or "tpu"; None for what JAX chooses.

    Raises:
        InputError: nothing can be written there, or the recipe cannot be used.
        RunError: the other process failed; its last line is given.
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
    """Nothing; writes a trace of `STEPS` steps with their data to `place`, operations named by the network's layers."""
    import jax
    from flax import nnx

    from mtsccd_jax.engine.feed import Feed
    from mtsccd_jax.engine.parallel import make_parallel
    from mtsccd_jax.engine.program import make_program
    from mtsccd_jax.perf.profile.layers import module_scopes
    from mtsccd_jax.perf.profile.run import epochs_order, open_data

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
    """The process that traces: its job is JSON on standard input. Returns the exit status, as the commands have it."""
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
