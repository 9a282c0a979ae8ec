"""The command on the demonstration's network: rows, lists, the column of `predict`, and refusals."""

import csv
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from mtsccd_jax.cli import main
from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.report.rows import load, load_artefact
from mtsccd_jax.tasks.certainty.look import list_path
from mtsccd_jax.tasks.certainty.words import sentence

SPLITS = ("train", "validation")


@pytest.fixture(scope="module")
def judged(demo_run, run_copy):
    """The work directory with rows of CFSM and scenes in and out of city, as the command leaves it."""
    arguments = ["--method", "scene", "--method", "cfsm", "--split", "validation", "--split", "test_a", "--look", "9"]
    arguments += ["--coverage", "0.8"]  # of 7 changed pairs
    few = ["--set", "evaluation.resamples=40", "--set", "certainty.bins=5"]
    data = ["--data-dir", str(demo_run[0] / "tfds")]
    assert main(["certainty", str(run_copy), *arguments, *few, *data, "-q"]) == 0
    return run_copy, {(row.protocol, row.split): row for row in load(run_copy)}


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_out_of_city_everything_is_fitted_on_validation(judged):
    workdir, rows = judged
    row = rows["cfsm_certainty", "test_a"]
    known, found = (load_artefact(workdir, row, name) for name in ("validation", "predictions"))
    fitted = IsotonicRegression(out_of_bounds="clip").fit(known["distance"].astype(float), known["changed"])
    expected = fitted.predict(found["distance"].astype(float))
    np.testing.assert_allclose(found["probability"][:, 1], expected, atol=1e-9)
    assert row.metrics["brier"]["value"] == pytest.approx(brier_score_loss(found["changed"], expected))
    share = known["changed"].mean()
    assert row.baseline["brier"] == pytest.approx(np.mean((found["changed"] - share) ** 2))
    assert row.metrics["coverage"]["value"] == pytest.approx(
        np.mean(found["in_set"][np.arange(row.n), found["changed"].astype(int)])
    )
    assert np.sum(row.confusion) == row.n
    assert row.recipe["certainty"] == {"calibration": "isotonic", "coverage": 0.8, "bins": 5, "look": 9}


def test_in_city_everything_is_cross_fitted_and_tiles_stay_whole(judged):
    workdir, rows = judged
    assert "validation" not in rows["scene_certainty", "validation"].artefacts
    found = load_artefact(workdir, rows["scene_certainty", "validation"], "predictions")
    assert set(found["fold"]) == {0, 1, 2, 3, 4}
    tile = list(zip(found["city"], found["tile_x"], found["tile_y"], strict=True))
    assert len(set(tile)) < len(tile)
    assert len(set(zip(tile, found["fold"], strict=True))) == len(set(tile))
    np.testing.assert_allclose(found["before"], softmax(found["score"].astype(float), 1))


def test_places_that_the_network_knows_are_counted(judged, demo_run):
    """By hand: validation scenes whose tile is in training at the other date; test cities have none."""
    _, rows = judged
    train, validation = (tfds_source("mtsccd_lusc", split, data_dir=demo_run[0] / "tfds") for split in SPLITS)
    columns = [[source.column(name) for name in ("city", "tile_x", "tile_y")] for source in (train, validation)]
    seen = set(zip(*map(np.ndarray.tolist, columns[0]), strict=True))
    share = np.mean([tile in seen for tile in zip(*map(np.ndarray.tolist, columns[1]), strict=True)])
    assert 0 < share < 1
    assert rows["scene_certainty", "validation"].metrics["known_places"]["value"] == pytest.approx(share)
    assert rows["scene_certainty", "test_a"].metrics["known_places"]["value"] == 0
    assert "show places that the network has learned from" in sentence([rows["cfsm_certainty", "validation"]])
    assert "show places" not in sentence([rows["cfsm_certainty", "test_a"]])


def test_the_list_is_for_people(judged):
    workdir, rows = judged
    lines = table(list_path(workdir, rows["cfsm_certainty", "test_a"]))
    found = load_artefact(workdir, rows["cfsm_certainty", "test_a"], "predictions")
    assert [int(line["rank"]) for line in lines] == list(range(1, 10))
    p = [float(line["p_changed"]) for line in lines]
    assert p == sorted(p, reverse=True)
    np.testing.assert_allclose(p, np.sort(found["probability"][:, 1])[::-1][:9], atol=1e-6)
    by_name = dict(zip(found["filename_t1"], range(len(found["changed"])), strict=True))
    listed = [by_name[line["filename_t1"]] for line in lines]
    share = found["changed"][listed].sum() / found["changed"].sum()
    assert rows["cfsm_certainty", "test_a"].metrics["look_found"]["value"] == pytest.approx(share)
    for line, i in zip(lines, listed, strict=True):
        assert line["city"] == "hefei"
        assert (int(line["tile_x"]), int(line["tile_y"])) == (found["tile_x"][i], found["tile_y"][i])
        unchanged, changed = found["in_set"][i]
        assert (
            line["set"]
            == {(0, 0): "neither", (1, 0): "unchanged", (0, 1): "changed", (1, 1): "both"}[int(unchanged), int(changed)]
        )
    scenes = table(list_path(workdir, rows["scene_certainty", "test_a"]))
    doubt = [float(line["expected_error"]) for line in scenes]
    assert doubt == sorted(doubt, reverse=True)
    assert [line["rank"] for line in scenes] == [line["rank_uncertain"] for line in scenes]


