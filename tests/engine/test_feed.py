"""The way of a split to the devices: chosen by the free memory, or refused before anything is read."""

import threading
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine import feed as feed_module
from mtsccd_jax.engine import memory
from mtsccd_jax.engine.feed import RESIDENT_SHARE, Feed
from mtsccd_jax.engine.memory import free_bytes, program_bytes
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.errors import InputError


@pytest.fixture(scope="module")
def source(recipe):
    return open_source(recipe.data, "train")


@pytest.fixture
def free(monkeypatch):
    """Return a function that sets how many bytes of each device are free."""
    return lambda size: monkeypatch.setattr(feed_module, "free_bytes", lambda parallel: size)


def device_bytes(source, devices):
    """Return the bytes of each device of the resident split: uint8 images, int32 labels, rows padded to the devices."""
    rows = -(-len(source) // devices)
    return rows * (32 * 32 * 3 + 4)


@pytest.mark.parametrize("devices", [1, 8])
def test_a_split_is_resident_where_it_fits(source, free, devices):
    parallel = make_parallel("jit", jax.devices()[:devices])
    needed, choices = device_bytes(source, devices), []
    for size, resident in ((needed / RESIDENT_SHARE + 1, True), (needed / RESIDENT_SHARE - 1, False)):
        free(size)
        feed = Feed(source, parallel, "auto")
        choices.append(feed.choice)
        assert (feed.resident, feed.split_bytes) == (resident, needed)
        assert feed.processes == (0, 1)
    assert "resident on the devices" in choices[0]
    assert "streamed" in choices[1]
    assert ("on each device" in choices[0]) == (devices > 1)
    free(needed / RESIDENT_SHARE + 1000)
    assert not Feed(source, parallel, "auto", spare_bytes=2000).resident, "promised memory is not free"


def test_a_split_that_cannot_be_resident_is_refused_before_it_is_read(source, free, monkeypatch):
    parallel = make_parallel("jit")
    free(device_bytes(source, 8) / 0.9)
    assert Feed(source, parallel, "resident").resident
    free(device_bytes(source, 8))
    monkeypatch.setattr(feed_module, "load_resident", lambda *arguments: pytest.fail("it was read"))
    with pytest.raises(InputError, match=r"data\.input=resident: .*, train, does not fit .*data\.input=auto"):
        Feed(source, parallel, "resident")
    assert not Feed(source, parallel, "stream").resident


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_the_shapes_are_those_of_the_batches(source, mode):
    parallel = make_parallel(mode)
    feed = Feed(source, parallel, "stream")
    with feed.batches(np.arange(16)[None]) as batches:
        batch = next(batches)
        next(batches, None)
    assert {name: (x.shape, x.dtype) for name, x in feed.batch_shapes(16).items()} == {
        name: (x.shape, x.dtype) for name, x in batch.items()
    }
    for name, shape in feed.batch_shapes(16).items():
        assert shape.sharding.is_equivalent_to(batch[name].sharding, batch[name].ndim)
    arrays = Feed(source, parallel, "resident").arrays
    assert {name: x.shape for name, x in feed.shapes.items()} == {name: x.shape for name, x in arrays.items()}


def test_a_stream_that_ends_early_leaves_no_thread(source):
    feed = Feed(source, make_parallel("jit"), "stream")
    with feed.batches(np.zeros((50, 8), np.int64)) as batches:
        next(batches)
        assert any(thread.name.startswith("to-device") for thread in threading.enumerate())
    assert not any(thread.name.startswith("to-device") for thread in threading.enumerate())


def test_the_fullest_device_counts_where_devices_report_their_memory():
    def device(limit, used):
        return SimpleNamespace(memory_stats=lambda: {"bytes_limit": limit, "bytes_in_use": used})

    parallel = SimpleNamespace(mesh=SimpleNamespace(local_devices=[device(100, 10), device(100, 40)]))
    assert free_bytes(parallel) == 60


def test_devices_that_report_nothing_share_main_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 800)
    assert free_bytes(make_parallel("jit")) == 100


def test_all_processes_take_the_smallest_free_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 80 << 30)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(memory.multihost_utils, "process_allgather", lambda mine: np.stack([mine, np.int32(1000)]))
    assert free_bytes(make_parallel("jit")) == 1000 << 20


def test_the_bytes_of_a_program_count_donated_arguments_once():
    ones = jax.ShapeDtypeStruct((1000,), np.float32)
    kept = jax.jit(lambda x, y: x * y).lower(ones, ones).compile()
    donated = jax.jit(lambda x, y: x * y, donate_argnums=0).lower(ones, ones).compile()
    assert program_bytes(kept) >= 12_000
    assert program_bytes(kept) - program_bytes(donated) == 4000
