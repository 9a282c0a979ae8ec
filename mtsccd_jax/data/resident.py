"""A whole split as uint8 on the devices, decoded once; a batch is then a gather of the rows of order.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.data.stream import stream

# Rows that are decoded and transferred at a time: the host holds only a few such chunks.
CHUNK_ROWS = 128


def resident_shapes(source: Source, sharding: jax.sharding.Sharding) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of what `load_resident` returns; one example is read."""
    rows = -(-len(source) // sharding.num_devices) * sharding.num_devices
    return {
        field: jax.ShapeDtypeStruct((rows, *value.shape), value.dtype, sharding=sharding)
        for field, value in source[0].items()
        if value.dtype.kind != "U"
    }


def load_resident(
    source: Source, sharding: jax.sharding.Sharding, *, threads: int | None = None
) -> dict[str, jax.Array]:
    """Load a split onto the devices: every field but text, images uint8 (rows, h, w, 3), rows laid out by `sharding`.

    Rows are padded to a multiple of the number of devices with copies of the last one; no index of the split reaches
    them. Each process reads only the rows of its own devices. Threads decode ahead, chunk by chunk, so that the memory
    of the host stays flat.

    Args:
        source: The split; all images have one size.
        sharding: The layout of the rows (`P("data")`, or replicated); other axes are whole on every device.
        threads: Decoding threads; None for one per core.
    """
    n = len(source)
    shapes = resident_shapes(source, sharding)
    rows = next(iter(shapes.values())).shape[0]
    devices_of: dict[tuple[int, int], list[jax.Device]] = {}
    for device, index in sharding.addressable_devices_indices_map((rows,)).items():
        start, stop, _ = index[0].indices(rows) if index else (0, rows, 1)
        devices_of.setdefault((start, stop), []).append(device)

    parts: dict[str, list[jax.Array]] = {field: [] for field in shapes}
    for (start, stop), devices in devices_of.items():
        chunk = min(CHUNK_ROWS, stop - start)
        # The last chunk overlaps the one before instead of being shorter, so that one compiled write serves all.
        first = np.minimum(np.arange(start, stop, chunk), stop - chunk)
        buffers = {
            field: [jnp.zeros((stop - start, *shape.shape[1:]), shape.dtype, device=device) for device in devices]
            for field, shape in shapes.items()
        }
        with stream(source, np.minimum(first[:, None] + np.arange(chunk), n - 1), threads=threads) as batches:
            for position, batch in zip(first - start, batches, strict=True):
                for field, copies in buffers.items():
                    buffers[field] = [
                        _write(copy, jax.device_put(batch[field], device), position)
                        for copy, device in zip(copies, devices, strict=True)
                    ]
                jax.block_until_ready(buffers)
        for field, copies in buffers.items():
            parts[field] += copies
    return {
        field: jax.make_array_from_single_device_arrays(shape.shape, sharding, parts[field])
        for field, shape in shapes.items()
    }


def gather(resident: dict[str, jax.Array], row_b: jax.Array) -> dict[str, jax.Array]:
    """Gather the batch of the rows `row_b`, with `row` int32, as `stream` gives it; pure, to be called under jit.

    The result is undefined for a row that is not in the split.
    """
    batch = {field: value.at[row_b].get(mode="promise_in_bounds") for field, value in resident.items()}
    return batch | {"row": row_b.astype(jnp.int32)}


@functools.partial(jax.jit, donate_argnums=0)
def _write(buffer: jax.Array, chunk: jax.Array, position: int) -> jax.Array:
    """Write `chunk` into the buffer from row `position` on, in place."""
    return jax.lax.dynamic_update_slice_in_dim(buffer, chunk, position, axis=0)
