"""The training loop: one function, read from top to bottom, that can be resumed after any step.

After every epoch the validation split scores the parameters. With `engine.patience` training stops after that many
epochs without a better score. With `engine.keep=best` the checkpoint of the best epoch is the result. Both are decided
from the history file alone, which is cut back to the checkpoint that a run resumes from. So a run that was killed takes
the same decisions as one that was not.
"""

import logging
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np

from mtsccd_jax import processes
from mtsccd_jax.data.bands import unusable_band
from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.engine.checkpoint import Checkpoints
from mtsccd_jax.engine.compilation import run_cache
from mtsccd_jax.engine.feed import LATE
from mtsccd_jax.engine.finite import check_finite_state
from mtsccd_jax.engine.prepare import Plan, begin, prepare
from mtsccd_jax.engine.program import Metrics
from mtsccd_jax.engine.task import Task
from mtsccd_jax.engine.workdir import History, StepRecord, Validation, only_training, warn_of_lost_steps
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import AnyPath
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
    """The result of a training.

    Attributes:
        loss: Mean of the last epoch.
        images_per_s: Rate of the median step.
        compile_s: Seconds that compiling the training step took; None where no step was left to train.
        train_s: Seconds in all, compiling included.
        batch_size: Images or pairs of a step, of all devices together.
        checkpoint: The checkpoint that is the result, of the last step or of the best epoch.
        stopped_early: Whether patience ended the training.
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


def fit(recipe: Recipe, task: Task, workdir: AnyPath) -> Fit:
    """Train the network of a recipe on a task, or continue where its work directory stopped.

    Raises:
        InputError: The recipe, its batch size or the work directory cannot be used, or another training runs there.
        RunError: A loss, a gradient, a parameter or a running statistic is not finite.
        Stopped: SIGINT, SIGTERM or SIGUSR1 arrived in one of its processes; the state is saved.
    """
    workdir = Path(workdir)
    engine, keep_best, started = recipe.engine, recipe.engine.keep == "best", time.perf_counter()
    plan = prepare(recipe, task, workdir)  # nothing is written for a recipe that is refused
    with ExitStack() as stack:
        stack.enter_context(only_training(workdir))
        stack.enter_context(run_cache(workdir))
        plan = begin(plan, workdir)
        program, steps_per_epoch = plan.program, plan.steps_per_epoch
        last_step = engine.epochs * steps_per_epoch

        checkpoints = stack.enter_context(Checkpoints(workdir))
        agenda = Agenda(stack.enter_context(stop_requested()), engine.checkpoint_every_s)
        state = plan.first_state(checkpoints)
        step = int(state.step)
        # The epoch of the last saved step is visited again: it may lack steps, or only its validation.
        first_epoch = max(step - 1, 0) // steps_per_epoch
        history = stack.enter_context(closing(History(workdir, step)))
        check_history(history, engine, first_epoch)
        warn_of_lost_steps(workdir, history.records, step)
        if keep_best and history.best:
            checkpoints.mark_best(history.best.step)
        metrics_log = MetricsLog(history, plan.images_per_step, partial(unusable_band_of, recipe, task, plan))
        advance = stack.enter_context(bar("train"))

        for epoch in range(first_epoch, engine.epochs):
            order = batch_indices(recipe.seed, epoch, len(task.train), engine.batch_size, *program.feed.processes)
            with program.dispatches(order[step - epoch * steps_per_epoch :]) as dispatches:
                metrics_log.start_clock()
                for steps, dispatch in dispatches:
                    state, metrics = dispatch(state)
                    step += steps
                    metrics_log.add(step, epoch, metrics, program.compiled_sizes)
                    advance(step, last_step, progress_text(history, engine.epochs))

                    due = agenda.after(step)
                    if due.saves:
                        metrics_log.write_all()  # the history must never lag behind a checkpoint
                        checkpoints.save(state, wait=due.signum is not None)
                        agenda.saved()
                    if due.signum is not None:
                        raise Stopped(due.signum)
            metrics_log.write_all()
            check_finite_state(state)

            if task.validation is not None and not history.is_validated(step):
                score = processes.from_first(plan.score(state))
                check_finite(step, {task.score_name: score})
                validation = Validation(step, epoch, task.score_name, score)
                history.add_validation(validation)  # before the checkpoint: a resumed run looks for both
                if keep_best and history.best == validation:
                    checkpoints.mark_best(step)
                    checkpoints.save(state)
                logger.info(validation_text(history, engine.epochs))

            if engine.patience is not None and history.epochs_without_better >= engine.patience:
                break

        checkpoints.save(state, wait=True)
        with processes.together():
            agenda.ask()  # all have asked before the first decides
        if (signum := agenda.now(step).signum) is not None:  # since the last step
            raise Stopped(signum)
        result_step = history.best.step if keep_best and history.best else step
        return Fit(
            step=step,
            loss=history.mean_loss(steps_per_epoch),
            images_per_s=history.median_images_per_s,
            compile_s=program.compile_s,
            train_s=time.perf_counter() - started,
            batch_size=engine.batch_size,
            checkpoint=checkpoints.path(result_step),
            best=history.best,
            stopped_early=step < last_step,
        )


def progress_text(history: History, epochs: int) -> str:
    """Return the text behind the progress bar: epoch, loss and images/s of the last step in the history."""
    if not history.records:
        return "compiling"
    last = history.records[-1]
    rate = f"{last.images_per_s:,.0f} images/s" if last.images_per_s else ""
    return f"epoch {last.epoch + 1}/{epochs}  loss {last.loss:.3f}  {rate}"


def validation_text(history: History, epochs: int) -> str:
    """Return the line about the last validation; the loss is unknown where the history file was lost."""
    last, loss = history.validations[-1], history.mean_loss(1)
    known = "unknown" if loss is None else f"{loss:.4f}"
    return f"epoch {last.epoch + 1:>3}/{epochs}  loss {known}  validation {last.score_name} {last.score:.4f}"


def check_history(history: History, engine: Engine, epochs: int) -> None:
    """Raise InputError where the history lacks validations that decide the result of the run."""
    if (engine.patience is not None or engine.keep == "best") and len(history.validations) < epochs:
        raise InputError(
            f"{history.path}: holds {len(history.validations)} validations, but {epochs} epochs have been trained; "
            "which was the best cannot be known any more: train in a new --workdir"
        )


def unusable_band_of(recipe: Recipe, task: Task, plan: Plan, step: int) -> str:
    """Return what is wrong with the bands of the batch of a step, or ""."""
    epoch, place = divmod(step - 1, plan.steps_per_epoch)
    batch_size, part = recipe.engine.batch_size, plan.program.feed.processes
    return unusable_band(task.train, batch_indices(recipe.seed, epoch, len(task.train), batch_size, *part)[place])


def no_cause(step: int) -> str:
    """Return the cause of a step whose metrics are not finite, where none is looked for."""
    return ""


class MetricsLog:
    """Write the metrics of dispatches to the history, each of them LATE dispatches after it was started.

    Reading a metric waits for the device. Because metrics are read late, the device always has its next steps already.
    `cause_of` takes a step whose metrics are not finite, and returns what is wrong with its batch, or "".
    """

    def __init__(self, history: History, images_per_step: int, cause_of: Callable[[int], str] = no_cause):
        self._history, self._images_per_step, self._cause_of = history, images_per_step, cause_of
        self._pending: deque[tuple[int, int, Metrics]] = deque()
        self._clock = time.perf_counter()
        self._compiled_sizes: tuple[int, ...] = ()
        self._reads_without_rate = 0

    def start_clock(self) -> None:
        """Start to measure the time of the next dispatch."""
        self._clock = time.perf_counter()

    def add(self, last_step: int, epoch: int, metrics: Metrics, compiled_sizes: tuple[int, ...]) -> None:
        """Take the metrics of the dispatch that ends with `last_step`; write those of the dispatch LATE before it.

        A dispatch that had to wait for the compiler is noticed by new `compiled_sizes`; its rate is not recorded, and
        its metrics are written at once: whoever waits for the first loss has waited long enough.
        """
        waited = compiled_sizes != self._compiled_sizes
        if waited:
            self._compiled_sizes, self._reads_without_rate = compiled_sizes, LATE + 1
        self._pending.append((last_step, epoch, metrics))
        self._write(0 if waited else LATE)

    def write_all(self) -> None:
        """Write the metrics of all dispatches so far; this waits for the device."""
        self._write(0)

    def _write(self, late: int) -> None:
        """Write the metrics of all dispatches but the last `late` ones."""
        while len(self._pending) > late:
            last_step, epoch, metrics = self._pending.popleft()
            values = {name: np.atleast_1d(value) for name, value in jax.device_get(metrics).items()}
            now, before = time.perf_counter(), self._clock
            self._clock = now
            steps = len(values["loss"])
            rate = None if self._reads_without_rate else steps * self._images_per_step / (now - before)
            self._reads_without_rate = max(self._reads_without_rate - 1, 0)
            for place, step in enumerate(range(last_step - steps + 1, last_step + 1)):
                record = {name: float(value[place]) for name, value in values.items()}
                check_finite(step, record, self._cause_of)
                self._history.extend([StepRecord(step=step, epoch=epoch, images_per_s=rate, **record)])


def check_finite(step: int, metrics: dict[str, float], cause_of: Callable[[int], str] = no_cause) -> None:
    """Raise RunError where a metric of a step is not finite, with the band that explains it, if one does."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            cause = cause_of(step)
            remedy = (
                f"{cause}; build the data set without it"
                if cause
                else "lower optim.learning_rate or set optim.clip_norm"
            )
            raise RunError(f"step {step}: {name} is {value}; {remedy}, and start in a new --workdir")


