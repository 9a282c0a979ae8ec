"""Prepare a training: checks, batch, weights, compilation and the work directory, all before the first step.

Wrong input is found here, before minutes of computing and before the work directory belongs to the run.
"""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mtsccd_jax import processes
from mtsccd_jax.data.bands import statistics
from mtsccd_jax.data.sources import views
from mtsccd_jax.engine.batch_size import compile_program
from mtsccd_jax.engine.checkpoint import Checkpoints, check_savable, newest_step
from mtsccd_jax.engine.export.weights import weights_of_run
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.memory import usable_bytes
from mtsccd_jax.engine.parallel import Parallel, make_parallel
from mtsccd_jax.engine.program import Program, make_program
from mtsccd_jax.engine.state import State, fit_weights
from mtsccd_jax.engine.task import Score, Task
from mtsccd_jax.engine.workdir import Run, best_of, check_recipe, claim, read_validations
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import AnyPath, check_writable
from mtsccd_jax.models.weights.files import WeightFile
from mtsccd_jax.models.weights.files import read as read_weights
from mtsccd_jax.models.weights.mapping import Fitted
from mtsccd_jax.recipes.config import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A training that can start; a new run begins with the `fitted` values of `weights`, and None are random ones."""

    recipe: Recipe
    task: Task
    program: Program
    weights: WeightFile | None
    fitted: Fitted | None

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return len(self.task.train) // self.recipe.engine.batch_size

    @property
    def images_per_step(self) -> int:
        """Images of a batch: two for each pair."""
        return self.recipe.engine.batch_size * len(views(self.task.train))

    def first_state(self, checkpoints: Checkpoints) -> State:
        """Return the state of the newest checkpoint, or the first state of a new run."""
        network = self.program.network
        resumed = checkpoints.resume(network.abstract())
        if resumed is not None:
            finished = is_finished(self.recipe, self.task, checkpoints.directory.parent, int(resumed.step))
            what = "finished already: nothing is left to train after" if finished else "continuing at"
            logger.info(f"{what} step {checkpoints.latest}")
            return resumed
        state = network.initial(self.recipe.seed)
        return state if self.fitted is None else network.initialized(state, self.fitted)

    @cached_property
    def score(self) -> Score:
        """The function that scores a state on the validation split; its feed is made on first use."""
        validation, program = self.task.validation, self.program
        assert validation is not None
        spare_bytes = program.bytes_of_dispatch or 0
        feed = Feed(validation, program.feed.parallel, self.recipe.data.input, spare_bytes)
        return self.task.make_score(self.recipe, program.network, feed)


def prepare(recipe: Recipe, task: Task, workdir: AnyPath) -> Plan:
    """Return the plan of a training once nothing it needs is missing; nothing is compiled or written yet."""
    workdir, weights = Path(workdir), None
    with processes.together():
        check_recipe(workdir, recipe)
        recipe.check()
        parallel = make_parallel(recipe.engine.parallel)
        check_batch(recipe, task, parallel)
        check_writable(workdir, "choose another --workdir")  # not after minutes of compiling
        check_savable(workdir)
    resumed_step = processes.by_first(lambda: newest_step(workdir))
    if resumed_step is None and recipe.model.init:
        with processes.together():
            weights = initial_weights(recipe, task.class_names)
    feed = Feed(task.train, parallel, recipe.data.input)
    program = make_program(recipe, task, feed)
    fitted = None
    if weights is not None:
        fitted = fit_weights(program.network, recipe.model.name, weights)
        for line in (f"weights of {weights.source}", *fitted.notes, *normalization_notes(weights, recipe)):
            logger.info(line)
    logger.info(named_classes(task.class_names))
    logger.info(feed.choice)
    return Plan(recipe, task, program, weights, fitted)


def begin(plan: Plan, workdir: AnyPath) -> Plan:
    """Return the plan with its training step compiled, if steps are left; the work directory then belongs to this run.

    Call it with the lock of the work directory.
    """
    recipe, task, weights, program = plan.recipe, plan.task, plan.weights, plan.program
    workdir = Path(workdir)
    resumed_step = processes.by_first(lambda: newest_step(workdir))
    is_over = resumed_step is not None and is_finished(recipe, task, workdir, resumed_step)
    if not processes.from_first(is_over):
        program = compile_program(program, recipe, task, usable_bytes(program.feed.parallel))
    if resumed_step is None:
        task.write_notes(workdir)
    run = Run(
        recipe=recipe,
        class_names=task.class_names,
        data=task.train.name,
        train_examples=len(task.train),
        train_sha256=task.train.fingerprint(),
        weights_sha256=weights.sha256 if weights else None,
        learned_before=weights.trained_on if weights else (),
    )
    of_first = processes.from_first([run.train_sha256, run.weights_sha256])
    with processes.together():
        if of_first != [run.train_sha256, run.weights_sha256]:
            raise InputError(f"{task.train.name}: other training data or weights than the first process's")
        claim(workdir, run)
    return replace(plan, program=program)


def named_classes(names: tuple[str, ...]) -> str:
    """Return a line with the classes (or labels) to be learned, the first twenty by name."""
    more = f", ... ({len(names) - 20} more)" if len(names) > 20 else ""
    return f"{len(names)} classes: {', '.join(names[:20])}{more}"


def check_batch(recipe: Recipe, task: Task, parallel: Parallel) -> None:
    """Raise InputError where a batch cannot be divided over the devices, or is larger than the training split."""
    batch_size, train = recipe.engine.batch_size, task.train
    parallel.check_batch(batch_size, "engine.batch_size")
    steps = recipe.engine.epochs * (len(train) // batch_size)
    if steps >= 2**31:
        raise InputError(f"engine.epochs={recipe.engine.epochs}: {steps:,} steps, more than int32 counts; set fewer")
    if len(train) < batch_size:
        raise InputError(
            f"engine.batch_size={batch_size}: more than the {len(train)} training {task.examples} of "
            f"{train.name}; choose a smaller one with --set engine.batch_size=N"
        )


def is_finished(recipe: Recipe, task: Task, workdir: Path, step: int) -> bool:
    """Return whether no training is left after a step: all epochs are done, or patience has ended the run."""
    engine = recipe.engine
    if step >= engine.epochs * (len(task.train) // engine.batch_size):
        return True
    validations = read_validations(workdir, step)
    best = best_of(validations)
    return engine.patience is not None and best is not None and validations[-1].epoch - best.epoch >= engine.patience


def initial_weights(recipe: Recipe, class_names: tuple[str, ...]) -> WeightFile:
    """Read the weights that `model.init` names: a published file, or the work directory of another run."""
    assert recipe.model.init is not None
    place = Path(recipe.model.init).expanduser()
    return weights_of_run(place, recipe.model.name, class_names) if place.is_dir() else read_weights(recipe.model.init)


def normalization_notes(weights: WeightFile, recipe: Recipe) -> list[str]:
    """Return a line of advice where the weights were trained on images normalised otherwise than the recipe's."""
    ours, theirs = statistics(recipe.data), weights.normalization
    if theirs is None or (np.shape(theirs) == np.shape(ours) and np.allclose(theirs, ours)):
        return []
    mean, std = (",".join(map(str, values)) for values in theirs)
    return [f"these weights expect --set data.mean={mean} --set data.std={std}"]
