"""Visual words counted where the network runs, against feature maps and scikit-learn on the host."""

from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
import pytest
from flax import nnx
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin

from mtsccd_jax.data.bands import normalize
from mtsccd_jax.data.folder_source import pair_files
from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.errors import InputError
from mtsccd_jax.tasks.change import visual_words as module
from mtsccd_jax.tasks.change.visual_words import (
    Dictionary,
    count_words,
    fit_dictionary,
    make_descriptor_step,
    make_words_step,
    map_places,
)
from mtsccd_jax.tasks.feature_cache import FeatureCache


def local(trained, source, field="image"):
    """The last feature maps of a source on the host, (n, places, channels)."""
    data, graph = trained.recipe.data, trained.network.eval_graph

    @jax.jit
    def feature_maps(state, image):
        return nnx.merge(graph, state.params, state.statistics)(normalize(image, data)).feature_map

    image = source.read(np.arange(len(source)))[field].astype(np.float32)
    feature_map = np.asarray(feature_maps(trained.state, image))
    return feature_map.reshape(len(source), -1, feature_map.shape[-1])


class KMeansOf(NamedTuple):
    """What k-means returns, in a test that only looks at its points."""

    center_kd: np.ndarray
    inertia: float


@pytest.fixture(scope="module")
def validation(recipe):
    return open_source(recipe.data, "validation")


def test_the_share_of_each_word_is_that_of_its_nearest_places(born, validation):
    trained = born()
    descriptors = local(trained, validation)
    _, places, channels = descriptors.shape
    assert map_places(trained) == places == 16
    center = np.random.default_rng(0).permutation(descriptors.reshape(-1, channels))[:7]
    words = count_words(FeatureCache(trained), validation, Dictionary(center, 0.0, 0, ""))
    nearest = pairwise_distances_argmin(descriptors.reshape(-1, channels), center).reshape(-1, places)
    expected = [np.bincount(image, minlength=7) / places for image in nearest]
    np.testing.assert_allclose(words.values["image"].whole, expected, atol=1e-7)
    np.testing.assert_allclose(words.values["image"].whole.sum(1), 1, rtol=1e-6)


def test_words_do_not_depend_on_how_the_devices_are_driven(born, validation):
    trained = born(words=5)
    mapped = replace(trained, parallel=make_parallel("pmap"))
    found = {}
    for name, one in (("jit", trained), ("pmap", mapped)):
        cache = FeatureCache(one)
        dictionary = fit_dictionary(cache, validation)
        found[name] = dictionary.center_kd, count_words(cache, validation, dictionary).values["image"].whole
    np.testing.assert_allclose(found["jit"][0], found["pmap"][0], atol=1e-4)
    assert np.mean(found["jit"][1] == found["pmap"][1]) > 0.99, "rounding may move a place"


def test_both_steps_lower_for_every_platform_and_never_scatter_floats(born):
    trained = born()
    network, data, state = trained.network, trained.recipe.data, trained.state
    image = jax.ShapeDtypeStruct((8, 32, 32, 3), np.uint8)
    place, center = jax.ShapeDtypeStruct((8, 3), np.int32), jax.ShapeDtypeStruct((5, 16), np.float32)
    for step, known, batch in (
        (make_words_step(network, data), (state, center), {"image": image}),
        (make_descriptor_step(network, data), state, {"image": image, "place": place}),
    ):
        exported = jax.export.export(jax.jit(step), platforms=["cpu", "cuda", "tpu"])(known, batch)
        assert exported.platforms == ("cpu", "cuda", "tpu")
        assert "stablehlo.scatter" not in exported.mlir_module()


def test_a_dictionary_on_all_descriptors_is_as_good_as_scikit_learns(born, validation):
    trained = born(words=6, descriptors=100_000)
    dictionary = fit_dictionary(FeatureCache(trained), validation)
    descriptors = local(trained, validation).reshape(-1, dictionary.center_kd.shape[1])
    assert dictionary.descriptors == len(descriptors), "all places of all images"
    assert dictionary.fitted_on == f"{validation.name}, validation"
    reference = KMeans(6, n_init=5, random_state=0).fit(descriptors)
    assert dictionary.inertia <= 1.05 * reference.inertia_
    squared = ((descriptors[:, None] - dictionary.center_kd) ** 2).sum(-1).min(1)
    assert dictionary.inertia == pytest.approx(squared.sum(), rel=1e-3)


def test_no_more_descriptors_are_drawn_than_asked_for_and_by_the_seed_alone(born, validation, monkeypatch):
    drawn = []

    def keep(point_nd, words, seed, *, order_n):
        drawn.append(np.asarray(point_nd)[np.argsort(order_n)][np.sum(order_n < 0) :])
        return KMeansOf(drawn[-1][:words], 0.0)

    monkeypatch.setattr(module, "fit_kmeans", keep)
    trained = born()
    cache = FeatureCache(trained)
    known = {tuple(point) for point in local(trained, validation).reshape(-1, 16).round(3)}
    for descriptors in (150, 11):
        for seed in (3, 3, 9):
            change = replace(trained.recipe.change, words=5, descriptors=descriptors)
            cache.trained = replace(trained, recipe=replace(trained.recipe, change=change, seed=seed))
            assert fit_dictionary(cache, validation).descriptors == len(drawn[-1]) <= descriptors
            assert len(drawn[-1]) > 0.75 * descriptors
            found = [tuple(point) for point in drawn[-1].round(3)]
            assert sum(point in known for point in found) > 0.9 * len(found), "rounding may part a few"
        np.testing.assert_array_equal(drawn[-3], drawn[-2])
        assert (drawn[-2] != drawn[-1]).any()


def test_both_dates_of_pairs_give_descriptors(born, scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fit_kmeans", lambda point_nd, words, *_, **__: KMeansOf(point_nd[:words], 0.0))
    (tmp_path / "A").symlink_to(scenes / "dark")
    (tmp_path / "B").symlink_to(scenes / "stripes")
    source = pair_files(tmp_path, image_size=32)
    dictionary = fit_dictionary(FeatureCache(born(words=2, descriptors=10_000)), source)
    assert dictionary.descriptors == len(source) * 2 * 16


@pytest.mark.parametrize(
    ("settings", "drawn"), [({"words": 9_000}, "images of 16 places"), ({"descriptors": 100}, "change.descriptors=100")]
)
def test_fewer_descriptors_than_words_are_refused(born, validation, settings, drawn):
    with pytest.raises(InputError, match=r"local descriptors .* are fewer than change.words=") as caught:
        fit_dictionary(FeatureCache(born(**settings)), validation)
    assert drawn in str(caught.value)
    assert "\n" not in str(caught.value)
