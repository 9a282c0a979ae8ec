"""The folder of one experiment: its recipe, and the history of its training step by step."""

import fcntl
import json
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import IO, Any, get_type_hints

import numpy as np

from mtsccd_jax import checksums, processes
from mtsccd_jax.errors import InputError, one_line
from mtsccd_jax.files import AnyPath, check_utf8, read_bytes, replacing, utf8
from mtsccd_jax.recipes.config import Recipe, from_dict, identity, to_dict
from mtsccd_jax.recipes.values import checked

RECIPE_FILE = "recipe.json"
HISTORY_FILE = "training.jsonl"
LOCK_FILE = "training.lock"
# Seconds until all hosts must see a file that one of them wrote: network disks remember for a while what they lack.
_SEEN_AFTER_S = float(os.environ.get("MTSCCD_SEEN_AFTER_S", "60"))

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """The training that a work directory belongs to.

    Attributes:
        weights_sha256: Checksum of the initial weights (a published file, or another run's); None for random ones.
        train_sha256: Fingerprint of the training data; None in work directories that were written without it.
        learned_before: Names of the data that the initial weights were trained on, where they are known.
        workdir: Where the work directory lay when it was made, absolute; None in those that were written without it.
    """

    recipe: Recipe
    class_names: tuple[str, ...]
    data: str
    train_examples: int
    weights_sha256: str | None = None
    train_sha256: str | None = None
    learned_before: tuple[str, ...] = ()
    workdir: str | None = None


# Keys of the recipe that no training depends on.
_AFTER_TRAINING = ("scene.", "labels.", "retrieval.", "change.", "evaluation.", "engine.eval_batch_size")


def check_recipe(workdir: Path, recipe: Recipe) -> None:
    """Raise InputError, with the keys that differ, where the work directory holds another recipe."""
    if (workdir / RECIPE_FILE).exists():
        old, new = identity(load(workdir).recipe), identity(recipe)
        differing = [
            f"{key} ({old.get(key)} there, {value} asked for)"
            for key, value in new.items()
            if old.get(key) != value and not key.startswith(_AFTER_TRAINING)
        ]
        _refuse_others(workdir, differing)


def claim(workdir: AnyPath, run: Run) -> None:
    """Make the work directory this run's, or check that it already is.

    Raises:
        InputError: It holds another recipe, other classes, weights or training data; the message names the difference.
    """
    workdir = Path(workdir)
    check_recipe(workdir, run.recipe)
    if (workdir / RECIPE_FILE).exists():
        present, differing = load(workdir), []
        if present.class_names != run.class_names:
            differing.append(f"classes ({len(present.class_names)} there, {len(run.class_names)} asked for)")
        if run.weights_sha256 not in (None, present.weights_sha256):
            differing.append("the weights in model.init (another file of that name)")
        if present.train_examples != run.train_examples:
            differing.append(f"training examples ({present.train_examples} there, {run.train_examples} now)")
        elif None not in (present.train_sha256, run.train_sha256) and present.train_sha256 != run.train_sha256:
            differing.append("the training data (as many examples, other ones)")
        _refuse_others(workdir, differing)
        return
    recipe = with_places(run.recipe, lambda place: str(Path(place).expanduser().absolute()))
    values = asdict(run) | {"recipe": to_dict(recipe), "workdir": str(workdir.absolute())}
    with replacing(workdir / RECIPE_FILE) as stream:
        stream.write(utf8(json.dumps(checksums.with_sha256(values), indent=1, ensure_ascii=False) + "\n"))


def with_places(recipe: Recipe, change: Callable[[str], str]) -> Recipe:
    """Return the recipe with each place where its data lie changed."""
    data = recipe.data
    places = data.data_dir, data.folder, data.pairs
    data_dir, folder, pairs = (None if place is None else change(place) for place in places)
    return replace(recipe, data=replace(data, data_dir=data_dir, folder=folder, pairs=pairs))


def found_again(run: Run, workdir: Path) -> Recipe:
    """Return the recipe of a work directory with the places where its data lie now.

    A place that is gone may have been moved together with the work directory, and then lies beside it as before. A
    relative place (of an older version) is looked for from here, then beside the work directory.
    """
    workdir = workdir.absolute()

    def found(place: str) -> str:
        if Path(place).expanduser().exists():
            return place
        beside = [near / place for near in (workdir, *workdir.parents[:3]) if not Path(place).is_absolute()]
        if run.workdir is not None:
            beside = [Path(os.path.normpath(workdir / os.path.relpath(place, run.workdir)))]
        for moved in beside:
            if moved.exists():
                logger.warning(f"{place} is not there; taking {moved}, which lies beside the work directory")
                return str(moved)
        return place

    return with_places(run.recipe, found)


