"""Every method on the demonstration's network: decisions, transitions and thresholds by other means, and refusals."""

import csv
import json
import os
import subprocess
import sys
from copy import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from sklearn.svm import LinearSVC

from mtsccd_jax.cli import main
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.errors import InputError
from mtsccd_jax.report.rows import load, load_artefact
from mtsccd_jax.report.verify import verify
from mtsccd_jax.tasks.change import evaluate as module
from mtsccd_jax.tasks.change.cdc_2 import fit_classifiers
from mtsccd_jax.tasks.change.evaluate import detect, supported_methods, validation_scale
from mtsccd_jax.tasks.change.visual_words import count_words
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.table import CHECKS


@pytest.fixture(scope="module")
def svm_run(run_copy):
    """Every row of one test city with SVMs and eight words, by one object that embeds each split once."""
    trained = load_trained(run_copy, ["scene.classifier=svm", "change.words=8", "evaluation.resamples=50"])
    cache = FeatureCache(trained)
    rows = {row.protocol: row for row in detect(cache, supported_methods(trained), "kappa", splits=["test_a"])}
    return run_copy, cache, rows


def predictions(workdir, row):
    found = load_artefact(workdir, row, "predictions")
    assert found is not None
    return found


def by_linear_svc(train, label, c, test):
    """The labels of scikit-learn's SVM on unit-length features."""
    train, test = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (train, test))
    return LinearSVC(C=c, dual=False, tol=1e-8, max_iter=10_000).fit(train, label).predict(test)


def test_cdc_1_compares_the_labels_of_the_svm(svm_run):
    workdir, cache, rows = svm_run
    found = predictions(workdir, rows["cdc_1"])
    svm = load_artefact(workdir, rows["cdc_1"], "svm")
    scenes, pairs = cache.scenes("train"), cache.pairs("test_a")
    train = cache.features(scenes).values["image"].features
    labels = [
        by_linear_svc(train, scenes.column("label"), float(svm["c"]), images.features)
        for images in cache.features(pairs).values.values()
    ]
    assert np.mean(found["predicted"] == (labels[0] != labels[1])) > 0.98, "but for ties"
    assert svm["c"] in svm["tried_c"]
    assert len(svm["validation"]) == len(svm["tried_c"]) == 4
    np.testing.assert_array_equal(found["predicted"], found["prediction_t1"] != found["prediction_t2"])
    assert (found["distance"][found["predicted"]] >= 0).all(), "the margin of change"
    assert (found["distance"][~found["predicted"]] <= 0).all()


def test_cdc_2_compares_the_labels_of_an_svm_a_date(svm_run):
    workdir, cache, rows = svm_run
    found = predictions(workdir, rows["cdc_2"])
    words, svm = (load_artefact(workdir, rows["cdc_2"], name) for name in ("words", "svm"))
    assert words["center"].shape[0] == 8
    assert str(words["fitted_on"]).startswith("mtsccd_lucd")
    assert str(words["fitted_on"]).endswith("train")
    made, train = words_of(cache, "train", "test_a"), cache.pairs("train")
    labels = [
        by_linear_svc(
            made["train"][f"image_{date}"],
            train.column(f"label_{date}"),
            float(svm[f"c_{date}"]),
            made["test_a"][f"image_{date}"],
        )
        for date in ("t1", "t2")
    ]
    assert np.mean(found["predicted"] == (labels[0] != labels[1])) > 0.98


@pytest.mark.parametrize("method", ["cfsm", "cdc_1", "cdc_2"])
def test_the_transition_is_the_share_of_changed_pairs_named_rightly(svm_run, method):
    workdir, _, rows = svm_run
    row, found = rows[method], predictions(workdir, rows[method])
    pairs = zip(*(found[name] for name in ("label_t1", "label_t2", "prediction_t1", "prediction_t2")), strict=True)
    right = [t1 == named_t1 and t2 == named_t2 for t1, t2, named_t1, named_t2 in pairs]
    share = row.metrics["transition"]
    assert share["value"] == pytest.approx(np.mean(np.array(right)[found["changed"]]))
    assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
    np.testing.assert_array_equal(found["predicted"], found["prediction_t1"] != found["prediction_t2"])
    np.testing.assert_array_equal(row.confusion, np.histogram2d(found["changed"], found["predicted"], 2)[0])


def test_each_split_is_embedded_once_for_all_methods(svm_run, monkeypatch):
    _, cache, _ = svm_run
    monkeypatch.setattr("mtsccd_jax.tasks.feature_cache.embed", lambda *args, **kwargs: pytest.fail("embedded again"))
    detect(cache, ["cfsm", "cdc_1", "cdc_2"], "oa", splits=["test_a"])


