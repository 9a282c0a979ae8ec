"""Metrics against scikit-learn, and the laws of counting."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from mtsccd_jax.ops import metrics

SCIKIT_LEARN = {
    "oa": sk.accuracy_score,
    "kappa": sk.cohen_kappa_score,
    "precision": partial(sk.precision_score, zero_division=0),
    "recall": partial(sk.recall_score, zero_division=0),
    "f1": partial(sk.f1_score, zero_division=0),
    "balanced": sk.balanced_accuracy_score,
}


def _labels(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = random.integers(0, k, n)
    prediction = np.where(random.random(n) < 0.6, label, random.integers(0, k, n))
    return label.astype(np.int32), prediction.astype(np.int32)


def test_confusion_matrix_counts_like_scikit_learn():
    label, prediction = _labels(500, 10, 0)
    counts = metrics.confusion_matrix(label, prediction, 10)
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(counts, sk.confusion_matrix(label, prediction, labels=range(10)))


def test_merging_batches_is_addition_in_any_order():
    label, prediction = _labels(300, 4, 1)
    whole = metrics.confusion_matrix(label, prediction, 4)
    parts = [metrics.confusion_matrix(label[s], prediction[s], 4) for s in (slice(0, 100), slice(100, 300))]
    np.testing.assert_array_equal(whole, parts[0] + parts[1])
    np.testing.assert_array_equal(whole, parts[1] + parts[0])


def test_masked_rows_are_not_counted_whatever_they_hold():
    label, prediction = np.array([0, 1, -7, 99]), np.array([0, 0, 99, -7])
    counts = metrics.confusion_matrix(label, prediction, 2, np.array([True, True, False, False]))
    np.testing.assert_array_equal(counts, [[1, 0], [1, 0]])


def test_confusion_matrix_inside_jit_leaves_out_what_has_no_cell():
    counts = jax.jit(lambda t, p: metrics.confusion_matrix(t, p, 3))(jnp.array([0, 2, 3, -1]), jnp.array([0, 1, 0, 2]))
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("label", "prediction", "k", "text"),
    [
        ([0, 1], [0], 2, "vectors of one length"),
        ([[0]], [[0]], 2, "vectors of one length"),
        ([0.0], [0], 2, "label_n must hold integers"),
        ([0, 2], [0, 0], 2, r"label_n\[1\] is 2, outside the 2 classes"),
        ([0, 1], [0, -1], 2, r"prediction_n\[1\] is -1, outside the 2 classes"),
        ([0], [0], 0, "num_classes must be at least 1"),
    ],
)
def test_confusion_matrix_refuses(label, prediction, k, text):
    with pytest.raises(ValueError, match=text):
        metrics.confusion_matrix(np.array(label), np.array(prediction), k)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 8])
def test_metrics_agree_with_scikit_learn(classes, seed):
    label, prediction = _labels(400, classes, seed)
    label, prediction = np.where(label == 5, 0, label), np.where(prediction == 3, 2, prediction)  # 5 is never true
    counts = np.asarray(metrics.confusion_matrix(label, prediction, classes))
    found = metrics.binary_metrics(counts.ravel()) if classes == 2 else metrics.scene_metrics(counts)
    average = {"average": "binary" if classes == 2 else "macro"}
    assert list(found) == list(metrics.BINARY_METRICS)
    for name, score in SCIKIT_LEARN.items():
        options = average if name in ("precision", "recall", "f1") else {}
        assert found[name] == pytest.approx(score(label, prediction, **options), abs=1e-12), name


def test_metrics_of_a_class_are_zero_where_undefined():
    precision, recall, f1 = metrics.precision_recall_f1(np.array([[3, 0, 1], [0, 0, 0], [2, 0, 0]]))
    np.testing.assert_allclose(precision, [0.6, 0, 0])
    np.testing.assert_allclose(recall, [0.75, 0, 0])
    np.testing.assert_allclose(f1, [6 / 9, 0, 0])


@pytest.mark.parametrize("confusion", [(7, 0, 0, 0), (0, 0, 0, 7), (0, 0, 0, 0)])
def test_kappa_of_agreement_that_chance_alone_explains_is_zero(confusion):
    assert metrics.binary_metrics(confusion)["kappa"] == 0.0


def test_kappa_does_not_overflow():
    n = 10**12  # n^2 is far beyond int64
    assert metrics.cohen_kappa(np.array([[n, 0], [0, n]])) == 1.0
    assert metrics.cohen_kappa(np.array([[n, n], [n, n]])) == 0.0


@pytest.mark.parametrize(
    ("confusion", "text"),
    [([[1, 2]], "square"), (3, "square"), ([[1.0]], "non-negative integer"), ([[-1]], "non-negative integer")],
)
def test_what_is_no_confusion_is_refused(confusion, text):
    with pytest.raises(ValueError, match=text):
        metrics.overall_accuracy(np.array(confusion))


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_many_confusions_at_once_are_each_as_alone(classes):
    random = np.random.default_rng(4)
    confusions = random.integers(0, 9, (200, classes, classes)) * (random.random((200, classes, classes)) < 0.5)
    confusions[0] = 0
    found = metrics.metrics_of_many(confusions, binary=classes == 2)
    for place, confusion in enumerate(confusions):
        alone = metrics.binary_metrics(confusion.ravel()) if classes == 2 else metrics.scene_metrics(confusion)
        assert {name: values[place] for name, values in found.items()} == alone
