"""Rows of certainty are recomputed, and whatever was tampered with is named."""

import numpy as np
import pytest
from damaged_rows import keys, metric_keys, off, resaved
from made_up_certainty import make_certainty

from mtsccd_jax.recipes.config import Certainty


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(work directory, its rows by method and split); damaged artefacts are written beside their own."""
    path = tmp_path_factory.mktemp("certainty") / "run"
    return path, make_certainty(path, methods=("scene", "cfsm", "cdc_1", "sscd"))


@pytest.mark.parametrize("split", ["validation", "test_a"])
@pytest.mark.parametrize("method", ["scene", "cfsm", "cdc_1", "sscd"])
def test_every_number_is_checked(made, method, split):
    workdir, row = made[0], made[1][method, split]
    assert keys(workdir, row) == set()
    assert keys(workdir, row, metrics=off(row.metrics)) == metric_keys(row.metrics)
    assert keys(workdir, row, baseline=row.baseline | {"brier": 0.5}) == {"baseline.brier"}
    assert keys(workdir, row, n=row.n + 1) == {"n"}


def test_platt_rows_are_recomputed(tmp_path):
    row = make_certainty(tmp_path, ("cfsm",), ("test_a",), certainty=Certainty("platt", 0.8, 10, 30))["cfsm", "test_a"]
    assert keys(tmp_path, row) == set()


def surer(arrays):
    arrays["probability"][:] = np.round(arrays["probability"])


def other_truth(arrays):
    arrays["changed"][:5] ^= 1


def wider(arrays):
    arrays["in_set"][:] = True


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("predictions", surer, {"artefacts.predictions.probability", "metrics.ece.value", "metrics.brier.value"}),
        ("predictions", wider, {"artefacts.predictions.in_set", "metrics.coverage.value", "metrics.set_size.value"}),
        ("validation", other_truth, {"artefacts.predictions.probability", "artefacts.map", "baseline.brier"}),
        ("map", lambda arrays: arrays["value_m"].sort(), set()),
        ("map", lambda arrays: np.multiply(arrays["value_m"], 0.5, out=arrays["value_m"]), {"artefacts.map"}),
        ("predictions", lambda arrays: arrays.pop("kept"), {"artefacts.predictions"}),
    ],
)
def test_changed_artefacts_change_all_that_follows(made, name, change, expected):
    workdir, row = made[0], made[1]["cfsm", "test_a"]
    found = keys(workdir, resaved(workdir, row, name, change))
    assert expected <= found
    assert bool(expected) == bool(found)


def test_other_folds_give_other_forecasts(made):
    workdir, row = made[0], made[1]["cfsm", "validation"]
    moved = resaved(workdir, row, "predictions", lambda arrays: arrays["fold"].sort())
    assert "artefacts.predictions.probability" in keys(workdir, moved)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("threshold", {"threshold": 0.5}),
        ("objective", {"objective": "kappa"}),
        ("published", {"published": {"model": "resnet18", "oa": 0.9}}),
    ],
)
def test_what_no_such_row_has_is_told(made, key, changes):
    workdir, row = made[0], made[1]["scene", "test_a"]
    assert key in keys(workdir, row, **changes)


@pytest.mark.parametrize("settings", [None, {"coverage": 2.0}, {"calibration": "none"}, {"beauty": 1}])
def test_settings_that_cannot_be_are_told(made, settings):
    workdir, row = made[0], made[1]["cfsm", "test_a"]
    found = keys(workdir, row, recipe=row.recipe | {"certainty": settings})
    assert "recipe.certainty" in found


def test_a_row_without_what_it_was_fitted_on_is_told(made):
    workdir, row = made[0], made[1]["cfsm", "test_a"]
    artefacts = {name: path for name, path in row.artefacts.items() if name != "validation"}
    assert "artefacts.validation" in keys(workdir, row, artefacts=artefacts)
