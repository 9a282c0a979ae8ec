"""Scenes named by an SVM, and what a scene evaluation refuses."""

import json

import numpy as np
from sklearn.metrics import accuracy_score

from mtsccd_jax.cli import main
from mtsccd_jax.report.rows import load, load_artefact


def test_an_svm_on_the_features_has_a_row_of_its_own_beside_the_heads(run_copy, capsys):
    options = ["evaluate", str(run_copy), "--split", "test_b", "-q"]
    assert main(options) == 0
    head = json.loads(capsys.readouterr().out)
    assert main([*options, "--set", "scene.classifier=svm", "--set", "scene.c=0.5,5"]) == 0
    svm = json.loads(capsys.readouterr().out)
    assert "svm" not in head
    rows = {row.recipe["scene"]["classifier"]: row for row in load(run_copy) if row.protocol == "scene"}
    assert rows["head"].id != rows["svm"].id
    found = load_artefact(run_copy, rows["svm"], "predictions")
    np.testing.assert_array_equal(found["decision"].argmax(1), found["prediction"])
    assert svm["test_b"]["oa"] == accuracy_score(found["label"], found["prediction"])
    chosen = load_artefact(run_copy, rows["svm"], "svm")
    assert chosen["c"] == svm["svm"]["c"]
    assert chosen["tried_c"].tolist() == [0.5, 5]
    assert chosen["validation"][chosen["tried_c"] == chosen["c"]] == chosen["validation"].max()


def test_other_classes_than_the_network_has_are_refused(demo_run, scenes, capsys):
    workdir, _ = demo_run
    assert main(["evaluate", str(workdir), "--folder", str(scenes), "-q"]) == 2
    assert "its classes (dark, plain, stripes, ...) are not those the network" in capsys.readouterr().err


def test_an_unknown_split_names_those_there_are(demo_run, capsys):
    workdir, _ = demo_run
    assert main(["evaluate", str(workdir), "--split", "test_c", "-q"]) == 2
    assert "test_a" in capsys.readouterr().err


def test_more_intervals_do_not_change_the_values(run_copy, demo_run, capsys):
    _, first = demo_run
    assert main(["evaluate", str(run_copy), "--split", "test_b", "--set", "evaluation.resamples=7", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["test_b"] == first["scene"]["test_b"]
