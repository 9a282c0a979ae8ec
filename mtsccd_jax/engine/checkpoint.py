"""Checkpoints of a run: thin over orbax, which writes them whole or not at all."""

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
    """Return the step of the newest checkpoint of a work directory, None where nothing has been saved."""
    directory = workdir / "checkpoints"
    entries = directory.iterdir() if directory.is_dir() else ()
    return max((int(entry.name) for entry in entries if entry.name.isdigit()), default=None)


class NewestAndBest:
    """Which checkpoints stay: the newest two and that of the best epoch, which is told as it becomes known."""

    best_step: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Whether each of the checkpoints, oldest first, stays: orbax asks while it saves another."""
        newest = len(checkpoints) - 2
        return [i >= newest or item.step == self.best_step for i, item in enumerate(checkpoints)]


class Checkpoints:
    """The checkpoints below `<workdir>/checkpoints`: the newest two, and that of the best epoch where one is marked.

    The state of the best epoch is a checkpoint as any other. An older one is deleted only after a newer one is whole,
    so at every moment there is the best epoch's that belongs to the newest checkpoint.
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
        """The step of the newest whole checkpoint."""
        return self._manager.latest_step()

    def mark_best(self, step: int) -> None:
        """Nothing; the checkpoint of this step stays until another is marked."""
        self._kept.best_step = step

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.directory / str(step)

    def save(self, state: State, *, wait: bool = False) -> None:
        """Writes the state under its step, in the background unless `wait`.

        Raises:
            OSError: the disk is full.
        """
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
        """Raises OSError before anything is written where the state cannot fit: orbax's writers fail less quietly."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        if shutil.disk_usage(self.directory).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory))

    def restore(self, abstract: State, step: int | None = None) -> State:
        """The state of a step, or the newest, of the shapes, types and placement of `abstract`.

        Raises:
            InputError: there is none, or it belongs to another network.
        """
        if self.latest is None:
            raise InputError(f"{self.directory}: no checkpoint; run `mtsccd-jax train` first")
        if step is not None and step not in self._manager.all_steps():
            raise InputError(f"{self.path(step)}: the checkpoint of the best epoch is gone; train in a new --workdir")
        step = self.latest if step is None else step
        try:
            return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{self.path(step)}: damaged, or of another network ({str(error)[:120]}); delete it to go on "
                "from the checkpoint before it, or train in a new --workdir"
            ) from None
