"""`explain`: every metric has a definition, rows are found by what people type, and the page says the same."""

import csv
import dataclasses
from functools import partial

import pytest
from commands import refused, run
from made_up_rows import change_row
from made_up_runs import make_workdir
from page_reader import read
from predicted_rows import (
    certainty_evidence,
    change_evidence,
    label_evidence,
    scene_evidence,
    search_evidence,
    shift_evidence,
)

from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.metrics import BINARY_METRICS
from mtsccd_jax.ops.multilabel import METRICS
from mtsccd_jax.report import rows
from mtsccd_jax.report.meaning.explain import explain, find
from mtsccd_jax.tasks.reports import REPORTS

MADE = {
    "scene": scene_evidence,
    "cfsm": change_evidence,
    "multilabel": label_evidence,
    "retrieval": search_evidence,
    "scene_shift": shift_evidence,
    "scene_certainty": partial(certainty_evidence, "scene"),
    "cfsm_certainty": partial(certainty_evidence, "cfsm"),
}
TASK_OF = {protocol.name: task for task in REPORTS for protocol in task.protocols}


@pytest.mark.parametrize("protocol", MADE)
def test_every_metric_of_a_row_is_defined_and_no_other(protocol):
    evidence, definitions = MADE[protocol](), TASK_OF[protocol].definitions
    measured = {definitions.name_of(evidence.row, name) for name in evidence.row.metrics}
    assert measured == set(definitions.metrics)
    assert {peer.metric for peer in definitions.peers} <= measured
    facts = definitions.facts(evidence)
    for name, (average, denominator, text) in definitions.metrics.items():
        assert average in ("none", "micro", "macro", "samples")
        assert "{" not in denominator.format_map(facts) + text.format_map(facts), name
        assert text.endswith("."), name


def test_every_task_of_the_page_has_definitions_that_are_tested():
    assert [task for task in REPORTS if all(TASK_OF[protocol] is not task for protocol in MADE)] == []


def test_the_definitions_are_of_all_metrics_that_tasks_compute():
    assert set(TASK_OF["scene"].definitions.metrics) == set(BINARY_METRICS)
    assert set(TASK_OF["cfsm"].definitions.metrics) == {*BINARY_METRICS, "transition"}
    assert set(TASK_OF["multilabel"].definitions.metrics) == set(METRICS)


def test_an_average_in_a_name_is_that_of_its_definition():
    for name, definition in TASK_OF["multilabel"].definitions.metrics.items():
        named = {"micro", "macro", "samples"} & set(name.split("_"))
        assert named <= {definition.average}, name


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("meaning") / "run"
    make_workdir(path, share=0.03, protocols=("cfsm", "cdc_1"))
    return path


def test_explain_says_what_the_interface_names(capsys, small_run):
    (row,) = (row for row in rows.load(small_run) if (row.protocol, row.split) == ("cfsm", "test_a"))
    for wanted in ("cfsm:test_a", row.id, row.id[:10]):
        status, result, err = run(capsys, "explain", wanted, small_run)
        assert (status, result["row"]) == (0, row.id)
    assert {"protocol", "split", "n", "metrics", "peers", "classes_absent", "threshold", "published"} <= result.keys()
    for name, entry in result["metrics"].items():
        assert entry["value"] == row.metrics[name]["value"]
        assert {"value", "low", "high", "average", "denominator", "definition"} == entry.keys()
    assert result["threshold"] == {"value": row.threshold, "objective": row.objective, "from": row.threshold_from}
    macro = next(peer for peer in result["peers"] if peer["name"] == 'f1_score(average="macro")')
    (tn, fp), (fn, tp) = row.confusion
    by_hand = tn / (2 * tn + fp + fn) + tp / (2 * tp + fp + fn)  # the mean of both F1
    assert macro == macro | {"who": "scikit-learn 1.9", "metric": "f1", "same": False}
    assert macro["value"] == pytest.approx(by_hand)
    assert "at least" in err
    assert "24 of the 46 printed" in " ".join(err.split())


def test_rows_that_are_not_meant_are_one_line(capsys, small_run, tmp_path, monkeypatch):
    assert "'zz': no row's id begins so" in refused(capsys, "explain", "zz", small_run)
    assert "scene:test_a" in refused(capsys, "explain", "zz", small_run)
    assert "no rows" in refused(capsys, "explain", "cfsm:test_a", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "runs: no such folder; name the work directory" in refused(capsys, "explain", "cfsm:test_a")


def test_several_rows_are_named_with_what_tells_them_apart(tmp_path):
    for seed in (0, 1):
        rows.append(tmp_path, dataclasses.replace(change_row(), id=f"ab{seed}", seed=seed))
    for wanted in ("ab", "cfsm:test_a"):
        with pytest.raises(InputError, match=r"is 2 rows; .*ab0 \(cfsm:test_a, ResNet18, seed 0\), ab1 \(.*seed 1\)"):
            find(wanted, [tmp_path])
    assert find("ab1", [tmp_path])[1].seed == 1


def test_rows_are_found_below_the_usual_folder(tmp_path, monkeypatch):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    rows.append(tmp_path / "runs" / "mine", change_row())
    monkeypatch.chdir(tmp_path)
    assert find("x", [])[1].id == "x"


def test_what_needs_a_lost_artefact_is_not_known(tmp_path):
    row = dataclasses.replace(label_evidence().row, artefacts={"predictions": "artefacts/x.npz"})
    explained = explain(tmp_path, row, TASK_OF["multilabel"])
    unknown = [reading for reading in explained.readings if reading.missing]
    assert {reading.missing for reading in unknown} == {"no array label, probability with the row"}
    assert all(reading.value is None and not reading.same for reading in unknown)
    assert any(not reading.missing for reading in explained.readings)


def test_counts_that_do_not_fit_the_classes_are_refused(tmp_path):
    row = dataclasses.replace(change_row(), confusion=[])
    with pytest.raises(InputError, match="row x: its counts do not fit its classes"):
        explain(tmp_path, row, TASK_OF["cfsm"])


def test_absent_classes_are_named():
    evidence = scene_evidence()
    definitions = TASK_OF["scene"].definitions
    present = set(evidence.arrays["label"].tolist())
    assert definitions.absent(evidence) == [name for k, name in enumerate("abcdef") if k not in present]
    assert TASK_OF["multilabel"].definitions.absent(label_evidence()) == ["g"]
    assert TASK_OF["retrieval"].definitions.absent(search_evidence()) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "at least 0.5000, the best kappa on validation pairs"),
        ({"threshold": None}, "a threshold that predicts no pair changed, the best kappa"),
        (
            {"threshold_from": "cross_validation_5"},
            "the median of the folds, the best kappa by 5-fold cross-validation",
        ),
        ({"threshold_from": None, "protocol": "cdc_1"}, "where the classes named for both dates differ"),
    ],
)
def test_the_decision_is_said_in_words(fields, said):
    row = dataclasses.replace(change_row(), objective="kappa", **fields)
    assert said in TASK_OF["cfsm"].definitions.decision(row)


def test_the_page_says_what_its_numbers_mean(index):
    reader = read(index)
    assert "meaning" in reader.ids
    with (index.parent / "tables" / "peers_cfsm.csv").open() as stream:
        records = list(csv.DictReader(stream))
    assert {record["metric"] for record in records} == {"oa", "kappa", "precision", "recall", "f1", "balanced"}
    assert {record["same"] for record in records} == {"True", "False"}
