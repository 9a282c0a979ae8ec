"""Checkpoints of a run, a thin layer over orbax, which writes a checkpoint whole or not at all."""

import errno
import functools
import json
import logging
import os
import shutil
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp

from mtsccd_jax import processes
from mtsccd_jax.engine.finite import check_finite_state, not_finite
from mtsccd_jax.engine.state import State
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import AnyPath, naming, read_bytes

# The folder in which orbax keeps the arrays of a checkpoint, and its file of what else is known of them.
ARRAYS_FOLDER, METADATA_FILE = "default", "_CHECKPOINT_METADATA"

# How orbax calls the folder of a checkpoint that is being written.
UNFINISHED = "*.orbax-checkpoint-tmp*"

logger = logging.getLogger(__name__)

# What the system says of itself where tensorstore reports an error as a plain ValueError.
_OF_THE_SYSTEM = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class DamagedError(InputError):
    """A checkpoint is not what was saved."""


def newest_step(workdir: AnyPath) -> int | None:
    """Return the step of the newest checkpoint of a work directory, or None without one.

    Raises:
        InputError: Its folder is a file or a link, which orbax does not see, or lies beside something else whose name
            is a number.
    """
    directory = Path(workdir) / "checkpoints"
    if directory.is_file():
        raise InputError(f"{directory}: a file, and no folder of checkpoints; move it elsewhere")
    entries = directory.iterdir() if directory.is_dir() else ()
    folders = (entry for entry in entries if entry.name.isdigit() and (entry.is_dir() or entry.is_symlink()))
    steps = {int(folder.name): folder for folder in folders}
    if not steps:
        return None
    for folder in steps.values():
        _refuse_foreign(folder)
    newest = max(steps)
    if steps[newest].is_symlink():
        raise InputError(f"{steps[newest]}: a link, which is not followed; put the folder itself there")
    return newest


def check_savable(workdir: AnyPath) -> None:
    """Raise InputError for a path that orbax takes for a pattern: it would save checkpoints that nobody can read."""
    path = Path(workdir).resolve()
    if found := next((character for character in "[\\" if character in str(path)), None):
        raise InputError(f"{path}: no checkpoint can be saved below a name with '{found}'; choose another --workdir")


def _refuse_foreign(folder: Path) -> None:
    """Raise InputError for a numbered folder of something else, which would be deleted as an old checkpoint."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):  # a running training deletes old ones
        return
    others = [name for name in names if not name.startswith(".")]
    if others and not {ARRAYS_FOLDER, METADATA_FILE} & set(names):  # a kill while one is deleted may leave either
        raise InputError(f"{folder}: no checkpoint, it holds '{others[0]}'; move it elsewhere, old ones are deleted")


def _way_out(steps: Iterable[int], step: int) -> str:
    """Return what to do where the checkpoint of a step, one of those there are, cannot be used."""
    before = [other for other in steps if other < step]
    if before and step == max(steps):
        return f"put a copy of it back, or move it elsewhere to go on from step {max(before)}"
    return "put a copy of it back, or train in a new --workdir"


class NewestAndBest:
    """Keep the newest two checkpoints and the one of `best_step`."""

    best_step: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Return whether each checkpoint, oldest first, is kept; orbax calls this whenever it saves another."""
        newest = len(checkpoints) - 2
        return [i >= newest or item.step == self.best_step for i, item in enumerate(checkpoints)]


