"""Rows are recomputed from their artefacts, and whatever was tampered with is named."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from made_up_runs import entries, make_workdir
from sklearn.metrics import cohen_kappa_score, f1_score

from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.bootstrap import bootstrap_interval
from mtsccd_jax.ops.metrics import binary_metrics, scene_metrics
from mtsccd_jax.ops.threshold import OBJECTIVES, best_threshold
from mtsccd_jax.report import published, recompute, rows
from mtsccd_jax.report.verify import verify, verify_row


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small run of every protocol. Not to be written to."""
    path = tmp_path_factory.mktemp("verify") / "run"
    make_workdir(path, share=0.05, protocols=("cfsm", "cdc_1", "cdc_2", "sscd"))
    return path


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def found(workdir, *protocols):
    """{(protocol, split): keys that differ} of the rows that differ, of all or some protocols on test A."""
    rows_of = [
        row for row in rows.load(workdir) if not protocols or (row.protocol in protocols and row.split == "test_a")
    ]
    checked = {(row.protocol, row.split): {d.key for d in verify_row(workdir, row)} for row in rows_of}
    return {row: keys for row, keys in checked.items() if keys}


def edit(workdir, protocol, change):
    """Writes the row of a protocol on test A anew with some values changed."""
    path = workdir / rows.ROWS_FILE
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for values in lines:
        if (values["protocol"], values["split"]) == (protocol, "test_a"):
            change(values)
    path.write_text("".join(json.dumps(values) + "\n" for values in lines))


def resave(workdir, protocol, name, change):
    """Writes an artefact of the row anew with some arrays changed, and the row with its new checksum."""
    row = next(r for r in rows.load(workdir) if (r.protocol, r.split) == (protocol, "test_a"))
    arrays = rows.load_artefact(workdir, row, name)
    change(arrays)
    file_name = row.artefacts[name].removeprefix("artefacts/").removesuffix(".npz")
    _, checksum = rows.save_artefact(workdir, file_name, arrays)
    edit(workdir, protocol, lambda values: values["checksums"]["artefacts"].update({name: checksum}))


def test_rows_as_they_were_made_agree(made):
    checked = list(verify(made))
    assert len(checked) == 10
    assert found(made) == {}


@pytest.mark.parametrize("protocol", ["scene", "cdc_1"])
def test_every_figure_is_checked(made, protocol):
    row = next(r for r in rows.load(made) if (r.protocol, r.split) == (protocol, "test_a"))
    for metric in recompute.METRICS:
        for key in ("value", "low", "high"):
            entry = row.metrics[metric] | {key: row.metrics[metric][key] + 1e-6}
            wrong = dataclasses.replace(row, metrics=row.metrics | {metric: entry})
            assert [d.key for d in verify_row(made, wrong)] == [f"metrics.{metric}.{key}"]


def test_figures_of_every_kind_are_checked(copy):
    changes = {
        "id": ("cfsm", lambda v: v.update(id="0" * 16)),
        "seed": ("cfsm", lambda v: v.update(seed=1)),
        "model": ("scene", lambda v: v.update(model="resnet18")),
        "published.kappa": ("cfsm", lambda v: v["published"].update(kappa=0.9)),
        "published": ("cdc_1", lambda v: v.update(published=None)),
        "baseline.oa": ("scene", lambda v: v["baseline"].update(oa=0.5)),
        "baseline.name": ("cfsm", lambda v: v["baseline"].update(name="none")),
        "threshold": ("cfsm", lambda v: v.update(threshold=v["threshold"] * 1.01)),
        "metrics_rechosen.kappa.low": ("sscd", lambda v: v["metrics_rechosen"]["kappa"].update(low=0.0)),
        "metrics.transition.value": ("cdc_2", lambda v: v["metrics"]["transition"].update(value=0.99)),
        "metrics.transition.high": ("cdc_2", lambda v: v["metrics"]["transition"].update(high=None)),
        "class_names": ("scene", lambda v: v.update(class_names=v["class_names"][::-1])),
        "metrics.made_up": ("scene", lambda v: v["metrics"].update(made_up={"value": 1, "low": 0, "high": 1})),
        "objective": ("cfsm", lambda v: v.update(objective="beauty")),
        "threshold_from": ("cfsm", lambda v: v.update(threshold_from="test")),
        "metrics_rechosen": ("sscd", lambda v: v.update(metrics_rechosen=None)),
    }
    before = (copy / rows.ROWS_FILE).read_bytes()
    for key, (protocol, change) in changes.items():
        edit(copy, protocol, change)
        assert key in found(copy, protocol).get((protocol, "test_a"), set()), key
        (copy / rows.ROWS_FILE).write_bytes(before)


