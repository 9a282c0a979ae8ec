import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mtsccd_jax.data.augment import augment
from mtsccd_jax.recipes.config import Data

EVERYTHING = Data(crop_padding=4, flip=True, turn=True, color_jitter=0.3)
NOTHING = Data(crop_padding=0, flip=False, turn=False, color_jitter=0.0)


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.permutation(1000)[:64].astype(np.int32), rng.integers(0, 256, (64, 20, 20, 3), np.uint8)


def run(key, row_b, image_bhwc, data):
    return np.asarray(jax.jit(augment, static_argnames="data")(key, row_b, image_bhwc, data=data))


def dihedral(image: np.ndarray) -> list[np.ndarray]:
    """Return quarter turns 0 to 3, then the same of the mirrored image."""
    return [np.rot90(mirrored, turns) for mirrored in (image, image[:, ::-1]) for turns in range(4)]


def test_nothing_asked_for_changes_nothing(batch):
    row_b, image_bhwc = batch
    found = run(jax.random.key(0), row_b, image_bhwc, NOTHING)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, image_bhwc)


@pytest.mark.parametrize(
    ("flip", "turn", "allowed"),
    [(True, False, {0, 4}), (False, True, {0, 1, 2, 3}), (True, True, set(range(8)))],
)
def test_flips_and_turns_are_those_of_the_square_and_all_occur(batch, flip, turn, allowed):
    row_b, image_bhwc = batch
    found = run(jax.random.key(1), row_b, image_bhwc, Data(flip=flip, turn=turn))
    kinds = [
        next(kind for kind, variant in enumerate(dihedral(image)) if np.array_equal(result, variant))
        for image, result in zip(image_bhwc, found, strict=True)
    ]
    assert set(kinds) == allowed


def test_crops_are_windows_of_the_reflected_image(batch):
    row_b, image_bhwc = batch
    found = run(jax.random.key(2), row_b, image_bhwc, Data(crop_padding=2, flip=False, turn=False))
    offsets = set()
    for image, result in zip(image_bhwc, found, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        hits = [(y, x) for y in range(5) for x in range(5) if np.array_equal(result, padded[y : y + 20, x : x + 20])]
        assert hits
        offsets |= set(hits)
    assert {y for y, _ in offsets} == {x for _, x in offsets} == set(range(5))


def test_color_jitter_is_brightness_and_contrast_about_the_mean(batch):
    row_b, image_bhwc = batch
    image_bhwc = image_bhwc // 4 + 96  # in [96, 159]: nothing is clipped
    found = run(jax.random.key(3), row_b, image_bhwc, Data(flip=False, turn=False, color_jitter=0.2)).astype(np.float64)
    before = image_bhwc.reshape(64, -1).astype(np.float64)
    after = found.reshape(64, -1)
    brightness = after.mean(1) / before.mean(1)
    contrast = after.std(1) / before.std(1) / brightness
    for factor in (brightness, contrast):
        assert factor.min() > 0.8 - 1e-5
        assert factor.max() < 1.2 + 1e-5
        assert factor.std() > 0.05
    expected = brightness[:, None] * (before.mean(1)[:, None] + contrast[:, None] * (before - before.mean(1)[:, None]))
    np.testing.assert_allclose(after, expected, atol=1e-3)
    extreme = run(jax.random.key(3), row_b, np.where(image_bhwc > 127, 255, 0).astype(np.uint8), EVERYTHING)
    assert extreme.min() >= 0
    assert extreme.max() <= 255


def test_an_example_does_not_depend_on_its_batch_or_its_place(batch):
    row_b, image_bhwc = batch
    key = jax.random.key(4)
    whole = run(key, row_b, image_bhwc, EVERYTHING)
    order = np.random.default_rng(1).permutation(64)
    np.testing.assert_array_equal(run(key, row_b[order], image_bhwc[order], EVERYTHING), whole[order])
    for size in (1, 3, 24):
        np.testing.assert_array_equal(run(key, row_b[:size], image_bhwc[:size], EVERYTHING), whole[:size])
    changed = run(jax.random.key(5), row_b, image_bhwc, EVERYTHING)
    assert (changed != whole).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("devices", [2, 8])
def test_an_example_does_not_depend_on_the_layout_over_devices(batch, devices):
    row_b, image_bhwc = batch
    sharding = NamedSharding(Mesh(jax.devices()[:devices], "data"), PartitionSpec("data"))
    key = jax.random.key(4)
    spread = run(key, jax.device_put(row_b, sharding), jax.device_put(image_bhwc, sharding), EVERYTHING)
    np.testing.assert_array_equal(spread, run(key, row_b, image_bhwc, EVERYTHING))


def test_the_same_key_and_rows_move_both_dates_alike(batch):
    row_b, image_bhwc = batch
    key = jax.random.key(6)
    data = Data(crop_padding=3, flip=True, turn=True)
    first = run(key, row_b, image_bhwc, data)
    second = run(key, row_b, 255 - image_bhwc, data)
    np.testing.assert_array_equal(first, 255 - second)


def test_oblong_images_flip_but_do_not_turn(batch):
    row_b, image_bhwc = batch
    oblong = image_bhwc[:, :12]
    found = run(jax.random.key(7), row_b, oblong, Data(turn=False, flip=True, crop_padding=3))
    assert found.shape == oblong.shape
    with pytest.raises(ValueError, match=r"quarter turns need square images, got 20x12; set data.turn=false"):
        augment(jax.random.key(7), row_b, oblong, Data(turn=True))
    with pytest.raises(ValueError, match=r"crop_padding must be in \[0, 12\), got 12; lower data.crop_padding"):
        augment(jax.random.key(7), row_b, oblong, Data(turn=False, crop_padding=12))
