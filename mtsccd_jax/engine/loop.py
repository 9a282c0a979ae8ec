"""The training loop: one, read top to bottom, resumable at any moment.

After every epoch the validation split judges the parameters. With `engine.patience` training stops after so many epochs
without a better one; with `engine.keep=best` the checkpoint of the best epoch is the result. Both are decided by the
history of validations alone, which is cut back to the checkpoint that a run goes on from.
"""

import logging
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np

from mtsccd_jax.data.bands import statistics
from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.data.sources import views
from mtsccd_jax.engine.batch_size import compile_program, largest_program, with_batch
from mtsccd_jax.engine.checkpoint import Checkpoints, has_checkpoint
from mtsccd_jax.engine.compilation import run_cache
from mtsccd_jax.engine.export import weights_of_run
from mtsccd_jax.engine.feed import LATE, Feed
from mtsccd_jax.engine.memory import USABLE_SHARE, free_bytes
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.program import Metrics, Program, make_program
from mtsccd_jax.engine.state import State, fit_weights
from mtsccd_jax.engine.task import Score, Task
from mtsccd_jax.engine.workdir import (
    RECIPE_FILE,
    History,
    Run,
    StepRecord,
    Validation,
    check_recipe,
    claim,
    load,
)
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import check_writable
from mtsccd_jax.models.weights.files import WeightFile
from mtsccd_jax.models.weights.files import read as read_weights
from mtsccd_jax.progress import bar
from mtsccd_jax.recipes.config import Engine, Recipe

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """A signal asked the run to stop; its state is saved."""

    def __init__(self, signum: int):
        super().__init__(f"stopped by {signal.Signals(signum).name} after saving; the same command continues")
        self.signum = signum


@dataclass(frozen=True)
class Fit:
    """What training came to.

    Attributes:
        step: the last step.
        loss: mean of the last epoch.
        images_per_s: of the median step.
        compile_s: how long the compiler took for the training step; None where nothing was left to train.
        train_s: how long it took, with that.
        batch_size: images or pairs of a step, of all devices together.
        checkpoint: the result, of the last step or of the best epoch.
        best: the best validation, None without any.
        stopped_early: whether patience ended the training.
    """

    step: int
    loss: float | None
    images_per_s: float | None
    compile_s: float | None
    train_s: float
    batch_size: int
    checkpoint: Path
    best: Validation | None
    stopped_early: bool