def _refuse_others(workdir: Path, differing: Sequence[str]) -> None:
    if differing:
        raise InputError(f"{workdir}: holds another run; differing: {', '.join(differing)}. Choose another --workdir")


def load(workdir: AnyPath) -> Run:
    """Read the run of a work directory.

    Raises:
        InputError: It holds none, or its recipe file cannot be read.
    """
    path = Path(workdir) / RECIPE_FILE
    if not path.exists():
        raise InputError(f"{workdir}: no trained run here ({RECIPE_FILE} is missing); run `mtsccd-jax train` first")
    check_utf8(workdir, "rename the folder")
    try:
        stored = checksums.without_sha256(json.loads(read_bytes(path)))
        there = [item.name for item in fields(Run) if item.default is MISSING or item.name in stored]
        hints = get_type_hints(Run) | {"recipe": dict}
        values = {name: checked(stored[name], hints[name], name) for name in there}
        return Run(**values | {"recipe": from_dict(values["recipe"])})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:  # InputError is a ValueError
        reason = f"{error} is missing" if isinstance(error, KeyError) else one_line(str(error))
        raise InputError(
            f"{path}: not a recipe file ({reason}); put a copy of it back, or choose another --workdir"
        ) from None


@contextmanager
def only_training(workdir: Path) -> Iterator[None]:
    """Hold the lock of a work directory, in which one training at a time may write.

    The system frees the lock when the process ends in any way, so none is left behind. The file names its holder; by
    that the processes of a training see that they all have one folder before them.

    Raises:
        InputError: Another training holds it, or the hosts do not share the file system that it is on.
    """
    with ExitStack() as stack:
        holder = processes.by_first(lambda: _lock(stack, workdir))
        with processes.together():
            _check_shared(workdir, holder)
        yield


