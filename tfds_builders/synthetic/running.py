"""How any generated archive is written: by several processes, and under its final name only when it is complete."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tfds_builders.reading.archive import ArchiveError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    write: Callable[[Task], Result], tasks: Sequence[Task], workers: int, *, worth_processes: bool
) -> Iterator[Result]:
    """Yield the result of every task, in order, as they are done; `write` is picklable.

    With one worker, or where the work is not worth starting processes, the calling process does it all.
    """
    if workers == 1 or not worth_processes:
        yield from map(write, tasks)
        return
    context = multiprocessing.get_context("spawn")  # the caller may hold a JAX client and threads: never fork
    pool = concurrent.futures.ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context)
    try:
        yield from pool.map(write, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


def checked_workers(workers: int | None) -> int:
    """Return `workers`, or the number of processors that this process may use.

    Raises:
        ArchiveError: less than one.
    """
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise ArchiveError(f"{workers} workers: give 1 or more")
    return workers


@contextlib.contextmanager
def folder_made_at_once(final: Path) -> Iterator[Path]:
    """Yield a new folder beside `final` that becomes `final` at the end, or goes away with an error.

    Raises:
        ArchiveError: `final` exists already.
    """
    if final.exists():
        raise ArchiveError(f"{final}: exists already; remove it or give another folder")
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