def test_a_confusion_that_still_sums_to_n_is_checked(copy):
    def move(values):
        values["confusion"][0][0] -= 1
        values["confusion"][0][1] += 1

    edit(copy, "cdc_1", move)
    assert found(copy, "cdc_1") == {("cdc_1", "test_a"): {"confusion"}}


def test_changed_predictions_change_everything_that_follows(copy):
    def flip(arrays):
        arrays["predicted"][:3] ^= True

    resave(copy, "cfsm", "predictions", flip)
    keys = found(copy, "cfsm")["cfsm", "test_a"]
    assert {"confusion", "metrics.oa.value", "metrics.kappa.low", "artefacts.predictions.predicted"} <= keys


def test_changed_distances_and_labels_are_seen(copy):
    def far(arrays):
        arrays["distance"][np.flatnonzero(~arrays["predicted"])[0]] = 9.0

    resave(copy, "sscd", "predictions", far)
    assert {"artefacts.predictions.predicted", "metrics_rechosen.kappa.low"} & found(copy, "sscd")["sscd", "test_a"]

    def relabel(arrays):
        arrays["label_t1"][0] = (arrays["label_t2"][0] + (not arrays["changed"][0])) % 10

    resave(copy, "cdc_1", "predictions", relabel)
    assert "artefacts.predictions.changed" in found(copy, "cdc_1")["cdc_1", "test_a"]


def test_classes_named_by_an_svm_are_those_of_its_largest_decision_value(copy):
    row = next(r for r in rows.load(copy) if (r.protocol, r.split) == ("scene", "test_a"))
    named = rows.load_artefact(copy, row, "predictions")["prediction"]

    def decide(arrays):
        arrays["decision"] = np.eye(10, dtype=np.float32)[named] - 0.5

    resave(copy, "scene", "predictions", decide)
    assert found(copy, "scene") == {}

    def contradict(arrays):
        arrays["decision"][3] = -arrays["decision"][3]

    resave(copy, "scene", "predictions", contradict)
    assert found(copy, "scene") == {("scene", "test_a"): {"artefacts.predictions.prediction"}}


@pytest.mark.parametrize("called", [True, False])
def test_a_margin_of_change_that_contradicts_the_verdict_is_seen(copy, called):
    def contradict(arrays):
        first = np.flatnonzero(arrays["predicted"] == called)[0]
        arrays["distance"][first] = -arrays["distance"][first]

    resave(copy, "cdc_2", "predictions", contradict)
    assert found(copy, "cdc_2") == {("cdc_2", "test_a"): {"artefacts.predictions.distance"}}


def test_of_cdc_1_only_an_svms_distances_are_margins(made):
    """A network's own head has distances of probabilities, which are above 0 for unchanged pairs as well."""
    row = next(r for r in rows.load(made) if (r.protocol, r.split) == ("cdc_1", "test_a"))
    assert verify_row(made, row) == []
    by_svm = dataclasses.replace(row, recipe=row.recipe | {"scene": row.recipe["scene"] | {"classifier": "svm"}})
    assert {d.key for d in verify_row(made, by_svm)} == {"id", "artefacts.predictions.distance"}


