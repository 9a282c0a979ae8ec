"""Everything that comes before the first step of a training: checks, batch, weights, compilation, the work directory.

What can be wrong is found here, before minutes of computing, and before the work directory belongs to the run.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtsccd_jax.data.bands import statistics
from mtsccd_jax.data.sources import views
from mtsccd_jax.engine.batch_size import compile_program
from mtsccd_jax.engine.checkpoint import Checkpoints, newest_step
from mtsccd_jax.engine.export import weights_of_run
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.memory import usable_bytes
from mtsccd_jax.engine.parallel import Parallel, make_parallel
from mtsccd_jax.engine.program import Program, make_program
from mtsccd_jax.engine.state import State, fit_weights
from mtsccd_jax.engine.task import Score, Task
from mtsccd_jax.engine.workdir import Run, best_of, check_recipe, claim, read_validations
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import check_writable
from mtsccd_jax.models.weights.files import WeightFile
from mtsccd_jax.models.weights.files import read as read_weights
from mtsccd_jax.models.weights.mapping import Fitted
from mtsccd_jax.recipes.config import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A training that can start.

    Attributes:
        recipe: its recipe.
        task: its data, loss and score.
        program: its training step, compiled where steps are left.
        weights: the weights that a new run begins with, None for random ones and for a run that resumes.
        fitted: the same as arrays of the network.
    """

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
        """Images of a batch, two for each pair."""
        return self.recipe.engine.batch_size * len(views(self.task.train))

    def first_state(self, checkpoints: Checkpoints) -> State:
        """Return the state of the newest checkpoint, or that of a new run with its initial weights."""
        network = self.program.network
        if checkpoints.latest is not None:
            logger.info(f"continuing at step {checkpoints.latest}")
            return checkpoints.restore(network.abstract())
        state = network.initial(self.recipe.seed)
        if self.weights is None or self.fitted is None:
            return state
        notes = (*self.fitted.notes, *normalization_notes(self.weights, self.recipe))
        for line in (f"weights of {self.weights.source}", *notes):
            logger.info(line)
        return network.initialized(state, self.fitted)

    def make_score(self) -> Score:
        """Return the function that scores a state on the validation split."""
        assert self.task.validation is not None
        feed = Feed(
            self.task.validation,
            self.program.feed.parallel,
            self.recipe.data.input,
            spare_bytes=self.program.bytes_of_dispatch or 0,
        )
        return self.task.make_score(self.recipe, self.program.network, feed)


def prepare(recipe: Recipe, task: Task, workdir: Path) -> Plan:
    """Return the plan of a training, once everything that it needs is known to be there.

    The training step is compiled where steps are left. Then the work directory is this run's.

    Raises:
        InputError: the recipe, its batch or the work directory cannot be used.
    """
    check_recipe(workdir, recipe)
    recipe.check()
    parallel = make_parallel(recipe.engine.parallel)
    check_batch(recipe, task, parallel)
    check_writable(workdir, "choose another --workdir")  # not after minutes of compiling
    resumed_step = newest_step(workdir)
    weights = initial_weights(recipe, task.class_names) if resumed_step is None and recipe.model.init else None
    feed = Feed(task.train, parallel, recipe.data.input)
    program = make_program(recipe, task, feed)
    fitted = fit_weights(program.network, recipe.model.name, weights) if weights else None
    logger.info(feed.choice)
    if resumed_step is None or not is_finished(recipe, task, workdir, resumed_step):
        program = compile_program(program, recipe, task, usable_bytes(parallel))
    if resumed_step is None:
        task.write_notes(workdir)
    claim(
        workdir,
        Run(
            recipe,
            task.class_names,
            task.train.name,
            len(task.train),
            weights_sha256=weights.sha256 if weights else None,
            train_sha256=task.train.fingerprint(),
            learned_before=weights.trained_on if weights else (),
        ),
    )
    return Plan(recipe, task, program, weights, fitted)


def check_batch(recipe: Recipe, task: Task, parallel: Parallel) -> None:
    """Raise InputError where a batch cannot be divided over the devices, or is larger than the training split."""
    batch_size, train = recipe.engine.batch_size, task.train
    parallel.check_batch(batch_size, "engine.batch_size")
    parallel.check_batch(recipe.engine.eval_batch_size, "engine.eval_batch_size")
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
    """Read the weights that `model.init` names: a published file, or the work directory of another run.

    Raises:
        InputError: they cannot be read, or the work directory holds another network.
    """
    assert recipe.model.init is not None
    place = Path(recipe.model.init).expanduser()
    return weights_of_run(place, recipe.model.name, class_names) if place.is_dir() else read_weights(recipe.model.init)


def normalization_notes(weights: WeightFile, recipe: Recipe) -> list[str]:
    """Return a line of advice where the weights were trained on images normalised in another way than the recipe's."""
    ours, theirs = statistics(recipe.data), weights.normalization
    if theirs is None or (np.shape(theirs) == np.shape(ours) and np.allclose(theirs, ours)):
        return []
    mean, std = (",".join(map(str, values)) for values in theirs)
    return [f"these weights expect --set data.mean={mean} --set data.std={std}"]
