"""What a scene evaluation refuses."""

import json

from mtsccd_jax.cli import main


def test_other_classes_than_the_network_has_are_refused(demo_run, scenes, capsys):
    workdir, _ = demo_run
    assert main(["evaluate", str(workdir), "--folder", str(scenes), "-q"]) == 2
    assert "its classes (dark, plain, stripes, ...) are not those the network" in capsys.readouterr().err


def test_an_unknown_split_names_those_there_are(demo_run, capsys):
    workdir, _ = demo_run
    assert main(["evaluate", str(workdir), "--split", "test_c", "-q"]) == 2
    assert "test_a" in capsys.readouterr().err


def test_more_intervals_do_not_change_the_values(demo_run, capsys):
    workdir, first = demo_run
    assert main(["evaluate", str(workdir), "--split", "test_b", "--set", "change.resamples=7", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["test_b"] == first["scene"]["test_b"]
