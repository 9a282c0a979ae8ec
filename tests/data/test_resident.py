import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mtsccd_jax.data import resident as resident_module
from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.data.resident import gather, load_resident
from mtsccd_jax.data.stream import stream
from mtsccd_jax.data.tfds_source import tfds_source


def over(devices: int, spec: PartitionSpec) -> NamedSharding:
    return NamedSharding(Mesh(jax.devices()[:devices], "data"), spec)


@pytest.mark.parametrize(
    ("devices", "spec"), [(1, PartitionSpec("data")), (8, PartitionSpec("data")), (8, PartitionSpec())]
)
def test_resident_batches_are_the_streamed_ones_bit_for_bit(tiles_dir, devices, spec, monkeypatch):
    monkeypatch.setattr(resident_module, "CHUNK_ROWS", 3)  # 37 rows: several chunks on every device, the last overlaps
    source = tfds_source("scene_tiles", "train", data_dir=tiles_dir, image_size=16)
    resident = load_resident(source, over(devices, spec))
    order = batch_indices(5, 2, len(source), 8)
    gathered = jax.jit(gather)
    with stream(source, order) as batches:
        for rows, batch in zip(order, batches, strict=True):
            found = gathered(resident, rows)
            assert set(found) == set(batch) - {"date", "filename"}
            for field, value in found.items():
                assert value.dtype == batch[field].dtype
                np.testing.assert_array_equal(value, batch[field])


@pytest.mark.parametrize("devices", [1, 8])
def test_rows_are_padded_and_laid_out_as_asked(tiles_dir, devices):
    source = tfds_source("scene_tiles", "test_a", data_dir=tiles_dir)  # 5 rows: fewer than devices
    sharding = over(devices, PartitionSpec("data"))
    resident = load_resident(source, sharding)
    rows = 5 if devices == 1 else 8
    assert resident["image"].shape == (rows, 24, 24, 3)
    assert resident["image"].dtype == np.uint8
    assert all(value.sharding.is_equivalent_to(sharding, value.ndim) for value in resident.values())
    for row in range(5):
        np.testing.assert_array_equal(gather(resident, np.array([row]))["image"][0], source[row]["image"])


def test_gather_lays_the_batch_out_over_devices(train_tiles):
    sharding = over(8, PartitionSpec("data"))
    batch = jax.jit(gather, out_shardings=sharding)(load_resident(train_tiles, sharding), np.arange(16))
    assert {shard.data.shape[0] for shard in batch["image"].addressable_shards} == {2}
    np.testing.assert_array_equal(batch["image"], train_tiles.read(np.arange(16))["image"])