def test_a_narrow_network_has_no_published_value(tmp_path):
    (row,) = make_workdir(tmp_path, share=0.02, width=0.25, splits=("test_a",), protocols=())
    assert row.published is None
    assert found(tmp_path) == {}
    wrong = dataclasses.asdict(published.scene("resnet101", "test_a"))
    (difference,) = verify_row(tmp_path, dataclasses.replace(row, published=wrong))
    assert (difference.key, difference.what) == ("published", "scene on test_a, resnet101 x0.25, seed 0")


def test_a_changed_validation_changes_the_threshold(copy):
    def shift(arrays):
        arrays["distance"] *= 1.5

    resave(copy, "cfsm", "validation", shift)
    assert "threshold" in found(copy, "cfsm")["cfsm", "test_a"]


def test_missing_foreign_and_broken_artefacts_are_named_with_their_reason(copy):
    row = next(r for r in rows.load(copy) if (r.protocol, r.split) == ("cfsm", "test_a"))
    (copy / row.artefacts["validation"]).unlink()
    (copy / row.artefacts["predictions"]).write_bytes(b"another file")
    reasons = {d.key: d.reason for _, r, differences in verify(copy) for d in differences if r.id == row.id}
    assert reasons["artefacts.validation"].endswith("is missing")
    assert "is not the file of this row (sha256" in reasons["artefacts.predictions"]
    edit(copy, "cfsm", lambda v: v["artefacts"].pop("predictions"))
    edit(copy, "cdc_1", lambda v: v["checksums"]["artefacts"].pop("predictions"))
    keys = found(copy, "cfsm", "cdc_1")
    assert "artefacts.predictions" in keys["cfsm", "test_a"]
    assert keys["cdc_1", "test_a"] == {"artefacts.predictions"}


def test_arrays_that_do_not_fit_are_named(copy):
    def cut(arrays):
        arrays["predicted"] = arrays["predicted"][:-1]

    resave(copy, "cdc_1", "predictions", cut)
    resave(copy, "scene", "predictions", lambda arrays: arrays.pop("label"))
    keys = found(copy, "cdc_1", "scene")
    assert keys["cdc_1", "test_a"] == {"artefacts.predictions"}
    assert keys["scene", "test_a"] == {"artefacts.predictions"}


def test_cross_validated_thresholds_are_recomputed(made, tmp_path):
    """A row whose threshold comes from five folds, made from a CFSM row by the rule that is written in `recompute`."""
    row = next(r for r in rows.load(made) if (r.protocol, r.split) == ("cfsm", "test_a"))
    arrays = rows.load_artefact(made, row, "predictions")
    changed, distance = arrays["changed"], arrays["distance"]
    threshold, called = recompute.cross_validated(distance, changed, "f1", row.seed)
    confusion = [[int(((changed == t) & (called == p)).sum()) for p in (False, True)] for t in (False, True)]
    kept = {name: arrays[name] for name in ("changed", "distance", "filename_t1")} | {"predicted": called}
    path, checksum = rows.save_artefact(tmp_path, "predictions", kept)
    crossed = dataclasses.replace(
        row,
        id=rows.row_id(row.recipe, "test_a", "cfsm", row.seed, objective="f1", dataset="pairs:mine"),
        dataset="pairs:mine",
        published=None,
        objective="f1",
        threshold=threshold,
        threshold_from="cross_validation_5",
        metrics_rechosen=None,
        confusion=confusion,
        metrics=entries(
            binary_metrics(np.array(confusion)),
            bootstrap_interval(np.ravel(confusion), resamples=40, seed=row.seed),
        ),
        artefacts={"predictions": path},
        checksums={"artefacts": {"predictions": checksum}},
    )
    rows.append(tmp_path, crossed)
    assert found(tmp_path) == {}
    edit(tmp_path, "cfsm", lambda values: values.update(threshold=0.1))
    assert found(tmp_path) == {("cfsm", "test_a"): {"threshold"}}


