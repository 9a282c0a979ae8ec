"""Rows of several labels a scene, recomputed from their artefacts by scikit-learn, and the guard against a leak."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from onnx_runtime import outputs_of, session_of
from reports import write
from sklearn import metrics

from mtsccd_jax.cli import main
from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine.evaluate import embed, load_trained
from mtsccd_jax.engine.export.onnx_model import write_onnx
from mtsccd_jax.engine.export.stablehlo import read_stablehlo, write_stablehlo
from mtsccd_jax.engine.export.weights import seen_data, write_safetensors
from mtsccd_jax.engine.workdir import load as load_run
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.multilabel import METRICS, decide
from mtsccd_jax.ops.multilabel_bootstrap import bootstrap_intervals
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.report.rows import load, load_artefact
from mtsccd_jax.report.verify import verify
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.labels.evaluate import PICTURES, evaluate, label_thresholds, measure
from mtsccd_jax.tasks.labels.source import label_source
from mtsccd_jax.tasks.search.evaluate import evaluate as evaluate_search
from mtsccd_jax.tasks.table import CHECKS
from mtsccd_jax.tasks.train import train
from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.leaks import LeakError


@pytest.fixture(scope="module")
def run(labels_run, tmp_path_factory):
    """A copy of the trained work directory, and its rows of the test split by both kinds of thresholds."""
    workdir = shutil.copytree(labels_run, tmp_path_factory.mktemp("labelled") / "run")
    rows = {
        threshold: evaluate(FeatureCache(load_trained(workdir, [f"labels.threshold={threshold}"])), "test")
        for threshold in ("half", "validation")
    }
    return workdir, rows


@pytest.mark.parametrize("threshold", ["half", "validation"])
def test_a_row_is_its_predictions(run, label_recipe, threshold):
    workdir, rows = run
    row = rows[threshold]
    assert row in load(workdir)
    found = load_artefact(workdir, row, "predictions")
    label, probability, predicted = found["label"], found["probability"], found["called"]
    source = open_source(label_recipe.data, "test")
    np.testing.assert_array_equal(label, source.column("labels"))
    np.testing.assert_array_equal(found["filename"], source.column("patch_id"))
    np.testing.assert_array_equal(predicted, probability >= found["threshold"])
    assert (row.protocol, row.split, row.n, row.threshold) == ("multilabel", "test", len(source), None)
    assert tuple(row.class_names) == CLASSES_19
    assert set(row.metrics) == set(METRICS)
    value = {name: metric["value"] for name, metric in row.metrics.items()}
    with np.errstate(all="ignore"):
        occurs = label.any(0)
        ap_k = metrics.average_precision_score(label[:, occurs], probability[:, occurs], average=None)
    assert value["ap_macro_present"] == pytest.approx(ap_k.mean())
    assert value["ap_micro"] == pytest.approx(metrics.average_precision_score(label, probability, average="micro"))
    for average in ("samples", "micro", "macro"):
        for name, beta in (("f1", 1), ("f2", 2)):
            expected = metrics.fbeta_score(label, predicted, beta=beta, average=average, zero_division=0)
            assert value[f"{name}_{average}"] == pytest.approx(expected)
        for name in ("precision", "recall"):
            expected = getattr(metrics, f"{name}_score")(label, predicted, average=average, zero_division=0)
            assert value[f"{name}_{average}"] == pytest.approx(expected)
    assert value["coverage_error"] == pytest.approx(metrics.coverage_error(label, probability))
    assert value["ranking_loss"] == pytest.approx(metrics.label_ranking_loss(label, probability))
    np.testing.assert_array_equal(
        np.array(row.confusion).reshape(-1, 2, 2), metrics.multilabel_confusion_matrix(label, predicted)
    )
    for metric in row.metrics.values():
        assert metric["low"] <= metric["high"]
    share = np.tile(label.mean(0), (len(label), 1))
    assert row.baseline["name"] == "label frequencies"
    assert row.baseline["ap_macro"] == pytest.approx(label.mean())
    assert row.baseline["f1_micro"] == pytest.approx(
        metrics.f1_score(label, share >= 0.5, average="micro", zero_division=0)
    )


def test_decisions_have_the_intervals_of_probabilities_at_their_thresholds():
    random, threshold = np.random.default_rng(0), np.linspace(0.3, 0.7, 5)
    label, probability = (random.random((60, 5)) < 0.4).astype(np.uint8), random.random((60, 5))
    measured = measure(label, probability, decide(probability, threshold), resamples=20, seed=0)
    expected = bootstrap_intervals(label, probability, threshold, resamples=20, seed=0)
    assert measured.intervals.keys() == expected.keys()
    for name, ends in expected.items():
        assert measured.intervals[name] == pytest.approx(ends), name


def test_thresholds_are_one_half_or_each_labels_best_on_validation(run):
    workdir, rows = run
    half, chosen = (load_artefact(workdir, rows[name], "predictions") for name in ("half", "validation"))
    assert (rows["half"].threshold_from, rows["validation"].threshold_from) == (None, "validation")
    assert (rows["half"].objective, rows["validation"].objective) == (None, "f1")
    np.testing.assert_array_equal(half["threshold"], 0.5)
    np.testing.assert_array_equal(half["probability"], chosen["probability"])
    known = load_artefact(workdir, rows["validation"], "validation")
    for column, threshold in enumerate(chosen["threshold"]):
        label, probability = known["label"][:, column], known["probability"][:, column]
        cuts = [*np.unique(probability), np.inf]
        best = max(metrics.f1_score(label, probability >= cut, zero_division=0) for cut in cuts)
        assert metrics.f1_score(label, probability >= threshold, zero_division=0) == pytest.approx(best)


def test_the_pictures_are_natural_colours_of_scenes_that_have_labels(run, label_recipe):
    workdir, rows = run
    half, chosen = (load_artefact(workdir, rows[name], "patches") for name in ("half", "validation"))
    np.testing.assert_array_equal(half["row"], chosen["row"])
    assert half["thumb"].shape == (PICTURES, 96, 96, 3)
    natural = open_source(replace(label_recipe.data, bands=("rgb",)), "test").read(half["row"])
    means = np.stack([np.clip(natural[name] / 2000.0, 0, 1).mean((1, 2)) * 255 for name in ("B04", "B03", "B02")], 1)
    np.testing.assert_allclose(half["thumb"].mean((1, 2)), means, atol=2)


def test_a_network_that_learned_from_v1_is_not_evaluated_on_the_same_images_in_v2(label_recipe, tmp_path, capsys):
    engine = replace(label_recipe.engine, epochs=1, validate=False, keep="last")
    first = replace(label_recipe, name="v1", engine=engine, data=replace(label_recipe.data, dataset="bigearthnet_v1"))
    first = replace(first, data=replace(first.data, bands=("B04",)))
    train(first, tmp_path / "v1")
    v2 = ["--dataset", "bigearthnet_v2", "-q"]
    assert main(["evaluate", str(tmp_path / "v1"), "--split", "test", *v2]) == 2
    error = capsys.readouterr().err
    assert "are in the train split of bigearthnet_v1, which the weights were trained on" in error
    # Nor one that goes on from its weights, whichever way they came.
    write_safetensors(load_trained(tmp_path / "v1"), tmp_path / "v1.safetensors")
    for init in (tmp_path / "v1", tmp_path / "v1.safetensors"):
        model = replace(first.model, init=str(init))
        second = replace(first, name="v2", model=model, data=replace(first.data, dataset="bigearthnet_v2"))
        workdir = tmp_path / f"after_{init.name}"
        train(second, workdir)
        assert seen_data(workdir) == ("bigearthnet_v1/official", "bigearthnet_v2/official")
        assert load_run(workdir).learned_before == ("bigearthnet_v1/official",)
        with pytest.raises(LeakError, match="are in the train split of bigearthnet_v1"):
            evaluate(FeatureCache(load_trained(workdir)), "test")


def test_networks_of_bands_say_what_they_cannot_do(run, label_data, scenes, tmp_path, capsys):
    workdir, _ = run
    v2 = ("--dataset", "bigearthnet_v2", "--data-dir", str(label_data), "--workdir", str(tmp_path / "none"))
    cases = {
        ("predict", str(workdir), str(scenes), "--out", str(tmp_path / "x.csv")): "sees bands and not images",
        ("embed", str(workdir), "--folder", str(scenes), "--out", str(tmp_path / "x.npz")): (
            "holds no bands, and the network sees VV,"
        ),
        ("retrieve", str(workdir), "--folder", str(scenes), "--split", "all"): "holds no bands, and the network sees",
        ("evaluate", str(workdir), "--set", "scene.classifier=svm"): "named by the network's own head alone",
        ("evaluate", str(workdir), "--set", "evaluation.resamples=0"): "resamples=0: must be 1 or more",
        ("train", "demo", *v2, "--set", "model.task=labels"): "bigearthnet_v2/official: holds no images; a network of",
        ("train", "demo", *v2, "--set", "model.task=labels", "--set", "data.bands=rgb"): "are those of images in",
        ("train", "demo", *v2, "--set", "optim.label_smoothing=1"): "label_smoothing=1.0: must be 0 or more and below",
        ("change", str(workdir)): "change detection needs a network that was trained with model.task=scenes",
        ("evaluate", str(workdir), "--dataset", "mlrsnet"): "mlrsnet/official has no band 'VV'; it has none",
        ("evaluate", str(workdir), "--dataset", "bigearthnet_v2/s2"): "data set 'bigearthnet_v2/s2' is not in",
        ("train", "demo", *v2): "not scenes of one class each; train with --set model.task=labels",
    }
    for arguments, message in cases.items():
        assert main([*arguments, "-q"]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists(), "a work directory is claimed by what can be trained"


def test_exported_programs_take_bands_as_they_are_stored(run, label_recipe, tmp_path):
    workdir, _ = run
    trained = load_trained(workdir)
    write_stablehlo(trained, tmp_path / "model.stablehlo")
    write_onnx(trained, tmp_path / "model.onnx")
    batch = open_source(label_recipe.data, "test").read(np.arange(5))
    bands = {name: batch[name] for name in label_recipe.data.bands}
    logits = embed(trained, open_source(label_recipe.data, "test"))[0]["image"].logits[:5]
    session = session_of((tmp_path / "model.onnx").read_bytes())
    for answer in (read_stablehlo(tmp_path / "model.stablehlo").call(bands), outputs_of(session, **bands)):
        np.testing.assert_allclose(answer["logits"], logits, rtol=1e-4, atol=1e-5)


def test_other_labels_than_the_network_has_are_refused(run, label_recipe):
    workdir, _ = run
    trained = load_trained(workdir)
    other = replace(trained, network=replace(trained.network, class_names=CLASSES_19[::-1]))
    with pytest.raises(InputError, match=r"its labels \(19: .*\) are not those the network"):
        label_source(FeatureCache(other), "test")


def test_images_with_several_labels_are_learned_named_and_embedded(label_data, label_recipe, scenes, tmp_path, capsys):
    data = Data("mlrsnet", None, data_dir=str(label_data), image_size=32)
    recipe = replace(label_recipe, name="mlrsnet", data=data, engine=replace(label_recipe.engine, epochs=1))
    workdir = tmp_path / "run"
    train(recipe, workdir)
    assert main(["evaluate", str(workdir), "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"] == 2
    assert set(result["test"]) == set(METRICS)
    folder = scenes / "dark"
    assert main(["predict", str(workdir), str(folder), "--out", str(tmp_path / "labels.csv"), "-q"]) == 0
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    header, first = lines[0].split(","), lines[1].split(",")
    assert header[:2] == ["filename", "labels"]
    probability = np.array(first[2:], float)
    names = np.array([name.removeprefix("p_") for name in header[2:]])
    assert "; ".join(names[probability >= 0.5]) == first[1]
    chosen = ["--set", "labels.threshold=validation"]
    assert main(["evaluate", str(workdir), "--split", "test", *chosen, "-q"]) == 0
    chosen = load_trained(workdir, chosen[1:])
    last = load_artefact(workdir, load(workdir)[-1], "predictions")
    np.testing.assert_array_equal(label_thresholds(chosen), last["threshold"])
    labels = replace(chosen.recipe.labels, objective="kappa")
    with pytest.raises(InputError, match="no thresholds by kappa are there"):
        label_thresholds(replace(chosen, recipe=replace(chosen.recipe, labels=labels)))
    out = tmp_path / "features.npz"
    assert main(["embed", str(workdir), "--out", str(out), "-q"]) == 0
    with np.load(out) as arrays:
        np.testing.assert_array_equal(arrays["labels"], open_source(data, "test").column("labels"))


def test_rows_agree_with_what_is_recomputed_and_make_a_page(run, tmp_path):
    workdir, rows = run
    searched = evaluate_search(FeatureCache(load_trained(workdir)), "test")
    checked = {row.id: differences for _, row, differences in verify(workdir, CHECKS)}
    text = write([workdir], tmp_path).read_text()
    assert "Not shown" not in text
    for row in (*rows.values(), searched):
        assert checked[row.id] == []
        assert row.id in text