def fit(recipe: Recipe, task: Task, workdir: Path, *, largest_batch: bool = False) -> Fit:
    """Train the recipe's network on a task, or continue where its work directory stopped.

    With `largest_batch` the batch is not the recipe's but the largest that fits, or the one that the run began with.
    Compiled programs are kept in the work directory.

    Raises:
        InputError: the recipe, its data, its batch or the work directory cannot be used.
        RunError: a loss or gradient is not finite.
        Stopped: SIGINT or SIGTERM arrived; the state is saved.
    """
    if largest_batch and (workdir / RECIPE_FILE).exists():
        recipe, largest_batch = with_batch(recipe, load(workdir).recipe.engine.batch_size), False
    check_recipe(workdir, recipe)
    check_stopping(recipe.engine)
    parallel = make_parallel(recipe.engine.parallel)
    if not largest_batch:
        parallel.check_batch(recipe.engine.batch_size, "engine.batch_size")
    parallel.check_batch(recipe.engine.eval_batch_size, "engine.eval_batch_size")
    train = task.train
    if largest_batch and len(train) < parallel.mesh.size:
        raise InputError(f"{train.name}: {len(train)} training {task.examples}, less than one for each device")
    if not largest_batch and len(train) < recipe.engine.batch_size:
        raise InputError(
            f"engine.batch_size={recipe.engine.batch_size}: more than the {len(train)} training {task.examples} of "
            f"{train.name}; choose a smaller one with --set engine.batch_size=N"
        )
    check_writable(workdir, "choose another --workdir")  # not after minutes of compiling
    fresh = not has_checkpoint(workdir)
    weights = initial_weights(recipe, task.class_names) if fresh and recipe.model.init else None
    limit_bytes = int(USABLE_SHARE * free_bytes(parallel))
    feed = Feed(train, parallel, recipe.data.input)
    with run_cache(workdir):
        started = time.perf_counter()
        if largest_batch:
            logger.info(feed.choice)
            program = largest_program(recipe, task, feed, limit_bytes)
            recipe = with_batch(recipe, program.batch_size)
        else:
            program = make_program(recipe, task, feed)
        steps_per_epoch = len(train) // recipe.engine.batch_size
        fitted = fit_weights(program.network, recipe.model.name, weights) if weights else None
        if not largest_batch:
            logger.info(feed.choice)
        if fresh:  # before the work directory is this run's: a batch that cannot fit must leave it free
            program = compile_program(program, recipe, task, limit_bytes)
            task.write_notes(workdir)
        weights_sha256 = weights.sha256 if weights else None
        seen = weights.trained_on if weights else ()
        claim(workdir, Run(recipe, task.class_names, train.name, len(train), weights_sha256, train.fingerprint(), seen))
        network = program.network
        with Checkpoints(workdir) as checkpoints, stop_requested() as stop_signal:
            state = network.initial(recipe.seed) if fresh else checkpoints.restore(network.abstract())
            if not fresh:
                logger.info(f"continuing at step {checkpoints.latest}")
            if weights and fitted:
                state = network.initialized(state, fitted)
                for line in (f"weights of {weights.source}", *fitted.notes, *normalization_notes(weights, recipe)):
                    logger.info(line)
            history = History(workdir, int(state.step))
            try:
                check_history(history, recipe.engine, max(int(state.step) - 1, 0) // steps_per_epoch)
                trainer = Trainer(recipe, task, program, steps_per_epoch, history, limit_bytes)
                state = trainer.run(state, checkpoints, stop_signal)
            finally:
                history.close()
            checkpoints.save(state, wait=True)
            last_epoch = history.records[-steps_per_epoch:]
            keeps_best = recipe.engine.keep == "best" and history.best
            return Fit(
                step=int(state.step),
                loss=float(np.mean([record.loss for record in last_epoch])) if last_epoch else None,
                images_per_s=_median_rate(history),
                compile_s=trainer.program.compile_s,
                train_s=time.perf_counter() - started,
                batch_size=recipe.engine.batch_size,
                checkpoint=checkpoints.path(history.best.step if keeps_best and history.best else int(state.step)),
                best=history.best,
                stopped_early=int(state.step) < recipe.engine.epochs * steps_per_epoch,
            )


def check_stopping(engine: Engine) -> None:
    """Raises InputError where the recipe wants to stop or to choose by a validation that it does not make."""
    wanted = [f"engine.patience={engine.patience}"] if engine.patience is not None else []
    wanted += ["engine.keep=best"] if engine.keep == "best" else []
    if wanted and not engine.validate:
        raise InputError(f"{wanted[0]}: needs validation after every epoch; set engine.validate=true")
    if engine.patience is not None and engine.patience < 1:
        raise InputError(f"engine.patience={engine.patience}: must be 1 epoch or more, or none to never stop early")


def check_history(history: History, engine: Engine, epochs: int) -> None:
    """Raises InputError where validations that decide what comes of the run are missing from its history."""
    if (engine.patience is not None or engine.keep == "best") and len(history.validations) < epochs:
        raise InputError(
            f"{history.path}: holds {len(history.validations)} validations, but {epochs} epochs have been trained; "
            "which was the best cannot be known any more: train in a new --workdir"
        )


def initial_weights(recipe: Recipe, class_names: tuple[str, ...]) -> WeightFile:
    """The weights that the recipe's `model.init` names: a published file, or the work directory of another run.

    Raises:
        InputError: they cannot be read, or the work directory holds another network.
    """
    assert recipe.model.init is not None
    place = Path(recipe.model.init).expanduser()
    return weights_of_run(place, recipe.model.name, class_names) if place.is_dir() else read_weights(recipe.model.init)


def normalization_notes(weights: WeightFile, recipe: Recipe) -> list[str]:
    """A line where published weights were trained on images that were normalised otherwise than the recipe's."""
    ours, theirs = statistics(recipe.data), weights.normalization
    if theirs is None or (np.shape(theirs) == np.shape(ours) and np.allclose(theirs, ours)):
        return []
    mean, std = (",".join(map(str, values)) for values in theirs)
    return [f"these weights expect --set data.mean={mean} --set data.std={std}"]


class Trainer:
    """The parts of a running training, so that an epoch and a step can be told apart."""

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        program: Program,
        steps_per_epoch: int,
        history: History,
        limit_bytes: int,
    ):
        self.recipe, self.task, self.program, self.history = recipe, task, program, history
        self.steps_per_epoch, self.limit_bytes = steps_per_epoch, limit_bytes
        self.score: Score | None = None
        self.clock = time.perf_counter()
        self.pending: deque[tuple[int, int, Metrics]] = deque()
        # Programs that have been dispatched, and how many of the next dispatches to read say nothing of speed.
        self.compiled: tuple[int, ...] = ()
        self.unclocked = 0

    def run(self, state: State, checkpoints: Checkpoints, stop_signal: Callable[[], int | None]) -> State:
        """All epochs from where the state stands, with a checkpoint now and then.

        Raises:
            RunError: a loss or gradient is not finite.
            Stopped: a signal arrived; the state is saved.
        """
        engine, saved_at, first_step = self.recipe.engine, time.monotonic(), int(state.step)

        def after_step(step: int, state: State) -> None:
            nonlocal saved_at
            advance(step, engine.epochs * self.steps_per_epoch, self._text())
            signum = stop_signal()
            if signum is not None or time.monotonic() - saved_at > engine.checkpoint_every_s:
                self.read_metrics(late=0)
                checkpoints.save(state, wait=signum is not None)
                saved_at = time.monotonic()
            if signum is not None:
                raise Stopped(signum)

        if engine.keep == "best" and self.history.best:
            checkpoints.mark_best(self.history.best.step)
        # A run that goes on does so in the epoch of its last step, which may have been killed before its validation.
        first_epoch = max(first_step - 1, 0) // self.steps_per_epoch
        with bar("train") as advance:
            for epoch in range(first_epoch, engine.epochs):
                done = max(first_step - epoch * self.steps_per_epoch, 0)
                if done < self.steps_per_epoch:
                    state = self.epoch(state, epoch, done, after_step)
                self.validate(state, epoch, checkpoints)
                if engine.patience is not None and self.history.epochs_without_better >= engine.patience:
                    break
        return state

    def prepare(self) -> None:
        """Nothing; compiles the training step where that has not been done, and says how validation is read.

        Raises:
            InputError: the batch does not fit.
        """
        if not self.program.compiled_sizes:
            self.program = compile_program(self.program, self.recipe, self.task, self.limit_bytes)
        if self.score is None and self.task.validation is not None:
            feed = Feed(
                self.task.validation,
                self.program.feed.parallel,
                self.recipe.data.input,
                spare_bytes=self.program.bytes_of_dispatch or 0,
            )
            self.score = self.task.make_score(self.recipe, self.program.network, feed)

    def epoch(self, state: State, epoch: int, done: int, after_step: Callable[[int, State], None]) -> State:
        """The state after the steps of one epoch that follow its first `done`.

        `after_step(step, state)` sees it after every dispatch, which may be of several steps.
        """
        self.prepare()
        feed, batch_size = self.program.feed, self.recipe.engine.batch_size
        order = batch_indices(self.recipe.seed, epoch, len(feed.source), batch_size, *feed.processes)
        step = epoch * self.steps_per_epoch + done
        with self.program.dispatches(order[done:]) as dispatches:
            self.clock = time.perf_counter()
            for steps, dispatch in dispatches:
                if self.program.compiled_sizes != self.compiled:  # these dispatches wait for the compiler
                    self.compiled, self.unclocked = self.program.compiled_sizes, LATE + 1
                state, metrics = dispatch(state)
                step += steps
                self.note(step, epoch, metrics)
                after_step(step, state)
        self.read_metrics(late=0)
        return state

    def note(self, step: int, epoch: int, metrics: Metrics) -> None:
        """Takes the metrics of a dispatch that ends with `step`, and reads those of the dispatch LATE before it."""
        self.pending.append((step, epoch, metrics))
        self.read_metrics(late=LATE)

    def read_metrics(self, late: int) -> None:
        """Writes the metrics of all but the newest `late` dispatches to the history.

        Raises:
            RunError: one of them is not finite.
        """
        while len(self.pending) > late:
            last, epoch, metrics = self.pending.popleft()
            values = {name: np.atleast_1d(value) for name, value in jax.device_get(metrics).items()}
            now, before = time.perf_counter(), self.clock
            self.clock = now
            steps = len(values["loss"])
            images = steps * self.recipe.engine.batch_size * len(views(self.task.train))
            rate = images / (now - before) if not self.unclocked else None
            self.unclocked = max(self.unclocked - 1, 0)
            for place, step in enumerate(range(last - steps + 1, last + 1)):
                self._record(step, epoch, rate, {name: float(value[place]) for name, value in values.items()})

    def _record(self, step: int, epoch: int, rate: float | None, values: dict[str, float]) -> None:
        """Adds a step to the history, or raises RunError where something of it is not finite."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise RunError(
                    f"step {step}: {name} is {value}; lower optim.learning_rate or set optim.clip_norm, "
                    "and start in a new --workdir"
                )
        self.history.extend([StepRecord(step=step, epoch=epoch, images_per_s=rate, **values)])

    def validate(self, state: State, epoch: int, checkpoints: Checkpoints) -> None:
        """Adds what the validation split says after an epoch to the history, once, and saves the best where asked to.

        The history comes first: a checkpoint that is found there later must find the validations before it.
        """
        step = (epoch + 1) * self.steps_per_epoch
        if self.task.validation is None or any(validation.step == step for validation in self.history.validations):
            return
        self.prepare()
        assert self.score is not None
        validation = Validation(step, epoch, self.task.score_name, self.score(state))
        self.history.add_validation(validation)
        if self.recipe.engine.keep == "best" and self.history.best == validation:
            checkpoints.mark_best(step)
            checkpoints.save(state)
        logger.info(
            f"epoch {epoch + 1:>3}/{self.recipe.engine.epochs}  loss {self.history.records[-1].loss:.4f}  "
            f"validation {validation.score_name} {validation.score:.4f}"
        )

    def _text(self) -> str:
        """What stands behind the bar: epoch, loss, images/s."""
        if not self.history.records:
            return "compiling"
        last = self.history.records[-1]
        rate = f"{last.images_per_s:,.0f} images/s" if last.images_per_s else ""
        return f"epoch {last.epoch + 1}/{self.recipe.engine.epochs}  loss {last.loss:.3f}  {rate}"


def _median_rate(history: History) -> float | None:
    """Images/s of the median step, over the steps whose rate is known."""
    rates = [record.images_per_s for record in history.records if record.images_per_s]
    return float(np.median(rates)) if rates else None


@contextmanager
def stop_requested() -> Iterator[Callable[[], int | None]]:
    """A function that says which of SIGINT and SIGTERM has arrived, if any; the second one stops at once."""
    arrived: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        arrived.append(signum)
        for number, handler in previous.items():
            signal.signal(number, handler)

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # Python lets no other thread install handlers
        previous = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: arrived[0] if arrived else None
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
