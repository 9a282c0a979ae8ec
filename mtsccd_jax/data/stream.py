"""Batches read ahead of time: what order.py says, decoded by threads, moved to the devices in the background."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import jax
import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.errors import InputError

# Batches read ahead. More buys nothing once the threads are busy and costs a batch of memory each.
PREFETCH_BATCHES = 4


def usable_cores() -> int:
    """The number of processor cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Stream(Iterator[dict[str, np.ndarray]]):
    """The batches `source.read(rows)` for every `rows` in a table of steps, in order, read ahead by threads.

    Each batch has the source's fields and `row` int32 (b,), the rows it was read from. Use it in a `with` statement
    or run it to its end: otherwise its threads stay. An error in a thread is raised where its batch is due.
    """

    def __init__(self, source: Source, batches: np.ndarray, threads: int):
        import grain

        def load(step: int) -> dict[str, np.ndarray] | InputError:
            rows = batches[step]
            try:
                return source.read(rows) | {"row": rows.astype(np.int32)}
            except InputError as error:
                return error  # as a value: grain adds lines of its own to the message of what is raised here

        # An element is a whole batch: element-wise reading with grain's defaults is three times slower.
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(PREFETCH_BATCHES, threads))
        self._steps = len(batches)
        self._iterator = iter(grain.MapDataset.range(self._steps).map(load).to_iter_dataset(options))

    def __len__(self) -> int:
        return self._steps

    def __next__(self) -> dict[str, np.ndarray]:
        try:
            batch = next(self._iterator)
            if isinstance(batch, InputError):
                raise batch
        except BaseException:  # also StopIteration: whatever ends the iteration ends the threads
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
        """Nothing; stops the threads and forgets what they read."""
        self._iterator.close()


def stream(source: Source, batches: np.ndarray, *, threads: int | None = None) -> Stream:
    """An iterator and context manager over the batches of `source`, read and decoded ahead by `threads`.

    Args:
        source: where the rows are read; its `read` is called from several threads at once.
        batches: row numbers (steps, batch), from `batch_indices` or `evaluation_batches`.
        threads: decoding threads, each on a batch of its own; None takes one a core.
    """
    return Stream(source, batches, usable_cores() if threads is None else threads)


def to_device(
    batches: Iterable[dict[str, np.ndarray]], place: Callable[[dict[str, np.ndarray]], dict[str, jax.Array]]
) -> Iterator[dict[str, jax.Array]]:
    """An iterator over the batches as device arrays, the next one in transfer while the current one is used.

    Args:
        batches: on the host. Text fields stay there: they are found again by `row`.
        place: puts a batch of numbers on the devices; called in a thread of its own, one batch at a time.
    """
    iterator = iter(batches)

    def transfer() -> dict[str, jax.Array] | None:
        batch = next(iterator, None)
        if batch is None:
            return None
        placed = place({field: value for field, value in batch.items() if value.dtype.kind in "biuf"})
        return jax.block_until_ready(placed)

    with ThreadPoolExecutor(1, thread_name_prefix="to-device") as thread:
        pending = thread.submit(transfer)
        while (batch := pending.result()) is not None:
            pending = thread.submit(transfer)
            yield batch
