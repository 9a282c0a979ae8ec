import gc
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.data.buffer_pool import ALIGNMENT_BYTES, BATCHES, BufferPool
from mtsccd_jax.data.stream import stream, to_device


def address(array: np.ndarray) -> int:
    return array.ctypes.data


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 5, 7, 3), np.uint8), ((2, 9, 9), np.uint16), ((4,), np.float32), ((2, 0, 0, 3), np.uint8)]
)
def test_arrays_are_as_numpy_s_but_aligned(shape, dtype):
    with BufferPool() as memory:
        arrays = [memory.empty(shape, dtype) for _ in range(5)]
    for i, array in enumerate(arrays):
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert address(array) % ALIGNMENT_BYTES == 0 or not array.size
        array[...] = i
    assert all((array == i).all() for i, array in enumerate(arrays))


def test_memory_is_used_again_when_nothing_refers_to_it():
    with BufferPool() as memory:
        first, second = memory.empty((64, 10), np.uint8), memory.empty((64, 10), np.uint8)
        places = {address(first), address(second)}
        del first, second
        # Another shape and type of as many bytes will do.
        again = [memory.empty((160,), np.float32), memory.empty((640,), np.uint8)]
        assert {address(array) for array in again} == places
        assert address(memory.empty((640,), np.uint8)) not in places


def test_a_view_holds_what_it_is_a_view_of():
    with BufferPool() as memory:
        array = memory.empty((8, 10), np.uint8)
        place = address(array)
        row = array[:1].reshape(2, 5)[1].view(np.int8)
        row[...] = 7
        del array
        other = memory.empty((8, 10), np.uint8)
        other[...] = 0
        assert address(other) != place
        assert (row == 7).all()
        del row
        assert address(memory.empty((8, 10), np.uint8)) == place


def test_nothing_is_kept_outside_nor_after_the_last_user():
    memory = BufferPool()
    memory.empty((1000,), np.uint8)
    assert not memory._free
    with memory:
        with memory:
            late = memory.empty((1000,), np.uint8)
            memory.empty((1000,), np.uint8)
        assert sum(map(len, memory._free.values())) == 1
    assert not memory._free
    del late
    assert not memory._free


def test_threads_never_share_memory():
    wrong = []

    def work(number: int) -> None:
        for _ in range(300):
            arrays = [memory.empty((50,), np.int64) for _ in range(3)]
            for i, array in enumerate(arrays):
                array[...] = 10 * number + i
            if any((array != 10 * number + i).any() for i, array in enumerate(arrays)):
                wrong.append(number)

    with BufferPool() as memory:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_cpu_device_uses_it_where_it_lies_and_keeps_it():
    with BufferPool() as memory:
        array = memory.empty((16, 32, 32, 3), np.uint8)
        array[...] = 9
        place = address(array)
        on_device = jax.device_put(array, jax.devices("cpu")[0])
        assert on_device.unsafe_buffer_pointer() == place
        del array
        gc.collect()
        memory.empty((16, 32, 32, 3), np.uint8)[...] = 1
        assert (np.asarray(on_device) == 9).all()


def test_results_that_are_read_late_are_those_of_their_batch(train_tiles):
    """The memory of a batch is kept until the programs that use it have run."""

    @jax.jit
    def slow_sum(image):
        x = image.astype(jnp.float32)
        return jax.lax.fori_loop(0, 30, lambda _, total: total + jnp.sin(x).mean(), x.sum())

    order = np.arange(200)[:, None] % len(train_tiles)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    found = []
    with stream(train_tiles, order, threads=3) as batches:
        for batch in to_device(batches, lambda batch: jax.device_put(batch, sharding)):
            found.append(slow_sum(batch["image"]))
            del batch
    each = [slow_sum(train_tiles[row]["image"][None]) for row in range(min(200, len(train_tiles)))]
    np.testing.assert_array_equal(found, [each[row] for row in order[:, 0]])


def test_a_stream_gives_its_memory_back(train_tiles):
    with stream(train_tiles, np.zeros((20, 4), np.int64), threads=2) as batches:
        for _ in batches:
            pass
    assert not BATCHES._users
    assert not BATCHES._free
    half = stream(train_tiles, np.zeros((20, 4), np.int64), threads=2)
    next(half)
    assert BATCHES._users == 1
    half.close()
    half.close()
    assert not BATCHES._users
