"""The largest batch that fits in the memory of the devices, found from compiled programs that nobody runs.

What a training step takes is nearly affine in its batch: state and resident split whatever it is, activations in
proportion. Two small programs give the line, the line names a batch, and a third program proves it.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.program import Program, make_program
from mtsccd_jax.engine.task import Task
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Recipe

logger = logging.getLogger(__name__)

# The batches of a device that the line is drawn through: small, so that they fit nearly always, and compile soon.
_PROBES = (8, 16)


@dataclass(frozen=True)
class BatchChoice:
    """The largest batch that fits.

    Attributes:
        batch_size: of all devices together, a power of two times their number; 0 where not even one example of each
            device fits.
        step_bytes: of each device that the step of that batch takes, as compiled.
        limit_bytes: of each device that it may take.
        compiled: how many programs were looked at.
    """

    batch_size: int
    step_bytes: int
    limit_bytes: int
    compiled: int

    def __str__(self) -> str:
        return f"batch {self.batch_size}: {self.step_bytes / 1e9:,.2f} GB of {self.limit_bytes / 1e9:,.2f} GB a device"


def largest_batch(bytes_of: Callable[[int], int], limit_bytes: int, *, devices: int, most: int) -> BatchChoice:
    """The largest batch of a power of two examples a device whose program fits.

    The batch has been looked at itself and fits; its double has been looked at and does not, or is more than the line
    through what was looked at leaves room for, or than `most`.

    Args:
        bytes_of: of each device that the program of a batch takes: see `engine.memory.program_bytes`. Expensive: it
            compiles, and is called once a batch.
        limit_bytes: of each device.
        devices: the batch is divided over.
        most: no batch is larger, as none may be than the examples of an epoch.

    Raises:
        ValueError: `most` is less than one example a device.
    """
    if most < devices:
        raise ValueError(f"most must be at least one example of each of the {devices} devices, got {most}")
    top = int(math.log2(most // devices))
    seen: dict[int, int] = {}

    def fits(power: int) -> bool:
        if power not in seen:
            seen[power] = bytes_of(devices << power)
        return seen[power] <= limit_bytes

    probes = sorted({min(int(math.log2(probe)), top) for probe in _PROBES})
    known = [power for power in probes if fits(power)]
    if not known:  # downwards to what fits, if anything does
        power = probes[0] - 1
        while power >= 0 and not fits(power):
            power -= 1
        return _choice(power, seen, devices, limit_bytes)
    best = known[-1]
    if best < probes[-1]:  # the larger probe does not fit: the smaller is the largest
        return _choice(best, seen, devices, limit_bytes)
    while (guess := min(_on_line(seen, limit_bytes), top)) > best:
        while guess > best and not fits(guess):
            guess -= 1
        if guess == best:
            break
        best = guess
        if best + 1 in seen:
            break
    return _choice(best, seen, devices, limit_bytes)


def _on_line(seen: dict[int, int], limit_bytes: int) -> int:
    """The largest power whose bytes are within the limit on the line through the two largest that were looked at."""
    if len(seen) < 2:
        return max(seen)
    small, large = sorted(seen)[-2:]
    slope = (seen[large] - seen[small]) / (2**large - 2**small)
    if slope <= 0:  # the compiler saw nothing grow yet: try the next
        return large + 1
    examples = 2**large + (limit_bytes - seen[large]) / slope
    return int(math.log2(examples)) if examples >= 1 else 0


def _choice(power: int, seen: dict[int, int], devices: int, limit_bytes: int) -> BatchChoice:
    """What was found; `power` is negative where nothing fits."""
    if power < 0:
        return BatchChoice(0, seen[min(seen)], limit_bytes, len(seen))
    return BatchChoice(devices << power, seen[power], limit_bytes, len(seen))


def largest_program(recipe: Recipe, task: Task, feed: Feed, limit_bytes: int) -> Program:
    """The training step of a recipe with the largest batch that fits; its `batch_size` says which.

    Args:
        recipe: whose own batch is not looked at.
        task: what is learned.
        feed: of the training split, resident or streamed: a resident one counts.
        limit_bytes: of each device that may be taken.

    Raises:
        InputError: not even one example of each device fits, or the compiler does not say what a program takes.
    """
    programs: dict[int, Program] = {}
    logger.info("looking for the largest batch that fits; nothing runs yet")

    def bytes_of(batch_size: int) -> int:
        if batch_size not in programs:
            programs[batch_size] = make_program(with_batch(recipe, batch_size), task, feed)
        needed = programs[batch_size].estimated_bytes()
        if needed is None:
            raise InputError("--batch auto: this compiler does not say what memory a program takes; give --batch N")
        return needed

    devices = feed.parallel.mesh.size
    choice = largest_batch(bytes_of, limit_bytes, devices=devices, most=len(feed.source))
    if choice.batch_size:
        most = f"; there are {len(feed.source):,} examples" if 2 * choice.batch_size > len(feed.source) else ""
        logger.info(f"{choice}, from {choice.compiled} compiled programs{most}")
    batch_size, needed = choice.batch_size, choice.step_bytes
    # On GPUs the program that runs may take more than the one that was looked at: its kernels are chosen for speed.
    while batch_size >= devices and bytes_of(batch_size) <= limit_bytes:
        needed = compiled_bytes(programs[batch_size]) or 0
        if needed <= limit_bytes:
            return programs[batch_size]
        logger.info(f"batch {batch_size} takes {needed / 1e9:,.2f} GB a device as it would run: half of it")
        batch_size //= 2
    raise refusal("engine.batch_size", devices, replace(choice, batch_size=0, step_bytes=needed))


def compile_program(program: Program, recipe: Recipe, task: Task, limit_bytes: int) -> Program:
    """The program compiled, or the one for a streamed split where a resident one leaves too little memory.

    Where the recipe leaves it open how the split is read, what a step takes decides in the end.

    Raises:
        InputError: its batch does not fit; the largest that does is named.
    """
    needed = compiled_bytes(program)
    if needed is None or needed <= limit_bytes:
        return program
    feed = program.feed
    if feed.resident and feed.mode == "auto":
        logger.info(f"{feed.source.name}: streamed after all, a step leaves too little memory for the split")
        return compile_program(make_program(recipe, task, feed.streamed()), recipe, task, limit_bytes)

    def bytes_of(batch_size: int) -> int:
        taken = make_program(with_batch(recipe, batch_size), task, feed).estimated_bytes()
        assert taken is not None, "the compiler said so of another batch"
        return taken

    logger.info("it does not fit; looking for the largest batch that does")
    devices, most = feed.parallel.mesh.size, program.batch_size - 1
    largest = BatchChoice(0, needed, limit_bytes, 0)
    if most >= devices:
        largest = largest_batch(bytes_of, limit_bytes, devices=devices, most=most)
    raise refusal("engine.batch_size", program.batch_size, replace(largest, step_bytes=needed))


def compiled_bytes(program: Program) -> int | None:
    """The program's `bytes_of_dispatch`, compiled where it was not yet, which is said before it is done."""
    if not program.compiled_sizes:
        logger.info("compiling the training step")
        program.compile()
    return program.bytes_of_dispatch


def refusal(key: str, batch_size: int, largest: BatchChoice) -> InputError:
    """The error of a batch whose step takes `largest.step_bytes`, too many; it names the largest batch that fits."""
    fits = f"the largest that fits is {largest.batch_size}" if largest.batch_size else "not one example a device fits"
    return InputError(
        f"{key}={batch_size}: a step takes {largest.step_bytes / 1e9:,.2f} GB of each device, "
        f"{largest.limit_bytes / 1e9:,.2f} GB can be used; {fits}"
    )


def with_batch(recipe: Recipe, batch_size: int) -> Recipe:
    """The recipe with another batch."""
    return replace(recipe, engine=replace(recipe.engine, batch_size=batch_size))