def test_another_setting_is_another_row(judged, demo_run, capsys):
    workdir, _ = judged
    before = len(load(workdir))
    data = ["--data-dir", str(demo_run[0] / "tfds"), "--set", "evaluation.resamples=10"]
    command = ["certainty", str(workdir), "--method", "cdc_1", "--split", "test_b", *data, "-q"]
    assert main(command) == main([*command, "--calibration", "platt"]) == main([*command, "--coverage", "0.8"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [said["calibration"] for said in printed] == ["isotonic", "platt", "isotonic"]
    assert [said["coverage"] for said in printed] == [0.9, 0.9, 0.8]
    found = [said["cdc_1"]["test_b"] for said in printed]
    assert all(re.fullmatch(r"look_cdc_1_test_b-\w{16}\.csv", Path(said["look"]).name) for said in found)
    assert len({said["look"] for said in found}) == 3
    assert found[0]["brier"] != found[1]["brier"]
    assert found[0]["brier"] == found[2]["brier"]
    assert found[0]["coverage"] is None, "7 changed pairs do not bound nine in ten"
    assert found[2]["coverage"] > 0
    assert len(load(workdir)) == before + 3


def test_predict_gives_the_calibrated_probability(judged, tmp_path):
    workdir, rows = judged
    random = np.random.default_rng(0)
    for side in "AB":
        (tmp_path / side).mkdir()
        for name in range(4):
            cv2.imwrite(str(tmp_path / side / f"{name}.png"), random.integers(0, 255, (32, 32, 3)).astype(np.uint8))
    assert main(["predict", str(workdir), str(tmp_path), "--out", str(tmp_path / "out.csv"), "-q"]) == 0
    lines = table(tmp_path / "out.csv")
    known = load_artefact(workdir, rows["cfsm_certainty", "test_a"], "validation")
    fitted = IsotonicRegression(out_of_bounds="clip").fit(known["distance"].astype(float), known["changed"])
    expected = fitted.predict([float(line["distance"]) for line in lines])
    np.testing.assert_allclose([float(line["p_changed"]) for line in lines], expected, atol=1e-6)


def test_pairs_without_validation_are_cross_fitted(judged, pair_list, tmp_path, capsys):
    workdir, _ = judged
    shutil.copytree(pair_list, tmp_path / "pairs")
    lines = table(tmp_path / "pairs" / "pairs.csv")
    with (tmp_path / "pairs" / "pairs.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["A", "B", "changed"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    command = ["certainty", str(workdir), "--pairs", str(tmp_path / "pairs"), "--set", "evaluation.resamples=20"]
    assert main(command) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert set(said) == {"rows", "coverage", "calibration", "cfsm", "cdc_1"}, "of pairs alone"
    assert set(said["cfsm"]) == {"all"}
    assert "(cross-fitted)" in captured.err
    row = next(row for row in load(workdir) if (row.protocol, row.split) == ("cfsm_certainty", "all"))
    assert "fold" in load_artefact(workdir, row, "predictions")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "sscd"], "method sscd needs another network than this one"),
        (["--coverage", "1.5"], "must be above 0 and at most 1"),
        (["--look", "0"], "must be 1 or more"),
        (["--set", "certainty.calibration=isotonc"], "Did you mean 'isotonic'"),
        (["--method", "scene", "--pairs", "PAIRS"], "not scenes of one class each"),
        (["--method", "cfsm", "--pairs", "FEW"], "5-fold cross-fitting needs at least 5 of each"),
        (
            ["--method", "cdc_1", "--pairs", "ONE", "--split", "test"],
            "0 changed and 2 unchanged pairs; a calibrated probability needs",
        ),
        (["--method", "cfsm", "--split", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(judged, demo_run, pair_list, tmp_path, capsys, arguments, words):
    few, one = tmp_path / "few", tmp_path / "one"
    for folder in (few, one):
        for side in "AB":
            (folder / side).mkdir(parents=True)
            for name in "012":
                shutil.copy(next((pair_list / side).iterdir()), folder / side / f"{name}.png")
    (few / "pairs.csv").write_text("A,B,changed\n0.png,0.png,1\n1.png,1.png,0\n")
    lines = ("A,B,changed,split", "0.png,0.png,0,validation", "1.png,1.png,0,validation", "2.png,2.png,1,test")
    (one / "pairs.csv").write_text("\n".join(lines))
    places = {"PAIRS": str(pair_list), "FEW": str(few), "ONE": str(one)}
    data = [] if "--pairs" in arguments else ["--data-dir", str(demo_run[0] / "tfds")]
    arguments = [places.get(argument, argument) for argument in arguments]
    try:
        status = main(["certainty", str(judged[0]), *arguments, *data, "-q"])
    except SystemExit as stopped:
        status = stopped.code
    captured = capsys.readouterr()
    assert status == 2
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
