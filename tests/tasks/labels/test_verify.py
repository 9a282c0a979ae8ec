"""Rows of several labels a scene are recomputed, and whatever was tampered with is named."""

import numpy as np
import pytest
from damaged_rows import keys, metric_keys, off, resaved
from made_up_labels import LabelMaker


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(work directory, rows of one network by both thresholds, and on validation)."""
    path = tmp_path_factory.mktemp("labels")
    half, chosen = LabelMaker(path, n=90), LabelMaker(path, n=90, threshold="validation")
    return path, (half.multilabel(), chosen.multilabel(), half.multilabel("validation"))


def test_rows_as_they_were_made_agree(made):
    workdir, rows = made
    assert [keys(workdir, row) for row in rows] == [set(), set(), set()]
    assert [bool(row.published) for row in rows] == [True, True, False]


def test_every_number_is_checked(made):
    workdir, (row, *_) = made
    assert keys(workdir, row, metrics=off(row.metrics)) == metric_keys(row.metrics)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("n", lambda row: {"n": 91}),
        ("confusion", lambda row: {"confusion": np.add(row.confusion, np.eye(1, 4, dtype=int)).tolist()}),
        ("baseline.ap_macro", lambda row: {"baseline": row.baseline | {"ap_macro": 0.9}}),
        ("baseline.name", lambda row: {"baseline": row.baseline | {"name": "none"}}),
        ("published.metrics.f1_micro", lambda row: {"published": row.published | {"metrics": {"f1_micro": 0.99}}}),
        ("published", lambda row: {"published": None}),
        ("threshold", lambda row: {"threshold": 0.5}),
        ("objective", lambda row: {"objective": "f1"}),
        ("threshold_from", lambda row: {"threshold_from": "test"}),
        ("class_names", lambda row: {"class_names": row.class_names[::-1]}),
        ("metrics_rechosen", lambda row: {"metrics_rechosen": row.metrics}),
    ],
)
def test_what_is_written_of_a_row_is_checked(made, key, changes):
    workdir, (row, *_) = made
    assert key in keys(workdir, row, **changes(row))


def flip(arrays):
    arrays["called"][0, 0] ^= True


def lower(arrays):
    arrays["threshold"] -= 0.2


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("predictions", lower, {"artefacts.predictions.threshold", "artefacts.predictions.called"}),
        (
            "predictions",
            lambda arrays: arrays.update(filename=arrays["filename"][1:]),
            {"artefacts.predictions.filename"},
        ),
        ("predictions", lambda arrays: arrays.update(called=arrays["called"][:-1]), {"artefacts.predictions"}),
        ("predictions", lambda arrays: arrays.pop("probability"), {"artefacts.predictions"}),
        ("patches", lambda arrays: arrays.update(row=arrays["row"] + 90), {"artefacts.patches.row"}),
        ("patches", lambda arrays: arrays.pop("thumb"), {"artefacts.patches"}),
    ],
)
def test_changed_artefacts_are_seen(made, name, change, expected):
    workdir, (row, *_) = made
    assert keys(workdir, resaved(workdir, row, name, change)) == expected


def test_changed_decisions_change_all_that_follows(made):
    workdir, (row, *_) = made
    found = keys(workdir, resaved(workdir, row, "predictions", flip))
    assert {"confusion", "artefacts.predictions.called", "metrics.hamming_loss.value"} <= found


def test_the_scenes_that_thresholds_were_chosen_on_are_checked(made):
    def invert(arrays):
        arrays["probability"] = 1 - arrays["probability"]

    workdir, (_, row, _) = made
    found = keys(workdir, resaved(workdir, row, "validation", invert))
    assert {key.rpartition(".")[0] for key in found} == {"artefacts.predictions.threshold"}
    lacking = resaved(workdir, row, "validation", lambda arrays: arrays.pop("label"))
    assert keys(workdir, lacking) == {"artefacts.validation"}
