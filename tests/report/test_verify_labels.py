"""Rows of several labels an image are recomputed by scikit-learn and NumPy, and whatever was tampered with is named."""

import dataclasses
import shutil

import numpy as np
import pytest
from made_up_labels import LabelMaker

from mtsccd_jax.ops.multilabel import METRICS, multilabel_metrics
from mtsccd_jax.ops.multilabel_bootstrap import bootstrap_metrics
from mtsccd_jax.report import recompute_labels, rows
from mtsccd_jax.report.verify import verify_row


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Rows of one network by both thresholds. Not to be written to."""
    path = tmp_path_factory.mktemp("labels")
    LabelMaker(path, n=90).multilabel()
    LabelMaker(path, n=90, threshold="validation").multilabel()
    LabelMaker(path, n=90).multilabel("validation")
    return path


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def half(workdir):
    return rows.load(workdir)[0]


def keys(workdir, row):
    return {difference.key for difference in verify_row(workdir, row)}


def resaved(workdir, row, name, change):
    """The row with an artefact written anew, some arrays changed."""
    arrays = rows.load_artefact(workdir, row, name)
    change(arrays)
    path, checksum = rows.save_artefact(workdir, "changed", arrays)
    checksums = row.checksums | {"artefacts": row.checksums["artefacts"] | {name: checksum}}
    return dataclasses.replace(row, artefacts=row.artefacts | {name: path}, checksums=checksums)


def odd_scores(n, k, ties, seed):
    """Labels and scores with ties, a label that never occurs, one that always does, and images without labels."""
    random = np.random.default_rng(seed)
    label = random.random((n, k)) < 0.3
    label[:, 0], label[:, 1] = False, True
    label[0] = False
    score = random.random((n, k)).astype(np.float32)
    return label, np.round(score, ties) if ties else score


@pytest.mark.parametrize(("n", "k", "ties"), [(40, 5, 0), (40, 5, 1)])
def test_every_figure_is_that_of_ops_though_found_otherwise(n, k, ties):
    label, score = odd_scores(n, k, ties, seed=n)
    called = score >= 0.5
    expected = multilabel_metrics(label, score)
    assert recompute_labels.measured(label, score, called) == pytest.approx(expected, abs=1e-12)
    drawn = recompute_labels.redrawn(label, score, called, 12, seed=4)
    original = bootstrap_metrics(label, score, resamples=12, seed=4)
    assert set(drawn) == set(METRICS)
    for name in METRICS:
        np.testing.assert_allclose(drawn[name], original[name], atol=1e-12, err_msg=name)


def test_figures_of_redrawn_images_are_those_of_the_images_drawn():
    label, score = odd_scores(30, 4, 1, seed=8)
    called = score >= 0.5
    drawn = recompute_labels.redrawn(label, score, called, 3, seed=1)
    random = np.random.default_rng(1)
    for resample in range(3):
        some = random.integers(0, 30, 30)
        values = recompute_labels.measured(label[some], score[some], called[some])
        for name in METRICS:
            assert drawn[name][resample] == pytest.approx(values[name], abs=1e-12), name


def test_rows_as_they_were_made_agree(made):
    for row in rows.load(made):
        assert verify_row(made, row) == []
    assert [bool(row.published) for row in rows.load(made)] == [True, True, False]


def test_every_figure_is_checked(made):
    row = half(made)
    wrong = {name: {key: value + 1e-6 for key, value in entry.items()} for name, entry in row.metrics.items()}
    expected = {f"metrics.{name}.{key}" for name in METRICS for key in ("value", "low", "high")}
    assert keys(made, dataclasses.replace(row, metrics=wrong)) == expected


def test_what_is_written_of_a_row_is_checked(made):
    row = half(made)
    moved = [list(line) for line in row.confusion]
    moved[2][0], moved[2][1] = moved[2][0] - 1, moved[2][1] + 1
    wrong = {
        "n": {"n": 91},
        "confusion": {"confusion": moved},
        "baseline.ap_macro": {"baseline": row.baseline | {"ap_macro": 0.9}},
        "baseline.name": {"baseline": row.baseline | {"name": "none"}},
        "published.metrics.f1_micro": {
            "published": row.published | {"metrics": row.published["metrics"] | {"f1_micro": 0.99}}
        },
        "published": {"published": None},
        "threshold": {"threshold": 0.5},
        "objective": {"objective": "f1"},
        "threshold_from": {"threshold_from": "test"},
        "class_names": {"class_names": row.class_names[::-1]},
    }
    for key, changes in wrong.items():
        assert key in keys(made, dataclasses.replace(row, **changes)), key
    fewer = dataclasses.replace(row, artefacts={k: v for k, v in row.artefacts.items() if k != "predictions"})
    assert keys(made, fewer) == {"artefacts.predictions"}


def test_changed_calls_thresholds_and_pictures_are_seen(copy):
    row, chosen, _ = rows.load(copy)

    def call(arrays):
        arrays["called"][0, 0] ^= True

    assert {"confusion", "artefacts.predictions.called", "metrics.hamming_loss.value"} <= keys(
        copy, resaved(copy, row, "predictions", call)
    )
    lower = resaved(copy, row, "predictions", lambda arrays: arrays.update(threshold=arrays["threshold"] - 0.2))
    assert keys(copy, lower) == {"artefacts.predictions.threshold", "artefacts.predictions.called"}
    shorter = resaved(copy, row, "predictions", lambda arrays: arrays.update(filename=arrays["filename"][1:]))
    assert keys(copy, shorter) == {"artefacts.predictions.filename"}
    outside = resaved(copy, row, "patches", lambda arrays: arrays.update(row=arrays["row"] + 90))
    assert keys(copy, outside) == {"artefacts.patches.row"}
    without = resaved(copy, row, "patches", lambda arrays: arrays.pop("thumb"))
    assert keys(copy, without) == {"artefacts.patches"}

    def invert(arrays):
        arrays["probability"] = 1 - arrays["probability"]

    found = keys(copy, resaved(copy, chosen, "validation", invert))
    assert {key.rpartition(".")[0] for key in found} == {"artefacts.predictions.threshold"}
    absent = resaved(copy, chosen, "validation", lambda arrays: arrays.pop("label"))
    assert keys(copy, absent) == {"artefacts.validation"}


def test_arrays_that_do_not_fit_are_named(copy):
    row = half(copy)
    cut = resaved(copy, row, "predictions", lambda arrays: arrays.update(called=arrays["called"][:-1]))
    assert "artefacts.predictions" in keys(copy, cut)
    lacking = resaved(copy, row, "predictions", lambda arrays: arrays.pop("probability"))
    assert keys(copy, lacking) == {"artefacts.predictions"}