@dataclass(frozen=True)
class Due:
    """What to do after a step: save the state, and stop where a signal asks for it."""

    saves: bool = False
    signum: int | None = None


class Agenda:
    """Decide after which steps to save and to stop; of several processes the first decides, and all do so together.

    Clocks differ, and signals arrive here and there, but a checkpoint is saved by all processes after one step. So the
    first one decides about once a second, and tells the others what is due and the step of its next decision.
    """

    def __init__(self, stop_signal: Callable[[], int | None], save_every_s: float):
        self._stop_signal, self._save_every_s = stop_signal, save_every_s
        self._saved_at = self._decided_at = time.monotonic()
        self._next, self._ahead = 0, 1
        self._has_asked = False

    def after(self, step: int) -> Due:
        """Return what to do after a step."""
        if processes.count() == 1:
            return self._decide()
        self.ask()
        return self.now(step) if step >= self._next else Due()

    def ask(self) -> None:
        """Tell the first of several processes of a signal that has arrived here."""
        if processes.count() > 1 and not self._has_asked and (signum := self._stop_signal()) is not None:
            self._has_asked = True
            processes.ask("stop", signum)

    def saved(self) -> None:
        """Begin the time to the next save: saving waits for the save before it."""
        self._saved_at = time.monotonic()

    def now(self, step: int) -> Due:
        """Return what to do after a step, decided now."""
        due = self._decide() if processes.is_first() else Due()
        ahead = self._steps_of_a_second()
        decided: dict[str, Any] = processes.from_first({**asdict(due), "next": step + ahead})
        self._next = decided.pop("next")
        return Due(**decided)

    def _decide(self) -> Due:
        signum, now = self._stop_signal(), time.monotonic()
        if signum is None and processes.count() > 1:
            signum = next(iter(processes.asked("stop")), None)
        return Due(signum is not None or now - self._saved_at > self._save_every_s, signum)

    def _steps_of_a_second(self) -> int:
        """Return how many steps to take until the next decision: those of a second, at most twice as many as before.

        They grow slowly, because the first dispatches return before they are computed.
        """
        now, before = time.monotonic(), self._decided_at
        self._decided_at = now
        self._ahead = max(1, min(2 * self._ahead, int(self._ahead / max(now - before, 1e-3))))
        return self._ahead


@contextmanager
def stop_requested() -> Iterator[Callable[[], int | None]]:
    """Give a function that returns the signal that has arrived, SIGINT, SIGTERM or SIGUSR1, or None.

    Schedulers send SIGUSR1 some time before they end a job, and then SIGTERM. A second SIGINT or SIGTERM has its usual
    effect and stops the process at once.
    """
    arrived: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        arrived.append(signum)
        if signum != signal.SIGUSR1:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, previous[number])

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # Python lets no other thread install handlers
        signals = signal.SIGINT, signal.SIGTERM, signal.SIGUSR1
        previous = {signum: signal.signal(signum, note) for signum in signals}
    try:
        yield lambda: arrived[0] if arrived else None
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