def words_of(cache, *splits):
    """The histograms of the pairs of some splits, as CDC_2 counts them."""
    dictionary = fit_classifiers(cache).dictionary
    counted = {split: count_words(cache, cache.pairs(split), dictionary).values for split in splits}
    return {split: {field: rows.whole for field, rows in fields.items()} for split, fields in counted.items()}


def other(cache, **change):
    """The cache with other change settings, which do not touch what is kept."""
    recipe, same = cache.trained.recipe, copy(cache)
    same.trained = replace(cache.trained, recipe=replace(recipe, change=replace(recipe.change, **change)))
    return same


def test_the_scale_of_distances_moves_the_threshold_and_nothing_else(svm_run):
    workdir, cache, _ = svm_run
    found = {}
    for scale in ("none", "validation"):
        (row,) = detect(other(cache, scale=scale), ["cfsm"], "kappa", splits=["test_a"])
        found[scale] = row, predictions(workdir, row), load_artefact(workdir, row, "validation")["distance"]
    (plain, raw, known), (scaled, moved, known_scaled) = found["none"], found["validation"]
    assert plain.metrics == scaled.metrics
    assert (known_scaled.min(), known_scaled.max()) == (0, 1)
    low, high = known.min(), known.max()
    np.testing.assert_allclose(moved["distance"], (raw["distance"] - low) / (high - low), atol=1e-5)
    assert scaled.threshold == pytest.approx((plain.threshold - low) / (high - low), abs=1e-5)
    assert module.row_scale(workdir, scaled)(raw["distance"]) == pytest.approx(moved["distance"], abs=1e-6)


@pytest.mark.parametrize(("metric", "scale"), [("cosine", "none"), ("euclidean", "features")])
def test_cfsm_measures_features_as_the_recipe_says(svm_run, metric, scale):
    workdir, cache, _ = svm_run
    (row,) = detect(other(cache, metric=metric, scale=scale), ["cfsm"], "f1", splits=["test_a"])
    images = cache.features(cache.pairs("test_a")).values
    x, y = (images[name].features.astype(np.float64) for name in ("image_t1", "image_t2"))
    x, y = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (x, y))
    expected = 1 - (x * y).sum(1) if metric == "cosine" else np.linalg.norm(x - y, axis=1)
    np.testing.assert_allclose(predictions(workdir, row)["distance"], expected, atol=1e-5)
    assert row.objective == "f1"


def test_an_svm_on_words_of_pairs_decides_on_pairs(svm_run):
    workdir, cache, _ = svm_run
    asked = other(cache, words_svm="pairs")
    (row,) = detect(asked, ["cdc_2"], "kappa", splits=["test_a"])
    found, svm = predictions(workdir, row), load_artefact(workdir, row, "svm")
    assert "prediction_t1" not in found, "an SVM on pairs knows no classes"
    assert "transition" not in row.metrics
    np.testing.assert_array_equal(found["predicted"], found["distance"] > 0)
    feature = {
        split: np.hstack([abs(one["image_t1"] - one["image_t2"]), np.minimum(one["image_t1"], one["image_t2"])])
        for split, one in words_of(asked, "train", "validation", "test_a").items()
    }
    label = asked.pairs("train").column("changed")
    expected = by_linear_svc(feature["train"], label, float(svm["c"]), feature["test_a"])
    assert np.mean(found["predicted"] == (expected == 1)) > 0.98
    known = by_linear_svc(feature["train"], label, float(svm["c"]), feature["validation"])
    kappa = cohen_kappa_score(asked.pairs("validation").column("changed"), known)
    assert svm["validation"].max() == pytest.approx(kappa, abs=0.05)


