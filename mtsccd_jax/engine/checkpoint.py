"""Checkpoints of a run, a thin layer over orbax, which writes a checkpoint whole or not at all."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import orbax.checkpoint as ocp

from mtsccd_jax.engine.state import State
from mtsccd_jax.errors import InputError


def newest_step(workdir: Path) -> int | None:
    """Return the step of the newest checkpoint of a work directory, or None without one."""
    directory = workdir / "checkpoints"
    entries = directory.iterdir() if directory.is_dir() else ()
    return max((int(entry.name) for entry in entries if entry.name.isdigit()), default=None)


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

    def __init__(self, workdir: Path):
        self.directory = workdir.resolve() / "checkpoints"
        self._kept = NewestAndBest()
        self._manager = ocp.CheckpointManager(
            self.directory, options=ocp.CheckpointManagerOptions(preservation_policy=self._kept, create=True)
        )

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
        """Save the state under its step, in the background unless `wait` is set."""
        step = int(state.step)
        try:
            if step != self.latest:
                self._check_space(state)
                self._manager.save(step, args=ocp.args.StandardSave(state))
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

    def restore(self, abstract: State, step: int | None = None) -> State:
        """Return the state of a step (default: the newest), with the shapes, types and placement of `abstract`.

        Raises:
            InputError: There is no such checkpoint, or it belongs to another network.
        """
        if self.latest is None:
            raise InputError(f"{self.directory}: no checkpoint; run `mtsccd-jax train` first")
        if step is not None and step not in self._manager.all_steps():
            raise InputError(f"{self.path(step)}: the checkpoint of the best epoch is gone; train in a new --workdir")
        step = self.latest if step is None else step
        try:
            state: State = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{self.path(step)}: damaged, or of another network ({str(error)[:120]}); delete it to go on "
                "from the checkpoint before it, or train in a new --workdir"
            ) from None
        return state
