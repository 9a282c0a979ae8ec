"""The input of a network: images, and bands brought to one size, stacked and normalised."""

import subprocess
import sys
from dataclasses import replace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.data.bands import (
    band_names,
    channels,
    images_of,
    interpolation_matrix,
    normalize,
    picture,
    picture_bands,
    resample,
    seen,
    statistics,
)
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data, Recipe, override
from tfds_builders.bigearthnet.bands import BANDS, V1_STATISTICS, V2_STATISTICS

BANDED = Data("bigearthnet_v2", image_size=120, bands=("VH", "B02", "B05", "B01"), mean=(), std=())


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    """Return bands of five patches at their native sizes and types."""
    random = np.random.default_rng(0)
    values = {name: random.integers(0, 12_000, (5, *band.shape)) for name, band in BANDS.items()}
    return {
        name: (value / 300 - 30 if BANDS[name].dtype == "float32" else value).astype(BANDS[name].dtype)
        for name, value in values.items()
    }


def test_images_are_normalised_as_in_float64():
    image = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), np.uint8)
    expected = (image / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    for given in (image, image.astype(np.float32)):
        found = normalize(jnp.asarray(given), Data())
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(seen({"image": image}, Data()), normalize(image, Data()))


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_bands_are_seen_in_the_order_of_the_recipe_in_units_of_their_statistics(batch, method):
    data = replace(BANDED, resample=method)
    found = jax.jit(lambda batch: seen(batch, data))(batch)
    assert found.shape == (5, 120, 120, 4)
    kinds = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    for channel, name in enumerate(data.bands):
        known = V2_STATISTICS[name]
        for patch in range(5):
            band = batch[name][patch].astype(np.float64)
            expected = (cv2.resize(band, (120, 120), interpolation=kinds[method]) - known.mean) / known.std
            np.testing.assert_allclose(found[patch, :, :, channel], expected, rtol=2e-4, atol=2e-4)
    (name, stacked), *others = images_of(batch, data).items()
    assert (name, others) == ("image", [])
    np.testing.assert_array_equal(normalize(stacked, data), found)


@pytest.mark.parity
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(("side", "size"), [(20, 120), (60, 120), (120, 224), (120, 60), (60, 72), (120, 120)])
def test_resampling_is_that_of_torch(side, size, method):
    torch = pytest.importorskip("torch", reason="the reference is torch's interpolate")
    band = np.random.default_rng(0).normal(1000, 500, (3, side, side)).astype(np.float32)
    settings = {} if method == "nearest" else {"align_corners": False}
    # In float64: in float32 torch is 50 times farther from it than we are.
    wide = torch.tensor(band.astype(np.float64))[:, None]
    expected = torch.nn.functional.interpolate(wide, size=(size, size), mode=method, **settings)[:, 0].numpy()
    np.testing.assert_allclose(resample(jnp.asarray(band), size, method), expected, rtol=1e-6, atol=1e-3)


def test_a_band_of_the_asked_size_keeps_every_value(batch):
    for method in ("nearest", "bilinear", "bicubic"):
        np.testing.assert_array_equal(resample(jnp.asarray(batch["B02"]), 120, method), batch["B02"])


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("length", "size"), [(20, 120), (60, 120), (120, 60), (7, 7), (1, 4)])
def test_new_pixels_are_averages_of_old_ones(length, size, method):
    matrix = interpolation_matrix(length, size, method)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)
    if method == "bilinear":  # exact for a straight line away from the border
        line, wanted = np.arange(length), (np.arange(size) + 0.5) * length / size - 0.5
        inside = (wanted > 0) & (wanted < length - 1)
        np.testing.assert_allclose((matrix @ line)[inside], wanted[inside], atol=1e-4)


def test_sets_of_channels_have_names():
    assert band_names(Data()) == ()
    assert channels(Data()) == 3
    assert band_names(replace(BANDED, bands=("10m",))) == ("B02", "B03", "B04", "B08")
    assert channels(replace(BANDED, bands=("s1_10m_20m",))) == 12
    assert statistics(replace(BANDED, dataset="bigearthnet_v1/rgb_43", bands=("rgb",))) == (
        tuple(V1_STATISTICS[name].mean for name in ("B04", "B03", "B02")),
        tuple(V1_STATISTICS[name].std for name in ("B04", "B03", "B02")),
    )
    given = replace(BANDED, bands=("VV",), mean=(-10.0,), std=(2.0,))
    assert statistics(given) == ((-10.0,), (2.0,))


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["data.bands=B2"], r"no band 'B2'\. Did you mean 'B12'\?"),
        (["data.bands=B02,B02"], "give each band once"),
        (["data.bands=rgb,B08"], "no band 'rgb'"),
        (["data.bands=10m"], r"data.mean has 3 values for 4 channels; leave data.mean= and data.std= empty"),
        (["data.bands=rgb", "data.mean=", "data.std="], "statistics are known of bigearthnet_v1, bigearthnet_v2 alone"),
        (["data.bands=rgb"], r"are those of images in \[0, 1\], and not in the units of bands; leave data.mean= and"),
        (["data.mean=0.5"], r"data.mean has 1 values for 3 channels$"),
        (["data.std=1,0,1"], "must be above 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(assignments, message):
    with pytest.raises(InputError, match=message):
        statistics(override(Recipe("made_up", "for tests"), assignments).data)


def test_people_see_natural_colours_or_radar(batch):
    assert picture_bands(tuple(BANDS)) == ("B04", "B03", "B02")
    assert picture_bands(("VH", "VV", "B02")) == ("VV", "VH")
    assert picture_bands(("B08", "B11")) == ("B08",)
    natural = picture({name: batch[name] for name in ("B04", "B03", "B02")})
    assert natural.shape == (5, 120, 120, 3)
    np.testing.assert_array_equal(natural[..., 0], np.clip(np.rint(batch["B04"] / 2000.0 * 255), 0, 255))
    radar = picture({"VV": np.full((1, 2, 2), -12.5, np.float32), "VH": np.full((1, 2, 2), -30, np.float32)})
    np.testing.assert_array_equal(radar[0, 0, 0], [128, 0, 255])
    grey = picture({"B08": batch["B08"]})
    assert (grey.min(), grey.max()) == (0, 255)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


def test_images_need_neither_builders_nor_tfds():
    """A machine that only trains on arrays need not have them."""
    code = (
        "import sys; sys.modules['tfds_builders'] = sys.modules['tensorflow_datasets'] = None\n"
        "import mtsccd_jax.engine.loop, mtsccd_jax.tasks.feature_cache\n"
        "from mtsccd_jax.recipes.config import Data\n"
        "from mtsccd_jax.data.bands import channels, statistics\n"
        "print(channels(Data()), len(statistics(Data())[0]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.returncode) == (["3", "3"], 0), done.stderr