def write_pairs(root, changed, splits=None):
    """A pair list: the second date is another image where it changed."""
    generator = np.random.default_rng(0)
    for side in "AB":
        (root / side).mkdir(parents=True)
    lines = []
    for index, flag in enumerate(changed):
        image = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        other = generator.integers(0, 128, (32, 32, 3), dtype=np.uint8) if flag else image
        cv2.imwrite(str(root / "A" / f"{index}.png"), image)
        cv2.imwrite(str(root / "B" / f"{index}.png"), other)
        line = {"A": f"{index}.png", "B": f"{index}.png", "changed": int(flag)}
        lines.append(line if splits is None else line | {"split": splits[index]})
    with (root / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return root


def test_pairs_without_splits_are_cross_validated_and_their_words_are_the_training_scenes(run_copy, tmp_path, capsys):
    pairs = write_pairs(tmp_path / "pairs", np.arange(20) % 2 == 0)
    assert main(["change", str(run_copy), "--pairs", str(pairs), "--set", "change.words=8"]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert result["cfsm"]["all"]["precision"] == 1.0, "equal images have distance 0, others more"
    assert result["cfsm"]["all"]["kappa"] > 0.5
    assert result["cdc_1"]["all"]["oa"] >= 0.5
    assert "visual words and classes are of mtsccd_lusc" in output.err.replace("\n", " ")
    rows = {row.protocol: row for row in load(run_copy) if row.split == "all"}
    assert set(rows) == {"cfsm", "cdc_1", "cdc_2"}
    assert rows["cfsm"].threshold_from == "cross_validation_5"
    assert "mtsccd_lusc" in str(load_artefact(run_copy, rows["cdc_2"], "words")["fitted_on"])
    for row in rows.values():
        assert row.published is None
        assert "transition" not in row.metrics, "the true classes are unknown"
    found = predictions(run_copy, rows["cfsm"])
    assert (found["distance"][~found["changed"]] == 0).all()
    found = predictions(run_copy, rows["cdc_2"])
    assert not found["predicted"][~found["changed"]].any(), "one SVM for both dates: equal images have equal classes"


ALTERNATE = np.arange(20) % 2
HALVES = ["validation" if index < 10 else "test" for index in range(20)]

CDC_2 = ["--method", "cdc_2", "--set"]


@pytest.mark.parametrize(
    ("changed", "splits", "options", "message"),
    [
        (np.arange(12) < 3, None, ["--method", "cfsm"], "3 changed and 9 unchanged pairs"),
        (np.arange(20) >= 10, HALVES, ["--method", "cfsm"], "validation: all 10 pairs are unchanged"),
        (ALTERNATE, None, ["--set", "change.scale=validation"], "has no validation pairs, whose distances"),
        (ALTERNATE, None, [*CDC_2, "change.words_svm=pairs"], "needs pairs in the splits train and validation"),
        (ALTERNATE, HALVES, ["--method", "sscd"], "needs another network than this one, which was trained with"),
        (ALTERNATE, ["train"] * 20, ["--method", "cfsm"], "has no split to judge beside train; name one by --split"),
        (ALTERNATE, None, [*CDC_2, "change.words=90000"], "are fewer than change.words=90000"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(run_copy, tmp_path, capsys, changed, splits, options, message):
    pairs = write_pairs(tmp_path / "pairs", changed, splits)
    assert main(["change", str(run_copy), "--pairs", str(pairs), "-q", *options]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_every_row_of_every_method_is_what_its_artefacts_say(svm_run):
    checked = list(verify(svm_run[0], CHECKS))
    assert {row.protocol for _, row, _ in checked} >= {"cfsm", "cdc_1", "cdc_2"}
    assert [difference for _, _, differences in checked for difference in differences] == []


def test_equal_distances_have_no_scale():
    with pytest.raises(InputError, match=r"here, validation: all distances are 2; change.scale=validation divides"):
        validation_scale(np.full(3, 2.0), "here")


def test_real_scenes_and_real_pairs(real_data, tiny, tmp_path, capsys):
    """EuroSAT trains and is evaluated; its network is evaluated on the SZTAKI pairs."""
    workdir = tmp_path / "eurosat"
    command = [sys.executable, "-m", "mtsccd_jax", "train", "scenes_64", "-q", "--workdir", str(workdir), *tiny]
    command += ["--folder", str(real_data / "eurosat_rgb" / "2750")]
    command += ["--set", "model.width=0.125", "--set", "engine.epochs=4"]
    quick = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}  # it computes for long
    subprocess.run(command, check=True, capture_output=True, env=quick)
    assert main(["evaluate", str(workdir), "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test"]["oa"] > 0.25, "ten classes: three seeds of this small network reached 0.37 to 0.56"
    options = ["--pairs", str(real_data / "cd_sztaki300"), "--set", "change.words=16"]
    assert main(["change", str(workdir), *options, "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    row = next(row for row in load(workdir) if row.protocol == "cfsm")
    with (real_data / "cd_sztaki300" / "pairs.csv").open() as file:
        changed = sum(float(line["changed_fraction"]) > 0.01 for line in csv.DictReader(file))
    assert row.n == 64
    assert sum(row.confusion[1]) == changed
    for method in ("cfsm", "cdc_1", "cdc_2"):
        assert -1 <= result[method]["all"]["kappa"] <= 1
