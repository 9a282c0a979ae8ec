"""Memory of batches that is used again: fresh memory costs more than what is written into it.

The kernel clears every page that a process sees for the first time: 5 % of decoding a batch of 64 tiles of 300 pixels.
"""

import math
import threading
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

# What XLA:CPU asks of an array to use it where it lies. NumPy's own begin at 16, and are copied.
ALIGNMENT_BYTES = 64


class Recycler:
    """Arrays whose memory is handed out again once nothing refers to them any more.

    Only within a `with` statement, which may be entered several times at once: outside memory is not kept. After the
    last one is left, all of it is given back as soon as its arrays are gone.
    """

    def __init__(self) -> None:
        self._users = 0
        self._counting = threading.Lock()
        # Free blocks by their size, the last one freed on top: it may still lie in the cache. A lease may end in the
        # middle of anything (the garbage collector decides): blocks come and go by atomic operations, without a lock.
        self._free: dict[int, list[np.ndarray]] = {}

    def __enter__(self) -> "Recycler":
        with self._counting:
            self._users += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._counting:
            self._users -= 1
            if self._users == 0:
                self._free = {}

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """An array of any content that begins at a multiple of `ALIGNMENT_BYTES`; safe to call from any thread."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        try:
            block = self._free[size].pop()
        except (KeyError, IndexError):
            block = np.empty(size + ALIGNMENT_BYTES, np.uint8)
        return np.asarray(_Lease(self, block, size, shape, dtype))

    def put_back(self, block: np.ndarray, size: int) -> None:
        """Nothing; what had `size` bytes of the block is gone."""
        if self._users:
            self._free.setdefault(size, []).append(block)


class _Lease:
    """What an array's memory belongs to, as NumPy sees it; it ends with the last array or view that refers to it."""

    def __init__(self, recycler: Recycler, block: np.ndarray, size: int, shape: tuple[int, ...], dtype: np.dtype):
        self._recycler, self._block, self._size = recycler, block, size
        first = -block.ctypes.data % ALIGNMENT_BYTES
        array = block[first : first + size].view(dtype).reshape(shape)
        self.__array_interface__: dict[str, Any] = array.__array_interface__

    def __del__(self) -> None:
        self._recycler.put_back(self._block, self._size)


# One for all: a stream opens it, and whatever decodes for the stream takes its batches from it.
BATCHES = Recycler()
