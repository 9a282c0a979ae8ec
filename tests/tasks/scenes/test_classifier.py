"""The SVM of scenes against scikit-learn's, how its penalty is chosen, and what it refuses."""

from functools import partial

import jax
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score
from sklearn.svm import SVC, LinearSVC

from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.processes import Rows, Share
from mtsccd_jax.recipes.config import Scene
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.scenes import classifier as module
from mtsccd_jax.tasks.scenes.classifier import fit_classifier, scene_classifier, unit_length


def features(n, seed, classes=4):
    generator = np.random.default_rng(seed)
    label = generator.integers(0, classes, n)
    feature = generator.normal(size=(n, 12)) + 1.2 * np.eye(12)[label]
    return (feature * generator.uniform(0.1, 50, (n, 1))).astype(np.float32), label.astype(np.int32)


TRAIN, VALIDATION, TEST = features(200, 0), features(80, 1), features(60, 2)


def reference(c):
    svm = LinearSVC(C=c, dual=False, tol=1e-8, max_iter=10_000)
    return svm.fit(TRAIN[0] / np.linalg.norm(TRAIN[0], axis=1, keepdims=True), TRAIN[1])


@pytest.mark.parametrize(("metric", "score"), [("oa", accuracy_score), ("kappa", cohen_kappa_score)])
def test_labels_and_penalty_are_those_of_scikit_learn(metric, score):
    tried = (0.003, 0.05, 1.0, 20.0)
    found = fit(TRAIN, VALIDATION, 4, Scene(c=tried[::-1]), metric=metric)
    known = VALIDATION[0] / np.linalg.norm(VALIDATION[0], axis=1, keepdims=True)
    values = [score(VALIDATION[1], reference(c).predict(known)) for c in tried]
    np.testing.assert_allclose(found.value_c, values, atol=1e-6)
    assert found.c == tried[int(np.argmax(values))], "the smallest among equals"
    test = TEST[0] / np.linalg.norm(TEST[0], axis=1, keepdims=True)
    np.testing.assert_array_equal(found.scores(TEST[0]).argmax(1), reference(found.c).predict(test))
    np.testing.assert_allclose(found.scores(TEST[0]), reference(found.c).decision_function(test), atol=2e-3)
    np.testing.assert_allclose(found.scores(TEST[0] * 7), found.scores(TEST[0]), atol=1e-5)


def fit(train, validation, classes, settings, **options):
    """Fit on one device, which has all rows."""
    held = [(Rows(feature, Share((np.arange(len(feature)),))), label) for feature, label in (train, validation)]
    return fit_classifier(*held, classes, settings, make_parallel("jit", jax.devices()[:1]), "here", **options)


def intersection(x, y):
    return np.minimum(x[:, None], y[None]).sum(-1)


@pytest.mark.parametrize(("kernel", "reference_kernel"), [("rbf", "rbf"), ("intersection", intersection)])
def test_kernels_are_scikit_learns_on_features_of_unit_length(kernel, reference_kernel):
    positive = [(np.abs(feature), label) for feature, label in (TRAIN, VALIDATION)]
    found = fit(*positive, 4, Scene(kernel=kernel, c=(1.0,)))
    train, known = (feature / np.linalg.norm(feature, axis=1, keepdims=True) for feature, _ in positive)
    expected = SVC(C=1.0, kernel=reference_kernel).fit(train, TRAIN[1]).predict(known)
    assert np.mean(found.scores(positive[1][0]).argmax(1) == expected) > 0.97, "but for ties"
    assert found.kernel == kernel


def test_features_can_be_left_as_they_are():
    found = fit(TRAIN, VALIDATION, 4, Scene(c=(0.05,), unit_length=False))
    raw = LinearSVC(C=0.05, dual=False, tol=1e-8, max_iter=100_000).fit(*TRAIN)
    np.testing.assert_allclose(found.scores(TEST[0]), raw.decision_function(TEST[0]), rtol=2e-2, atol=2e-2)
    assert np.abs(found.scores(TEST[0] * 7) - found.scores(TEST[0])).max() > 1


def test_a_class_that_training_lacks_is_never_named():
    found = fit(TRAIN, VALIDATION, 6, Scene(c=(1.0,)))
    scores = found.scores(TEST[0])
    assert scores.shape == (60, 6)
    assert scores.argmax(1).max() < 4


def test_zero_features_stay_zero():
    np.testing.assert_array_equal(unit_length(np.zeros((2, 3))), np.zeros((2, 3)))
    np.testing.assert_allclose(np.linalg.norm(unit_length(TRAIN[0]), axis=1), 1, rtol=1e-6)


def test_an_svm_that_does_not_converge_stops_the_run_with_one_line(monkeypatch):
    monkeypatch.setattr(module, "fit_linear", partial(module.fit_linear, max_iterations=1))
    with pytest.raises(
        RunError, match=r"^here: the linear SVM with C=10 did not converge in \d+ iterations; leave C=10"
    ):
        fit(TRAIN, VALIDATION, 4, Scene(c=(10.0,)))


@pytest.mark.parametrize(
    ("train", "settings", "message"),
    [
        ((TRAIN[0], np.zeros(200, np.int32)), Scene(), "here: no SVM can be fitted"),
        ((np.full((200, 12), np.nan), TRAIN[1]), Scene(), "here: no SVM can be fitted"),
        (TRAIN, Scene(kernel="intersection"), "here: no SVM can be fitted"),
    ],
)
def test_what_no_svm_can_be_fitted_to_is_refused(train, settings, message):
    with pytest.raises(InputError, match=f"^{message}"):
        fit(train, VALIDATION, 4, settings)


def test_scenes_are_embedded_once_for_all_who_ask(born, monkeypatch):
    from mtsccd_jax.tasks import feature_cache

    seen = []

    def counted(trained, source):
        seen.append(source.split)
        return real(trained, source)

    real = feature_cache.embed
    monkeypatch.setattr(feature_cache, "embed", counted)
    cache = FeatureCache(born())
    first = scene_classifier(cache)
    assert scene_classifier(cache) is first
    assert cache.scenes("validation") is cache.scenes("validation", cache.training_data)
    assert sorted(seen) == ["train", "validation"]
    sources = cache.scenes("train"), cache.scenes("validation")
    train, known = ((cache.features(one).values["image"].features, one.column("label")) for one in sources)
    expected = fit(train, known, 3, Scene())
    assert first.c == expected.c
    assert first.value_c.max() > 0.6, "three classes that even random features tell apart"
