"""Batches on the devices, from a split that is resident there or streams past; the same batches either way."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Literal

import jax
import numpy as np

from mtsccd_jax.data.resident import gather, load_resident
from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import stream, to_device
from mtsccd_jax.engine.parallel import Parallel

# A resident split may take this share of the memory at hand; the rest is for the state and its activations.
RESIDENT_SHARE = 0.4


class Feed:
    """A source and the way its batches reach the devices.

    Args:
        source: what is read.
        parallel: where batches go.
        mode: "resident" (the split as uint8 on the devices), "stream" (read and decoded ahead of time), or "auto",
            which is resident where the split fits in the memory at hand and one process holds it.
        say: called with one line on the choice made.
    """

    def __init__(
        self,
        source: Source,
        parallel: Parallel,
        mode: Literal["auto", "resident", "stream"],
        say: Callable[[str], None] | None = None,
    ):
        self.source, self.parallel = source, parallel
        needed, available = split_bytes(source), memory_at_hand(parallel)
        fits = needed <= RESIDENT_SHARE * available and jax.process_count() == 1
        self.resident = fits if mode == "auto" else mode == "resident"
        if say:
            how = "resident on the devices" if self.resident else "streamed"
            why = "as asked for"
            if mode == "auto":
                why = f"{needed / 1e6:,.0f} MB as stored, {available / 1e9:,.1f} GB at hand"
            say(f"{source.name}: {len(source):,} examples, {how} ({why})")

    @cached_property
    def _arrays(self) -> dict[str, jax.Array]:
        return load_resident(self.source, self.parallel.batch_sharding)

    @cached_property
    def _gather(self) -> Callable:
        return self.parallel.compile_gather(gather)

    @contextmanager
    def batches(self, indices: np.ndarray, mask: np.ndarray | None = None) -> Iterator[Iterator[dict[str, jax.Array]]]:
        """The batches of `indices` (steps, b), in order, each with its `row` and, where given, its `mask` (b,)."""
        if self.resident:
            yield self._from_resident(indices, mask)
            return
        with stream(self.source, indices) as host_batches:
            yield self._from_stream(host_batches, mask)

    def _from_resident(self, indices: np.ndarray, mask: np.ndarray | None) -> Iterator[dict[str, jax.Array]]:
        for step, rows in enumerate(indices):
            batch = self._gather(self._arrays, rows.astype(np.int32))
            yield batch if mask is None else batch | self.parallel.place({"mask": mask[step]})

    def _from_stream(
        self, host_batches: Iterator[dict[str, np.ndarray]], mask: np.ndarray | None
    ) -> Iterator[dict[str, jax.Array]]:
        masked = host_batches
        if mask is not None:
            masked = (batch | {"mask": mask[step]} for step, batch in enumerate(host_batches))
        yield from to_device(masked, self.parallel.place)


def split_bytes(source: Source) -> int:
    """Bytes of the split's images as uint8 at the size the source decodes to, or of its bands as they are stored."""
    first = source[0]
    return len(source) * sum(first[name].nbytes for name in (*source.image_fields, *source.band_fields))


def memory_at_hand(parallel: Parallel) -> int:
    """Bytes free for data: of all devices, or of the host where devices do not say (CPU)."""
    stats = [device.memory_stats() for device in parallel.mesh.local_devices]
    if all(stats):
        return sum(item["bytes_limit"] - item["bytes_in_use"] for item in stats)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