class Checkpoints:
    """The checkpoints in `<workdir>/checkpoints`: the newest two, and the one of the best epoch if it is marked.

    A checkpoint is deleted only after a newer one is complete. So the best epoch that a resumed run knows of always has
    its checkpoint.
    """

    def __init__(self, workdir: AnyPath):
        self.directory = Path(workdir).resolve() / "checkpoints"
        self._kept = NewestAndBest()
        options = ocp.CheckpointManagerOptions(preservation_policy=self._kept, create=True)
        try:
            with naming(self.directory):
                self._manager = ocp.CheckpointManager(self.directory, options=options)
        except (ValueError, TypeError, AttributeError) as error:  # of metadata that are JSON of something else
            way_out = "put a copy of its checkpoints back, or train in a new --workdir"
            raise InputError(f"{self.directory}: cannot be read whole ({error}); {way_out}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        step: int | None = self._manager.latest_step()
        return step

    def mark_best(self, step: int) -> None:
        """Keep the checkpoint of this step until another step is marked."""
        self._kept.best_step = step

    def path(self, step: int) -> Path:
        """Return the folder of the checkpoint of a step."""
        return self.directory / str(step)

    def save(self, state: State, *, wait: bool = False) -> None:
        """Save the state under its step, in the background unless `wait` is set.

        Raises:
            RunError: A value is not finite.
            OSError: The disk is full.
        """
        step = int(state.step)
        try:
            if step != self.latest:
                check_finite_state(state)
                self._check_space(state)
                known = {"crc32": checksum(state)}
                self._manager.save(step, args=ocp.args.StandardSave(state), custom_metadata=known)
            if wait:
                self._manager.wait_until_finished()
        except ValueError as error:
            if "No space left on device" not in str(error):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory)) from None

    def _check_space(self, state: State) -> None:
        """Raise OSError where the state does not fit on the disk; orbax would fail with many lines."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        if shutil.disk_usage(self.directory).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory))

    def resume(self, abstract: State) -> State | None:
        """Return the state of the newest checkpoint that is whole, or None without a checkpoint.

        Damaged ones are renamed, so that they are neither used nor lost, and what a killed training left is removed:
        call it with the lock of the work directory.

        Raises:
            InputError: As `restore`; a damaged checkpoint only if there is none before it.
        """
        if processes.is_first():
            for left in self.directory.glob(UNFINISHED):
                shutil.rmtree(left, ignore_errors=True)
        while (step := processes.from_first(self.latest)) is not None:
            damage: DamagedError | None = None
            try:
                state = self.restore(abstract, step)
            except DamagedError as error:
                damage = error
            is_damaged = damage is not None
            if processes.from_first(is_damaged) != is_damaged:
                raise RunError(f"{self.path(step)}: the processes read different bytes; run the same command again")
            if damage is None:
                return state
            if step == min(self._manager.all_steps()):
                raise damage
            aside = self.path(step).with_name(f"{step}.damaged")
            if processes.is_first():
                shutil.rmtree(aside, ignore_errors=True)  # of an earlier damage to the same step
                self.path(step).rename(aside)
            processes.from_first(None)  # the others look when it is done
            self._manager.reload()
            what = str(damage).rpartition("; ")[0]
            logger.warning(f"{what}; set aside as {aside.name}, going on from step {self.latest}")
        return None

    def restore(self, abstract: State, step: int | None = None) -> State:
        """Return the state of a step (default: the newest), with the shapes, types and placement of `abstract`.

        Raises:
            DamagedError: It cannot be read, or holds other values than were saved.
            InputError: There is no such checkpoint, it belongs to another network, or it holds values that are not
                finite.
        """
        if newest_step(self.directory.parent) is None:
            raise InputError(f"{self.directory}: no checkpoint; run `mtsccd-jax train` first")
        steps = self._manager.all_steps()
        if step is not None and step not in steps:
            raise InputError(f"{self.path(step)}: the checkpoint of the best epoch is gone; train in a new --workdir")
        step = max(steps) if step is None else step
        if not (self.path(step) / ARRAYS_FOLDER).is_dir():
            raise DamagedError(f"{self.path(step)}: no checkpoint, it holds no arrays; {_way_out(steps, step)}")
        try:
            known = json.loads(read_bytes(self.path(step) / METADATA_FILE))
            saved = known["custom_metadata"].get("crc32")  # older versions stored none
            drop_late_reads()
            with naming(self.path(step)):
                state: State = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except Exception as error:  # whatever its layers raise, down to a bare Exception
            if kept_from_reading(error):
                raise
            told = f"{error} {error.__cause__}"
            if number := next((number for number in _OF_THE_SYSTEM if os.strerror(number) in told), None):
                raise OSError(number, os.strerror(number), str(self.path(step))) from None
            if difference := self._difference(step, abstract):
                raise InputError(
                    f"{self.path(step)}: of another network or recipe ({difference}); put back the checkpoint that "
                    "belongs here, or choose the --workdir of that network"
                ) from None
            reason = " ".join(str(error.__cause__ or error).split()).rpartition('": ')[2][:150]  # without our path
            raise DamagedError(f"{self.path(step)}: cannot be read whole ({reason}); {_way_out(steps, step)}") from None
        if saved not in (None, checksum(state)):
            raise DamagedError(f"{self.path(step)}: holds other values than were saved; {_way_out(steps, step)}")
        if found := not_finite(state):
            raise InputError(f"{self.path(step)}: {found}, the training went wrong; {_way_out(steps, step)}")
        return state

    def _difference(self, step: int, abstract: State) -> str | None:
        """Return how the arrays of a checkpoint differ from those wanted; None if they do not, or if nobody can say."""
        try:
            stored = _shapes(ocp.StandardCheckpointHandler().metadata(self.path(step) / ARRAYS_FOLDER))
        except Exception:  # the metadata are what cannot be read
            return None
        wanted = _shapes(abstract)
        names = (name for name in {**wanted, **stored} if wanted.get(name) != stored.get(name))
        name = next(names, None)
        return name and f"{name}: {stored.get(name, 'none')} there, {wanted.get(name, 'none')} here"


def kept_from_reading(error: Exception) -> bool:
    """Return whether nobody knows what the files hold: no memory, a failing disk, no right to read them."""
    missing = errno.ENOENT, errno.ENOTDIR, errno.EISDIR
    is_of_disk = isinstance(error, OSError) and error.errno not in missing
    return is_of_disk or isinstance(error, MemoryError | jax.errors.JaxRuntimeError)


def checksum(state: State) -> int:
    """Return the CRC-32 of all values of a state: orbax stores none, and a changed byte would be another weight."""
    crc, values = 0, _by_name(state)
    for name in sorted(values):
        content: Any = np.ascontiguousarray(values[name]).reshape(-1).view(np.uint8)
        crc = zlib.crc32(content, crc)
    return crc


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of a tree by its name."""
    return {name: tuple(leaf.shape) for name, leaf in _by_name(tree).items()}


def _by_name(tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree by name; read without its types, a checkpoint has the same names in another order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


@functools.cache
def drop_late_reads() -> None:
    """Drop from now on what is left of failed restores: reads whose event loop orbax has closed at the first error.

    They are reported when garbage is collected, with many lines.
    """
    heard = sys.unraisablehook

    def hear(about: Any) -> None:
        code = getattr(about.object, "cr_code", None)  # of a read that was never resumed
        if str(about.exc_value) != "Event loop is closed" and "orbax" not in getattr(code, "co_filename", ""):
            heard(about)

    sys.unraisablehook = hear
    logging.getLogger("asyncio").addFilter(_is_heard)


def _is_heard(record: logging.LogRecord) -> bool:
    """Return whether a message of asyncio is about anything but a read of orbax's that failed after another had."""
    return "orbax" not in record.getMessage()
