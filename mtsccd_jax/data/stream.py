"""Batches in the order of order.py, read and decoded ahead by threads, moved to the devices in the background."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import Protocol

import jax
import numpy as np

from mtsccd_jax.data.buffer_pool import BATCHES
from mtsccd_jax.data.sources import Source
from mtsccd_jax.errors import InputError

# Batches read ahead. More are no faster once all threads are busy, and each takes the memory of a batch.
PREFETCH_BATCHES = 4


def usable_cores() -> int:
    """Return the number of processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# An error is passed on as a value: grain adds its own lines to the message of an error raised in a thread.
_Loaded = dict[str, np.ndarray] | InputError


class _Ahead(Iterator[_Loaded], Protocol):
    def close(self) -> None: ...


def _read_ahead(load: Callable[[int], _Loaded], steps: int, threads: int, ahead: int) -> _Ahead:
    """Return an iterator over `load(0)`, ..., `load(steps - 1)`, computed by threads, at most `ahead` results ahead.

    Grain reads ahead where it is installed, else the standard library.
    """
    try:
        import grain
    except ImportError:
        return _Threads(load, steps, threads, ahead)
    # An element is a whole batch: reading example by example with the defaults of grain is three times slower.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    ahead_of_use: _Ahead = iter(grain.MapDataset.range(steps).map(load).to_iter_dataset(options))
    return ahead_of_use


class _Threads(Iterator[_Loaded]):
    """The iterator of `_read_ahead` without grain."""

    def __init__(self, load: Callable[[int], _Loaded], steps: int, threads: int, ahead: int):
        self._load, self._ahead = load, ahead
        self._steps = iter(range(steps))
        self._pending: deque[Future[_Loaded]] = deque()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")

    def __next__(self) -> _Loaded:
        for step in islice(self._steps, self._ahead - len(self._pending)):
            self._pending.append(self._executor.submit(self._load, step))
        if not self._pending:
            raise StopIteration
        return self._pending.popleft().result()

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._steps = iter(())
        self._pending.clear()


class Stream(Iterator[dict[str, np.ndarray]]):
    """Iterator over `source.read(rows)` for every `rows` in a table of steps, in order, read ahead by threads.

    Each batch has the source's fields and `row` int32 (b,), the rows it was read from. Use it in a `with` statement
    or run it to its end: otherwise its threads stay. An error in a thread is raised where its batch is due.
    """

    def __init__(self, source: Source, batches: np.ndarray, threads: int):
        def load(step: int) -> _Loaded:
            rows = batches[step]
            try:
                return source.read(rows) | {"row": rows.astype(np.int32)}
            except InputError as error:
                return error

        self._steps = len(batches)
        self._iterator = _read_ahead(load, self._steps, threads, max(PREFETCH_BATCHES, threads))
        self._memory = ExitStack()
        self._memory.enter_context(BATCHES)

    def __len__(self) -> int:
        return self._steps

    def __next__(self) -> dict[str, np.ndarray]:
        try:
            batch = next(self._iterator)
            if isinstance(batch, InputError):
                raise batch
        except BaseException:  # StopIteration too: the threads end with the iteration
            self.close()
            raise
        return batch

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and drop what they read."""
        self._iterator.close()
        self._memory.close()


def stream(source: Source, batches: np.ndarray, *, threads: int | None = None) -> Stream:
    """Return an iterator and context manager over the batches of `source`, read and decoded ahead by threads.

    Args:
        source: The source of the rows; several threads call its `read` at once.
        batches: Row numbers (steps, batch), from `batch_indices` or `evaluation_batches`.
        threads: Decoding threads, each with its own batch; None for one per core.
    """
    return Stream(source, batches, usable_cores() if threads is None else threads)


def to_device(
    batches: Iterable[dict[str, np.ndarray]], place: Callable[[dict[str, np.ndarray]], dict[str, jax.Array]]
) -> Iterator[dict[str, jax.Array]]:
    """Iterate over the batches as device arrays; the next one is in transfer while the current one is in use.

    Args:
        batches: Batches on the host. Text fields stay there; `row` finds them again.
        place: Puts a batch of numbers on the devices; called in its own thread, one batch at a time.
    """
    iterator = iter(batches)

    def transfer() -> dict[str, jax.Array] | None:
        batch = next(iterator, None)
        if batch is None:
            return None
        placed = place({field: value for field, value in batch.items() if value.dtype.kind in "biuf"})
        jax.block_until_ready(placed)
        return placed

    with ThreadPoolExecutor(1, thread_name_prefix="to-device") as thread:
        pending = thread.submit(transfer)
        while (batch := pending.result()) is not None:
            pending = thread.submit(transfer)
            yield batch
