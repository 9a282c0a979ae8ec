"""Bring batches to the devices, from a split that is resident there or is streamed; both give the same batches."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from typing import Literal, TypeVar

import jax
import numpy as np

from mtsccd_jax import processes
from mtsccd_jax.data.resident import gather, load_resident, resident_shapes
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import stream, to_device
from mtsccd_jax.engine.memory import USABLE_SHARE, free_bytes
from mtsccd_jax.engine.parallel import Parallel
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.calls import own_settings

# Largest share of the free memory for a resident split; the rest is for the state and its activations.
RESIDENT_SHARE = 0.4

# Results of the devices are read this many dispatches late, so that the host does not wait for the newest one.
LATE = 2

Item = TypeVar("Item")


class Feed:
    """A source and the way its batches reach the devices.

    Args:
        mode: "resident" (the split as uint8 on the devices), "stream" (read and decoded ahead of time), or "auto":
            resident if the split takes at most RESIDENT_SHARE of the free memory.
        spare_bytes: Bytes of each device that are free now but needed for something else.

    Attributes:
        resident: Whether the split is, or will be, on the devices.
        choice: One line that says so and why, for the log.

    Raises:
        InputError: "resident" was asked for and the split does not fit; only one example has been read.
    """

    def __init__(
        self,
        source: Source,
        parallel: Parallel,
        mode: Literal["auto", "resident", "stream"],
        spare_bytes: int = 0,
    ):
        self.source, self.parallel, self.mode = source, parallel, mode
        self.resident = mode == "resident"
        why = "as asked for"
        if mode != "stream":
            needed, free = self.split_bytes, max(free_bytes(parallel) - spare_bytes, 0)
            why = f"{needed / 1e6:,.0f} MB as stored, {free / 1e9:,.1f} GB free"
            why += " on each device" if parallel.mesh.size > 1 else ""
            if mode == "resident" and needed > USABLE_SHARE * free:
                raise InputError(
                    f"data.input=resident: {source.name}, {source.split}, does not fit ({why}); "
                    "use --set data.input=auto"
                )
            if mode == "auto":
                self.resident = needed <= RESIDENT_SHARE * free
        how = "resident on the devices" if self.resident else "streamed"
        self.choice = f"{source.name}: {len(source):,} examples, {how} ({why})"

    def streamed(self) -> "Feed":
        """Return a feed that streams the same source, for where a resident split leaves too little memory."""
        feed = Feed(self.source, self.parallel, "stream")
        feed.mode = self.mode
        return feed

    @cached_property
    def arrays(self) -> dict[str, jax.Array]:
        """The resident split, loaded on first use."""
        return load_resident(self.source, self.parallel.batch_sharding)

    @cached_property
    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of the resident split; only one example is read."""
        return resident_shapes(self.source, self.parallel.batch_sharding)

    @property
    def split_bytes(self) -> int:
        """Bytes of each device that the resident split takes: images as uint8 at the size the source decodes to."""
        sizes: Iterator[int] = (math.prod(shape.shape) * shape.dtype.itemsize for shape in self.shapes.values())
        return sum(sizes) // self.parallel.mesh.size

    @property
    def processes(self) -> tuple[int, int]:
        """The part of a batch that `batches` takes: (process, processes), or (0, 1) where every process takes all."""
        return (0, 1) if self.resident else (processes.index(), processes.count())

    @cached_property
    def _gather(self) -> Callable[..., dict[str, jax.Array]]:
        """The compiled gather from the resident split."""
        return self.parallel.compile_gather(gather)

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Return the shapes and placement of a batch as `batches` gives it, without a mask."""
        fields = {name: jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), x.dtype) for name, x in self.shapes.items()}
        fields["row"] = jax.ShapeDtypeStruct((batch_size,), np.int32)
        return {name: self.parallel.abstract_layout(field) for name, field in fields.items()}

    @contextmanager
    def batches(self, indices: np.ndarray, mask: np.ndarray | None = None) -> Iterator[Iterator[dict[str, jax.Array]]]:
        """Give the batches of `indices` (steps, b) in order, each with its `row` and, where given, its `mask` (b,).

        Both are this process's part of each batch where every process takes a part (`processes`).
        """
        if self.resident:
            yield self._from_resident(indices, mask)
            return
        # The transfer must end before the stream that it reads from.
        with stream(self.source, indices) as host_batches, closing(self._from_stream(host_batches, mask)) as batches:
            yield batches

    def _from_resident(self, indices: np.ndarray, mask: np.ndarray | None) -> Iterator[dict[str, jax.Array]]:
        """Yield batches gathered from the resident split."""
        for step, rows in enumerate(indices):
            batch = self._gather(self.arrays, rows.astype(np.int32))
            yield batch if mask is None else batch | self.parallel.place({"mask": self.parallel.own_part(mask[step])})

    def _from_stream(
        self, host_batches: Iterator[dict[str, np.ndarray]], mask: np.ndarray | None
    ) -> Generator[dict[str, jax.Array], None, None]:
        """Yield batches of the stream, transferred to the devices."""
        masked = host_batches
        if mask is not None:
            masked = (batch | {"mask": mask[step]} for step, batch in enumerate(host_batches))
        place = own_settings()(self.parallel.place)  # the thread that calls it has settings of its own
        yield from to_device(masked, place)


def late(dispatched: Iterable[Item]) -> Iterator[Item]:
    """Yield the items in order, each once LATE more have been dispatched; the last ones follow at the end."""
    pending: deque[Item] = deque()
    for item in dispatched:
        pending.append(item)
        if len(pending) > LATE:
            yield pending.popleft()
    yield from pending
