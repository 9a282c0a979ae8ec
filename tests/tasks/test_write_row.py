"""The rows of the protocols, recomputed from their artefacts by other means."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, f1_score

from mtsccd_jax.report.rows import load, load_artefact


@pytest.fixture(scope="session")
def rows(demo_run):
    return {(row.protocol, row.split): row for row in load(demo_run[0])}


def arrays(demo_run, row, name):
    found = load_artefact(demo_run[0], row, name)
    assert found is not None
    return found


@pytest.mark.parametrize("split", ["validation", "test_a", "test_b"])
def test_a_scene_row_is_its_predictions(demo_run, rows, split):
    row = rows["scene", split]
    found = arrays(demo_run, row, "predictions")
    label, prediction = found["label"], found["prediction"]
    assert row.n == len(label) == len(set(found["filename"]))
    assert row.metrics["oa"]["value"] == pytest.approx(accuracy_score(label, prediction))
    assert row.metrics["kappa"]["value"] == pytest.approx(cohen_kappa_score(label, prediction))
    np.testing.assert_array_equal(row.confusion, confusion_matrix(label, prediction, labels=range(10)))
    np.testing.assert_array_equal(found["probability"].argmax(1), prediction)
    assert row.metrics["oa"]["low"] <= row.metrics["oa"]["value"] <= row.metrics["oa"]["high"]
    assert row.baseline["oa"] == pytest.approx(np.bincount(label).max() / len(label))


@pytest.mark.parametrize("split", ["test_a", "test_b"])
@pytest.mark.parametrize("method", ["cfsm", "cdc_1"])
def test_a_change_row_is_its_predictions(demo_run, rows, method, split):
    row = rows[method, split]
    found = arrays(demo_run, row, "predictions")
    changed, predicted = found["changed"], found["predicted"]
    np.testing.assert_array_equal(changed, found["label_t1"] != found["label_t2"])
    assert row.metrics["kappa"]["value"] == pytest.approx(cohen_kappa_score(changed, predicted))
    assert row.metrics["f1"]["value"] == pytest.approx(f1_score(changed, predicted, zero_division=0))
    np.testing.assert_array_equal(row.confusion, confusion_matrix(changed, predicted, labels=[False, True]))
    assert row.baseline["oa"] == pytest.approx(1 - changed.mean())
    assert row.baseline["kappa"] == 0
    if method == "cdc_1":
        np.testing.assert_array_equal(predicted, found["prediction_t1"] != found["prediction_t2"])
        assert row.threshold is None
    else:
        threshold = np.inf if row.threshold is None else row.threshold
        np.testing.assert_array_equal(predicted, found["distance"] >= threshold)
        assert row.metrics_rechosen is not None


def test_the_threshold_is_the_best_on_validation_and_nowhere_else(demo_run, rows):
    row = rows["cfsm", "test_a"]
    validation = arrays(demo_run, row, "validation")
    distance, changed = validation["distance"], validation["changed"]
    kappas = {cut: cohen_kappa_score(changed, distance >= cut) for cut in np.unique(distance)}
    best = max(kappas.values())
    assert row.threshold_from == "validation"
    assert cohen_kappa_score(changed, distance >= row.threshold) == pytest.approx(best, abs=1e-6)
    assert row.threshold == rows["cfsm", "test_b"].threshold


def test_both_methods_see_the_same_pairs_in_the_same_order(demo_run, rows):
    one, other = (arrays(demo_run, rows[method, "test_b"], "predictions") for method in ("cfsm", "cdc_1"))
    np.testing.assert_array_equal(one["filename_t1"], other["filename_t1"])
    for t1, t2 in zip(one["filename_t1"], one["filename_t2"], strict=True):
        assert str(t1).split("_")[2:4] == str(t2).split("_")[2:4], "a pair is one tile at two dates"


def test_a_row_says_where_it_comes_from(rows):
    for row in rows.values():
        assert row.recipe["name"] == "demo"
        assert row.versions["jax"]
        assert "cpu" in row.device
        assert len(row.checksums["data"]) == 64
        assert set(row.checksums["artefacts"]) == set(row.artefacts)
        assert row.images_per_s > 0
