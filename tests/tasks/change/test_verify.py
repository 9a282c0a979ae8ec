"""Change rows are recomputed, and whatever was tampered with is named."""

import dataclasses

import numpy as np
import pytest
from damaged_rows import keys, metric_keys, off, resaved
from made_up_runs import make_workdir

from mtsccd_jax.report import rows
from mtsccd_jax.tasks.change import METHODS
from mtsccd_jax.tasks.change.decisions import cross_validate, measure


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(work directory, {method: row on test A}); damaged artefacts are written beside their own."""
    path = tmp_path_factory.mktemp("change") / "run"
    found = make_workdir(path, share=0.05, protocols=tuple(METHODS), scenes=False)
    return path, {row.protocol: row for row in found if row.split == "test_a"}


@pytest.mark.parametrize("method", METHODS)
def test_every_number_is_checked(made, method):
    workdir, row = made[0], made[1][method]
    assert ("transition" in row.metrics) == (method != "sscd")
    assert keys(workdir, row) == set()
    assert keys(workdir, row, metrics=off(row.metrics)) == metric_keys(row.metrics)
    assert keys(workdir, row, baseline=row.baseline | {"oa": 0.5, "name": "none"}) == {"baseline.oa", "baseline.name"}
    assert keys(workdir, row, confusion=np.add(row.confusion, [[-1, 1], [0, 0]]).tolist()) == {"confusion"}


@pytest.mark.parametrize(
    ("method", "key", "changes"),
    [
        ("cfsm", "threshold", lambda row: {"threshold": row.threshold * 1.01}),
        ("cfsm", "objective", lambda row: {"objective": "beauty"}),
        ("cfsm", "threshold_from", lambda row: {"threshold_from": "test"}),
        ("cfsm", "published.kappa", lambda row: {"published": row.published | {"kappa": 0.9}}),
        ("sscd", "metrics_rechosen", lambda row: {"metrics_rechosen": None}),
        ("sscd", "metrics_rechosen.kappa.low", lambda row: {"metrics_rechosen": off(row.metrics_rechosen)}),
        ("cdc_1", "threshold", lambda row: {"threshold": 0.5}),
        ("cdc_1", "class_names", lambda row: {"class_names": ["no", "yes"]}),
        ("cdc_2", "metrics.transition.high", lambda row: {"metrics": row.metrics | {"transition": {"high": None}}}),
    ],
)
def test_what_is_written_of_a_row_is_checked(made, method, key, changes):
    workdir, row = made[0], made[1][method]
    assert key in keys(workdir, row, **changes(row))


def flip(arrays):
    arrays["predicted"][:3] ^= True


def move_far(arrays):
    arrays["distance"][np.flatnonzero(~arrays["predicted"])[0]] = 9.0


def relabel(arrays):
    arrays["label_t1"][0] = (arrays["label_t2"][0] + (not arrays["changed"][0])) % 10


@pytest.mark.parametrize(
    ("method", "change", "expected"),
    [
        ("cfsm", flip, {"confusion", "metrics.oa.value", "metrics.kappa.low", "artefacts.predictions.predicted"}),
        ("sscd", move_far, {"artefacts.predictions.predicted"}),
        ("cdc_1", relabel, {"artefacts.predictions.changed"}),
    ],
)
def test_changed_predictions_change_all_that_follows(made, method, change, expected):
    workdir, row = made[0], made[1][method]
    assert expected <= keys(workdir, resaved(workdir, row, "predictions", change))


@pytest.mark.parametrize("predicted", [True, False])
def test_a_margin_of_change_that_contradicts_the_decision_is_seen(made, predicted):
    def contradict(arrays):
        first = np.flatnonzero(arrays["predicted"] == predicted)[0]
        arrays["distance"][first] = -arrays["distance"][first]

    workdir, row = made[0], made[1]["cdc_2"]
    assert keys(workdir, resaved(workdir, row, "predictions", contradict)) == {"artefacts.predictions.distance"}


def test_of_cdc_1_only_an_svms_distances_are_margins(made):
    """A network's own head has distances of probabilities, which are above 0 for unchanged pairs as well."""
    workdir, row = made[0], made[1]["cdc_1"]
    svm = row.recipe | {"scene": row.recipe["scene"] | {"classifier": "svm"}}
    assert keys(workdir, row, recipe=svm) == {"id", "artefacts.predictions.distance"}


def test_the_pairs_that_the_threshold_was_chosen_on_are_checked(made):
    def shift(arrays):
        arrays["distance"] *= 1.5

    workdir, row = made[0], made[1]["cfsm"]
    assert "threshold" in keys(workdir, resaved(workdir, row, "validation", shift))
    lacking = resaved(workdir, row, "validation", lambda arrays: arrays.pop("changed"))
    assert keys(workdir, lacking) == {"artefacts.validation"}
    others = {name: path for name, path in row.artefacts.items() if name != "validation"}
    assert keys(workdir, row, artefacts=others) == {"artefacts.validation"}


def crossed_row(made, changed, distance):
    """Make a row of pairs of one's own, whose threshold is cross-validated; the arrays are kept as its artefact."""
    workdir, row = made[0], made[1]["cfsm"]
    predicted, threshold = cross_validate(distance, changed, "f1", row.seed)
    measured = measure(changed, predicted, None, resamples=40, seed=row.seed)

    def keep(arrays):
        for name in set(arrays) - {"filename_t1"}:
            arrays.pop(name)
        arrays |= {"changed": changed, "distance": distance, "predicted": predicted}

    return dataclasses.replace(
        resaved(workdir, row, "predictions", keep),
        id=rows.row_id(row.recipe, "test_a", "cfsm", row.seed, objective="f1", dataset="pairs:mine"),
        dataset="pairs:mine",
        published=None,
        objective="f1",
        threshold=threshold,
        threshold_from="cross_validation_5",
        metrics_rechosen=None,
        confusion=measured.confusion.tolist(),
        metrics=measured.metrics,
        baseline=measured.baseline,
    )


def test_cross_validated_thresholds_are_recomputed(made):
    workdir, arrays = made[0], rows.load_artefact(made[0], made[1]["cfsm"], "predictions")
    crossed = crossed_row(made, arrays["changed"], arrays["distance"])
    assert keys(workdir, crossed) == set()
    assert keys(workdir, crossed, threshold=0.1) == {"threshold"}
    flipped = resaved(workdir, crossed, "predictions", flip)
    assert "artefacts.predictions.predicted" in keys(workdir, flipped)


def test_rows_of_before_with_mostly_changed_pairs_hold(made):
    """Their trivial answer is that nothing changed."""
    arrays = rows.load_artefact(made[0], made[1]["cfsm"], "predictions")
    crossed = crossed_row(made, 1 - arrays["changed"], 1 - arrays["distance"])
    assert crossed.baseline["name"] == "all changed"
    before = {"name": "all unchanged", "oa": 1 - crossed.baseline["oa"], "kappa": 0.0}
    assert keys(made[0], crossed, baseline=before) == keys(made[0], crossed) == set()
    assert keys(made[0], crossed, baseline=before | {"kappa": 0.5}) == {"baseline.kappa"}
