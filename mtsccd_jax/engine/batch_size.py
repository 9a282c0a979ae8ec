"""Find the largest batch that fits in the memory of the devices, from compiled programs that never run.

The memory of a training step is nearly affine in its batch size: the state and a resident split take the same whatever
the batch, activations grow in proportion. Two small programs give the line, the line names a batch, and a third program
proves it.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mtsccd_jax.engine.compilation import run_cache
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.memory import reported, usable_bytes
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.program import Program, make_program
from mtsccd_jax.engine.task import Task
from mtsccd_jax.engine.workdir import RECIPE_FILE, load
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import AnyPath, check_writable
from mtsccd_jax.recipes.config import Recipe

logger = logging.getLogger(__name__)

# The search begins with 2**3 and 2**4 examples a device: small enough to fit nearly always, and quick to compile.
FIRST_POWER = 3


@dataclass(frozen=True)
class BatchChoice:
    """The largest batch that fits.

    Attributes:
        batch_size: The batch of all devices together, a power of two times their number; 0 where not even one example
            of each device fits.
        step_bytes: Bytes of each device that the compiled step of that batch takes.
        limit_bytes: Bytes of each device that it may take.
    """

    batch_size: int
    step_bytes: int
    limit_bytes: int
    compiled: int

    def __str__(self) -> str:
        return f"batch {self.batch_size}: {self.step_bytes / 1e9:,.2f} GB of {self.limit_bytes / 1e9:,.2f} GB a device"


def largest_batch(bytes_of: Callable[[int], int], limit_bytes: int, *, devices: int, most: int) -> BatchChoice:
    """Return the largest batch of a power of two examples a device whose program fits.

    The program of that batch was compiled and fits. The program of twice the batch was compiled and does not fit, or
    the line through the programs that fit says so, or the batch would exceed `most`. `bytes_of(batch_size)` is, as the
    limit, of each device (see `engine.memory.program_bytes`); it compiles, so it is called once a batch size.

    Raises:
        ValueError: `most` is less than one example a device.
    """
    if most < devices:
        raise ValueError(f"most must be at least one example of each of the {devices} devices, got {most}")
    fitting: dict[int, int] = {}  # bytes by the power of two examples a device
    too_large = (most // devices).bit_length()  # the smallest power that does not fit, or is more than `most`
    compiled = 0
    while (power := min(next_power(fitting, limit_bytes), too_large - 1)) > max(fitting, default=-1):
        step_bytes = bytes_of(devices << power)
        compiled += 1
        if step_bytes <= limit_bytes:
            fitting[power] = step_bytes
        else:
            too_large = power
    if not fitting:
        return BatchChoice(0, step_bytes, limit_bytes, compiled)
    largest = max(fitting)
    return BatchChoice(devices << largest, fitting[largest], limit_bytes, compiled)


def next_power(fitting: dict[int, int], limit_bytes: int) -> int:
    """Return the power of two to try next: the largest within the limit on the line through the last two that fit."""
    if len(fitting) < 2:
        return max(fitting, default=FIRST_POWER - 1) + 1
    small, large = sorted(fitting)[-2:]
    bytes_per_example = (fitting[large] - fitting[small]) / (2**large - 2**small)
    if bytes_per_example <= 0:  # nothing has grown yet: the line has no end
        return large + 1
    return int(math.log2(2**large + (limit_bytes - fitting[large]) / bytes_per_example))


def with_largest_batch(recipe: Recipe, task: Task, workdir: AnyPath) -> Recipe:
    """Return the recipe with the largest batch that fits, or with the batch that its work directory began with.

    Programs are compiled and do not run; the work directory keeps them.
    """
    if (Path(workdir) / RECIPE_FILE).exists():
        return with_batch(recipe, load(workdir).recipe.engine.batch_size)
    parallel = make_parallel(recipe.engine.parallel)
    if len(task.train) < parallel.mesh.size:
        raise InputError(
            f"{task.train.name}: {len(task.train)} training {task.examples}, less than one for each device"
        )
    check_writable(workdir, "choose another --workdir")
    feed = Feed(task.train, parallel, recipe.data.input)
    with run_cache(workdir):
        return with_batch(recipe, largest_program(recipe, task, feed, usable_bytes(parallel)).batch_size)


def largest_program(recipe: Recipe, task: Task, feed: Feed, limit_bytes: int) -> Program:
    """Return the compiled training step of a recipe with the largest batch that fits."""
    logger.info("looking for the largest batch that fits; nothing runs yet")

    @cache
    def program_of(batch_size: int) -> Program:
        return make_program(with_batch(recipe, batch_size), task, feed)

    devices, most = feed.parallel.mesh.size, len(feed.source)
    choice = largest_batch(
        lambda size: reported(program_of(size).estimated_bytes()), limit_bytes, devices=devices, most=most
    )
    if choice.batch_size:
        note = f"; there are {most:,} examples" if 2 * choice.batch_size > most else ""
        logger.info(f"{choice}, from {choice.compiled} compiled programs{note}")
    batch_size, step_bytes = choice.batch_size, choice.step_bytes
    # On GPUs the program that runs may take more than the estimate: its kernels are chosen for speed.
    while batch_size >= devices:
        step_bytes = compiled_bytes(program_of(batch_size)) or 0
        if step_bytes <= limit_bytes:
            return program_of(batch_size)
        logger.info(f"batch {batch_size} takes {step_bytes / 1e9:,.2f} GB a device as it would run: half of it")
        batch_size //= 2
    raise refusal("engine.batch_size", devices, replace(choice, batch_size=0, step_bytes=step_bytes))


def compile_program(program: Program, recipe: Recipe, task: Task, limit_bytes: int) -> Program:
    """Return the program, compiled, or the one for a streamed split where a resident split leaves too little memory.

    With `data.input=auto` the split is streamed only if the step does not fit beside the resident split.

    Raises:
        InputError: Its batch does not fit; the message names the largest that does.
    """
    step_bytes = compiled_bytes(program)
    if step_bytes is None or step_bytes <= limit_bytes:
        return program
    feed = program.feed
    if feed.resident and feed.mode == "auto":
        logger.info(f"{feed.source.name}: streamed after all, a step leaves too little memory for the split")
        return compile_program(make_program(recipe, task, feed.streamed()), recipe, task, limit_bytes)

    def bytes_of(batch_size: int) -> int:
        return reported(make_program(with_batch(recipe, batch_size), task, feed).estimated_bytes())

    logger.info("it does not fit; looking for the largest batch that does")
    devices, most = feed.parallel.mesh.size, program.batch_size - 1
    largest = BatchChoice(0, step_bytes, limit_bytes, 0)
    if most >= devices:
        largest = largest_batch(bytes_of, limit_bytes, devices=devices, most=most)
    raise refusal("engine.batch_size", program.batch_size, replace(largest, step_bytes=step_bytes))


def compiled_bytes(program: Program) -> int | None:
    """Return `bytes_of_dispatch` of a program; compile it first where it is not yet."""
    if not program.compiled_sizes:
        logger.info("compiling the training step")
        program.compile()
    return program.bytes_of_dispatch


def refusal(key: str, batch_size: int, largest: BatchChoice) -> InputError:
    """Return the error for a batch that takes `largest.step_bytes` and does not fit; it names the largest that does."""
    fits = f"the largest that fits is {largest.batch_size}" if largest.batch_size else "not one example a device fits"
    return InputError(
        f"{key}={batch_size}: a step takes {largest.step_bytes / 1e9:,.2f} GB of each device, "
        f"{largest.limit_bytes / 1e9:,.2f} GB can be used; {fits}"
    )


def with_batch(recipe: Recipe, batch_size: int) -> Recipe:
    """Return the recipe with another batch size."""
    return replace(recipe, engine=replace(recipe.engine, batch_size=batch_size))