def test_a_folder_of_work_directories_is_verified_whole(made, tmp_path):
    for name in ("one", "deep/er/two"):
        shutil.copytree(made / "artefacts", tmp_path / name / "artefacts")
        lines = (made / rows.ROWS_FILE).read_text().splitlines(keepends=True)
        (tmp_path / name / rows.ROWS_FILE).write_text("".join(line for line in lines if '"cdc_1"' in line))
    edit(tmp_path / "deep" / "er" / "two", "cdc_1", lambda values: values["baseline"].update(oa=0.0))
    checked = list(verify(tmp_path))
    assert len(checked) == 4
    wrong = [(workdir.name, d.key) for workdir, _, differences in checked for d in differences]
    assert wrong == [("two", "baseline.oa")]


def test_a_folder_without_rows_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"rows\.jsonl: no rows to verify"):
        list(verify(tmp_path))


def test_rows_of_the_protocols_agree(demo_run):
    """What the protocols write is what `verify` recomputes by other means."""
    checked = list(verify(demo_run[0]))
    assert len(checked) >= 7
    assert [d for _, _, differences in checked for d in differences] == []


def test_figures_of_many_tables_are_those_of_each():
    random = np.random.default_rng(0)
    counts = random.integers(0, 4, (60, 4, 4))
    counts[:5, 2] = 0
    counts[:5, :, 2] = 0
    values = recompute.figures(counts, binary=False)
    for i, table in enumerate(counts):
        expected = scene_metrics(table)
        for name in recompute.METRICS:
            assert values[name][i] == pytest.approx(expected[name], abs=1e-12)
    pairs = random.integers(0, 3, (60, 2, 2))
    pairs[0] = [[5, 0], [0, 0]]
    values = recompute.figures(pairs, binary=True)
    for i, table in enumerate(pairs):
        expected = binary_metrics(table) if table.sum() else dict.fromkeys(recompute.METRICS, 0.0)
        for name in recompute.METRICS:
            assert values[name][i] == pytest.approx(expected[name], abs=1e-12)


def test_measured_figures_are_those_of_ops_for_odd_tables():
    cases = [([0, 0, 0], [0, 0, 0]), ([0, 0, 1], [0, 0, 0]), ([1, 1], [1, 1]), ([0, 1, 1, 0], [1, 0, 1, 1])]
    for truth, predicted in cases:
        truth, predicted = np.array(truth), np.array(predicted)
        counts = np.bincount(2 * truth + predicted, minlength=4)
        binary = recompute.measured(truth.astype(bool), predicted.astype(bool), 2, binary=True)
        assert binary == pytest.approx(binary_metrics(counts))
        assert recompute.measured(truth, predicted, 2) == pytest.approx(scene_metrics(counts.reshape(2, 2)))
    truth, predicted = np.array([0, 1, 3, 3]), np.array([0, 3, 3, 1])
    counts = np.bincount(5 * truth + predicted, minlength=25).reshape(5, 5)
    assert recompute.measured(truth, predicted, 5) == pytest.approx(scene_metrics(counts))
    assert recompute.measured(truth, predicted, 5)["kappa"] == pytest.approx(cohen_kappa_score(truth, predicted))
    assert recompute.measured(truth, predicted, 5)["f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_threshold_is_that_of_ops_though_found_otherwise(objective):
    random = np.random.default_rng(3)
    for n in (2, 7, 40, 400):
        changed = np.r_[True, False, random.random(n - 2) < 0.3]
        distance = np.round(random.gamma(3, 0.2, n), 1)
        expected = best_threshold(distance, changed, objective).threshold
        assert recompute.best_threshold(distance, changed, objective) == expected
    none = recompute.best_threshold(np.array([0.1, 0.9]), np.array([True, False]), "kappa")
    assert none == best_threshold(np.array([0.1, 0.9]), np.array([True, False]), "kappa").threshold
