"""Rows of every batch: pure functions of seed, epoch and sizes, and the only place that decides order."""

import numpy as np


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """Return a permutation of 0..n-1 as int64 (n,), fixed by (seed, epoch).

    The order sorts the raw 64-bit words of a Philox counter keyed by (seed, epoch): NumPy guarantees those words
    forever, which it does not for `Generator.permutation`.

    Raises:
        ValueError: `seed` or `epoch` is negative or not below 2**64.
    """
    for name, value in (("seed", seed), ("epoch", epoch)):
        if not 0 <= value < 1 << 64:
            raise ValueError(f"{name} must be in [0, 2**64), got {value}")
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(n)
    return np.argsort(words, kind="stable")


def batch_indices(seed: int, epoch: int, n: int, batch: int, process: int = 0, processes: int = 1) -> np.ndarray:
    """Return the rows of every training step of an epoch, for one process: int64 (steps, batch / processes).

    Every global batch is split in consecutive parts over the processes, so joining the parts in order of process
    gives the batches of a single process. The tail of fewer than `batch` rows is dropped; `n < batch` gives no step.

    Raises:
        ValueError: `batch` is not a positive multiple of `processes`, or `process` is not one of them.
    """
    part = _part(batch, process, processes)
    steps = n // batch
    return permutation(seed, epoch, n)[: steps * batch].reshape(steps, batch)[:, part]


def evaluation_batches(n: int, batch: int, process: int = 0, processes: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return every row once, in order, as (indices int64, mask bool), both (steps, batch / processes).

    The last batch is filled with row 0 where the mask is False: such a row must not count.

    Raises:
        ValueError: As in `batch_indices`.
    """
    part = _part(batch, process, processes)
    steps = -(-n // batch)
    row = np.arange(steps * batch, dtype=np.int64)
    mask = row < n
    return np.where(mask, row, 0).reshape(steps, batch)[:, part], mask.reshape(steps, batch)[:, part]


def _part(batch: int, process: int, processes: int) -> slice:
    """Return the columns of a global batch that belong to one process."""
    if processes < 1 or not 0 <= process < processes:
        raise ValueError(f"process must be in [0, processes), got {process} of {processes}")
    if batch < 1 or batch % processes:
        raise ValueError(f"batch must be a positive multiple of the {processes} processes, got {batch}")
    size = batch // processes
    return slice(process * size, (process + 1) * size)
