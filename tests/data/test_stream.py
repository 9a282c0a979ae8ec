import sys
import threading

import jax
import numpy as np
import pytest

from mtsccd_jax.data.folder_source import folder_source
from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.data.stream import stream, to_device
from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.errors import InputError


@pytest.fixture(params=["grain", "the standard library"])
def reader(request, monkeypatch):
    """Choose what reads ahead; return the beginning of its threads' names."""
    if request.param == "grain":
        pytest.importorskip("grain", reason="grain is not installed: the standard library reads ahead")
        return "grain-prefetch"
    monkeypatch.setitem(sys.modules, "grain", None)
    return "read-ahead"


@pytest.mark.parametrize("threads", [None, 1, 3, 7])
def test_batches_come_in_order_and_name_their_rows(train_tiles, threads, reader):
    order = batch_indices(1, 0, len(train_tiles), 4)
    with stream(train_tiles, order, threads=threads) as batches:
        assert len(batches) == len(order) == 9
        for rows, batch in zip(order, batches, strict=True):
            assert batch["row"].dtype == np.int32
            np.testing.assert_array_equal(batch["row"], rows)
            for field, value in train_tiles.read(rows).items():
                np.testing.assert_array_equal(batch[field], value)


@pytest.mark.parametrize("steps", [0, 1])
def test_short_streams_end(tiles_dir, steps, reader):
    source = tfds_source("scene_tiles", "test_a", data_dir=tiles_dir)
    assert len(list(stream(source, np.zeros((steps, 1), np.int64)))) == steps


def test_errors_arrive_where_their_batch_is_due(class_tree, reader):
    source = folder_source(class_tree, "all", image_size=16)
    (class_tree / "water" / "0.JPG").write_bytes(b"")
    bad = source.column("filename").tolist().index("water/0.JPG")
    batches = stream(source, np.arange(len(source))[:, None], threads=2)
    for row in range(bad):
        assert next(batches)["row"] == row
    with pytest.raises(InputError, match=r"^.*water/0.JPG is empty; replace or remove it$"):
        next(batches)


def test_leaving_a_stream_ends_its_threads(train_tiles, reader):
    with stream(train_tiles, np.zeros((50, 2), np.int64), threads=2) as batches:
        next(batches)
        workers = [thread for thread in threading.enumerate() if thread.name.startswith(reader)]
        assert workers
    for worker in workers:
        worker.join(timeout=30)
        assert not worker.is_alive()


def place(batch):
    sharding = jax.sharding.NamedSharding(jax.sharding.Mesh(jax.devices(), "data"), jax.sharding.PartitionSpec("data"))
    return jax.device_put(batch, sharding)


def test_device_batches_are_the_host_batches_without_text(train_tiles):
    order = batch_indices(1, 0, len(train_tiles), 8)
    with stream(train_tiles, order) as batches:
        found = list(to_device(batches, place))
    assert len(found) == len(order)
    for rows, batch in zip(order, found, strict=True):
        expected = train_tiles.read(rows)
        assert set(batch) == set(expected) - {"date", "filename"} | {"row"}
        assert len(batch["image"].sharding.device_set) == 8
        for field in ("image", "label"):
            np.testing.assert_array_equal(batch[field], expected[field])


def test_device_iteration_hands_on_errors_and_ends_its_thread(tiles_dir):
    def failing():
        yield {"label": np.zeros(8, np.int32)}
        raise InputError("tile 9 is empty; replace or remove it")

    batches = to_device(failing(), place)
    next(batches)
    with pytest.raises(InputError, match="tile 9"):
        next(batches)
    half = to_device(({"label": np.zeros(8, np.int32)} for _ in range(10)), place)
    next(half)
    half.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("to-device")]