def _lock(stack: ExitStack, workdir: Path) -> str:
    """Lock a work directory until the stack is closed, and return what the file says of the holder."""
    path = workdir / LOCK_FILE
    workdir.mkdir(parents=True, exist_ok=True)
    file = stack.enter_context(path.open("a+", encoding="utf-8"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        holder = file.read().strip() or "it does not say where"
        raise InputError(
            f"{workdir}: another training is running here ({holder}); wait for its end, stop it, or choose another "
            "--workdir"
        ) from None
    except OSError as error:
        logger.warning(f"{path}: this file system has no locks ({error.strerror}); start no second training here")
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    file.truncate(0)
    file.write(f"{holder}\n")
    file.flush()
    return holder


def _check_shared(workdir: Path, holder: str) -> None:
    """Raise InputError unless this process reads in the lock file what the first wrote; network disks take a while."""
    path, deadline = workdir / LOCK_FILE, time.monotonic() + _SEEN_AFTER_S
    while not (path.exists() and path.read_text(encoding="utf-8", errors="replace").strip() == holder):
        if time.monotonic() > deadline:
            raise InputError(
                f"{workdir}: {socket.gethostname()} does not see what the first process writes there; choose a "
                "--workdir on a file system that all hosts share"
            )
        time.sleep(0.2)


@dataclass(frozen=True)
class StepRecord:
    """One training step in the history."""

    step: int
    epoch: int
    loss: float
    accuracy: float
    gradient_norm: float
    learning_rate: float
    images_per_s: float | None = None


@dataclass(frozen=True)
class Validation:
    """The score of the validation split after an epoch, in the history; larger is better."""

    step: int
    epoch: int
    score_name: str
    score: float


class History:
    """The training history, one JSON line a step; lines beyond the checkpoint that is resumed are dropped.

    When training stops, and which parameters are kept, depends on this file alone: a resumed run decides as one that
    was never interrupted.
    """

    def __init__(self, workdir: Path, resume_step: int):
        self.path = workdir / HISTORY_FILE
        kept = [record for record in _read(self.path) if record.step <= resume_step]
        self.records = [record for record in kept if isinstance(record, StepRecord)]
        validations = [asdict(record) for record in kept if isinstance(record, Validation)]
        self.validations = [Validation(**values) for values in processes.from_first(validations)]
        with replacing(self.path) as stream:
            stream.write("".join(map(_line, kept)).encode())
        appended = self.path if processes.is_first() else Path(os.devnull)
        self._file: IO[str] = appended.open("a", encoding="utf-8")

    def extend(self, records: Iterable[StepRecord]) -> None:
        """Append records and flush them to the operating system."""
        for record in records:
            self.records.append(record)
            self._file.write(_line(record))
        self._file.flush()

    def add_validation(self, validation: Validation) -> None:
        """Append a validation and flush it to the operating system."""
        self.validations.append(validation)
        self._file.write(_line(validation))
        self._file.flush()

    @property
    def best(self) -> Validation | None:
        """The best validation so far, the first among equals; None before the first."""
        return best_of(self.validations)

    @property
    def epochs_without_better(self) -> int:
        """The number of epochs validated since the best one."""
        best = self.best
        return self.validations[-1].epoch - best.epoch if best else 0

    def is_validated(self, step: int) -> bool:
        """Return whether the parameters after this step have been scored on the validation split."""
        return any(validation.step == step for validation in self.validations)

    def mean_loss(self, steps: int) -> float | None:
        """Return the mean loss of the last steps, None where none are known."""
        losses = [record.loss for record in self.records[-steps:]]
        return float(np.mean(losses)) if losses else None

    @property
    def median_images_per_s(self) -> float | None:
        """The images/s of the median step, over the steps whose rate is known."""
        rates = [record.images_per_s for record in self.records if record.images_per_s]
        return float(np.median(rates)) if rates else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_history(workdir: AnyPath) -> list[StepRecord]:
    """Read the training history of a work directory, one record a step; InputError where it is damaged."""
    return [record for record in _read(Path(workdir) / HISTORY_FILE) if isinstance(record, StepRecord)]


def warn_of_lost_steps(workdir: AnyPath, records: Sequence[StepRecord], last_step: int) -> None:
    """Warn where the history lacks steps before a checkpoint: it is written before every checkpoint."""
    if lost := last_step - len({record.step for record in records if record.step <= last_step}):
        logger.warning(f"{Path(workdir) / HISTORY_FILE}: {lost} of {last_step} steps are lost, and so are their losses")


def read_validations(workdir: AnyPath, last_step: int) -> list[Validation]:
    """Read the validations of a work directory up to a step, one an epoch; InputError where it is damaged."""
    records = _read(Path(workdir) / HISTORY_FILE)
    return [record for record in records if isinstance(record, Validation) and record.step <= last_step]


def best_of(validations: Sequence[Validation]) -> Validation | None:
    """Return the validation with the largest finite score, the first among equals; None where there is none."""
    judged = (item for item in validations if math.isfinite(item.score))
    return max(judged, key=lambda item: item.score, default=None)


def _line(record: StepRecord | Validation) -> str:
    """Return the line of a record, with a checksum of its own."""
    values = asdict(record)
    return json.dumps(values | {"crc32": checksums.crc32(values)}) + "\n"


def _read(path: Path) -> list[StepRecord | Validation]:
    """Return the records of a history file; a last line that a kill has torn is left out.

    Raises:
        InputError: A whole line is none that was written.
    """
    records: list[StepRecord | Validation] = []
    for number, line in enumerate(read_bytes(path).splitlines(keepends=True) if path.exists() else (), start=1):
        try:
            records.append(_record(line))
        except (ValueError, TypeError, RecursionError):
            if line.endswith(b"\n"):
                raise InputError(
                    f"{path}, line {number}: not what was written; put a copy of the file back, or delete the line"
                ) from None
    return records


def _record(line: bytes) -> StepRecord | Validation:
    """Return the record of a line; ValueError or TypeError where it is none, or another than was written."""
    values: dict[str, Any] = json.loads(line)
    written = values.pop("crc32", None) if isinstance(values, dict) else None  # older versions wrote none
    record = (StepRecord if "loss" in values else Validation)(**values)
    fits = all(_fits(name, value) for name, value in values.items())
    if not fits or written not in (None, checksums.crc32(values)):
        raise ValueError("another record than was written")
    return record


def _fits(name: str, value: Any) -> bool:
    """Return whether a value of a history line is of its type; numbers that are not finite are numbers."""
    if type(value) is int:
        return name != "score_name" and value.bit_length() < 64
    kinds = {"score_name": (str,), "step": (), "epoch": (), "images_per_s": (float, type(None))}
    return type(value) in kinds.get(name, (float,))
