"""The command line as other people's scripts rely on it: commands, JSON keys, exit statuses, one-line errors."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import cv2
import jax
import numpy as np
import pytest
from commands import refused, run
from safetensors import safe_open

from mtsccd_jax import models
from mtsccd_jax.cli import main, make_parser
from mtsccd_jax.errors import RunError
from mtsccd_jax.perf.records import Measurement
from mtsccd_jax.recipes import get_recipe
from mtsccd_jax.recipes.config import EVALUATION_KEYS, flatten, to_dict

COMMANDS = {
    *("demo", "data", "recipes", "models", "train", "evaluate", "change", "predict", "embed", "retrieve"),
    *("certainty", "report", "export", "verify", "audit", "explain", "reproduce", "profile", "bench"),
}


def parsers(parser, name=()):
    """Yield all parsers of a command line, each with the words of its command."""
    yield name, parser
    for action in parser._actions:
        if hasattr(action, "choices") and isinstance(action.choices, dict):
            for child, sub in action.choices.items():
                yield from parsers(sub, (*name, child))


def test_the_commands_are_those_of_the_interface():
    expected = {(name,) for name in COMMANDS}
    expected |= {("data", name) for name in ("synth", "check", "build", "convert", "audit")}
    expected |= {("bench", name) for name in ("models", "input", "distance", "threshold", "build")}
    assert {name for name, _ in parsers(make_parser()) if name} == expected


def test_every_help_shows_an_example(capsys):
    for name, parser in parsers(make_parser()):
        if name and name not in (("data",), ("bench",)):
            text = parser.format_help()
            assert f"mtsccd-jax {' '.join(name)}" in text.split("example:")[1], name
            assert "--json" in text
            assert "-q" in text


def test_the_demo_reports_what_the_interface_names(demo_run):
    workdir, result = demo_run
    for split in ("test_a", "test_b"):
        assert set(result["scene"][split]) >= {"oa", "kappa"}
        for method in ("cfsm", "cdc_1"):
            assert set(result["change"][method][split]) >= {"oa", "kappa", "threshold"}
    assert result["train_images_per_s"] > 0
    assert result["seconds"] > 0
    assert Path(result["report"]).is_absolute()
    assert Path(result["report"]).is_file()
    assert result["rows"] == 7, "three scene rows, and two methods on two cities"
    assert len((workdir / "rows.jsonl").read_text().splitlines()) >= 7


def test_a_second_demo_keeps_what_is_there(demo_run, tiny, capsys, tmp_path):
    first = demo_run[1]
    workdir = shutil.copytree(demo_run[0], tmp_path / "demo")  # other tests read the report of the first
    archive = sorted((workdir / "archive").rglob("*.jpg"))[0]
    before = archive.stat().st_mtime_ns
    status, second, _ = run(capsys, "demo", "--workdir", workdir, "--scale", "0.01", "--json", *tiny)
    assert status == 0
    assert archive.stat().st_mtime_ns == before
    for method in ("cfsm", "cdc_1"):
        assert second["change"][method] == first["change"][method]
    assert second["rows"] == first["rows"]


def test_evaluate_and_change_on_a_trained_run(run_copy, demo_run, capsys):
    _, first = demo_run
    status, result, _ = run(capsys, "evaluate", run_copy, "--split", "test_a", "-q")
    assert status == 0
    assert result["rows"] == 1
    assert result["test_a"] == first["scene"]["test_a"]
    status, result, _ = run(capsys, "change", run_copy, "--method", "cfsm", "--objective", "f1", "-q")
    assert status == 0
    assert set(result["cfsm"]) == {"test_a", "test_b"}
    assert set(result["cfsm"]["test_a"]) >= {"oa", "kappa", "threshold"}
    assert "cdc_1" not in result


def test_predict_writes_a_table(demo_run, capsys, tmp_path):
    workdir, _ = demo_run
    folder = workdir / "archive" / "MtSCCD" / "hefei" / "T1"
    status, result, _ = run(capsys, "predict", workdir, folder, "--out", tmp_path / "labels.csv", "-q")
    assert status == 0
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert result == {"images": len(lines) - 1, "skipped": [], "out": str((tmp_path / "labels.csv").resolve())}
    header, first = lines[0].split(","), lines[1].split(",")
    assert header[:3] == ["filename", "label", "probability"]
    probabilities = [float(value) for value in first[3:]]
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert first[1] == header[3 + int(np.argmax(probabilities))].removeprefix("p_")


def test_predict_on_pairs_tells_what_changed(demo_run, capsys, tmp_path):
    workdir, _ = demo_run
    generator = np.random.default_rng(0)
    for side in "AB":
        (tmp_path / side).mkdir()
        for name in ("x.png", "y.png"):
            cv2.imwrite(str(tmp_path / side / name), generator.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    status, result, _ = run(capsys, "predict", workdir, tmp_path, "--out", tmp_path / "pairs.csv", "-q")
    assert status == 0
    assert result["images"] == 4
    header = (tmp_path / "pairs.csv").read_text().splitlines()[0].split(",")
    assert {"filename_t1", "filename_t2", "changed_cdc_1", "distance", "changed_cfsm"} <= set(header)


def test_embed_writes_features_and_distances(demo_run, capsys, tmp_path):
    workdir, _ = demo_run
    out = tmp_path / "features.npz"
    status, result, _ = run(capsys, "embed", workdir, "--dataset", "mtsccd_lucd", "--out", out, "-q")
    assert status == 0
    with np.load(out) as arrays:
        assert list(arrays["features_t1"].shape) == result["shape"]
        unit = [
            arrays[name] / np.linalg.norm(arrays[name], axis=1, keepdims=True)
            for name in ("features_t1", "features_t2")
        ]
        np.testing.assert_allclose(arrays["distance"], np.linalg.norm(unit[0] - unit[1], axis=1), rtol=1e-4, atol=1e-5)


def test_report_names_its_page(demo_run, capsys, tmp_path):
    workdir, _ = demo_run
    status, result, _ = run(capsys, "report", workdir, "--out", tmp_path / "report")
    assert status == 0
    assert result["report"] == str((tmp_path / "report" / "index.html").resolve())


@pytest.mark.parametrize(
    ("archive", "data_set", "scale", "splits", "options", "counts"),
    [
        ("mtsccd", "mtsccd_lusc", "0.002", {"test_a", "test_b"}, ["--image-size", "8"], set()),
        ("mlrsnet", "mlrsnet", "0.0005", {"test"}, ["--image-size", "16"], {"damage"}),
        ("bigearthnet_v1", "bigearthnet_v1", "0.00002", {"test"}, [], {"seasons", "countries"}),
        ("bigearthnet_v2", "bigearthnet_v2", "0.00002", {"test"}, [], {"rows"}),
    ],
)
def test_an_archive_is_made_checked_and_built(capsys, tmp_path, archive, data_set, scale, splits, options, counts):
    place = tmp_path / "a"
    status, made, _ = run(
        capsys, "data", "synth", "--dataset", archive, "--out", place, "--scale", scale, "-q", *options
    )
    assert status == 0
    assert made["out"] == str(place.resolve())
    if options:  # one file an image
        assert made["images"] == len(list(place.rglob("*.jpg")))
    status, checked, err = run(capsys, "data", "check", place, "--dataset", archive)
    assert status == 0
    assert set(checked) == {"images", "pairs", "problems", "differences", *counts}
    assert (checked["images"], checked["problems"]) == (made["images"], [])
    assert checked["pairs"] is None or 0 < checked["pairs"] <= made["images"]
    assert checked["differences"], "a small archive differs from the published counts"
    assert f"{len(checked['differences'])} differences" in err
    strict = refused(capsys, "data", "check", place, "--dataset", archive, "--strict")
    assert "all without --strict" in strict
    build = ("data", "build", data_set, "--archive", place, "--data-dir", tmp_path / "tfds", "-q")
    status, built, _ = run(capsys, *build)
    assert status == 0
    assert set(built["splits"]) == {"train", "validation", *splits}
    assert min(built["splits"].values()) > 0
    assert (built["skipped"], built["absent"]) == ([], 0)
    assert run(capsys, *build)[1] == built, "an existing build is kept"
    wrong = refused(capsys, "data", "build", f"{data_set}/nothing", *build[3:])
    assert f"{data_set}: unknown configuration 'nothing'; it has official" in wrong
    if archive == "mtsccd":
        assert "Table 2" in err
        assert 2 * checked["pairs"] == sum(built["splits"].values()) == made["images"]


@pytest.mark.filterwarnings("ignore")  # Beam's own
def test_beam_options_are_checked_before_anything_is_read(capsys, tmp_path):
    command = ("data", "build", "mlrsnet", "--archive", tmp_path / "nothing", "--data-dir", tmp_path / "tfds")
    assert "Beam options" in refused(capsys, *command, "--beam-options", "runner=DirectRunner", "runer=x")
    assert not (tmp_path / "tfds" / "mlrsnet").exists()


def test_export_writes_weights_under_published_names(demo_run, capsys, tmp_path):
    workdir, _ = demo_run
    out = tmp_path / "weights.safetensors"
    status, result, _ = run(capsys, "export", workdir, "--format", "safetensors", "--out", out)
    assert (status, result) == (0, {"out": str(out.resolve())})
    with safe_open(out, framework="numpy") as weights:
        assert {"conv1.weight", "layer4.1.bn2.running_var", "fc.bias"} <= set(weights.keys())
        assert weights.metadata()["model"] == "resnet18"
        assert len(json.loads(weights.metadata()["class_names"])) == 10


def test_export_writes_programs_and_tells_until_when_one_is_readable(demo_run, capsys, tmp_path):
    workdir, _ = demo_run
    out = tmp_path / "scenes.onnx"
    status, result, _ = run(capsys, "export", workdir, "--format", "onnx", "--out", out)
    assert (status, result) == (0, {"out": str(out.resolve()), "opset": 20})
    assert out.is_file()
    out = tmp_path / "scenes.stablehlo"
    status, result, err = run(capsys, "export", workdir, "--format", "stablehlo", "--out", out)
    assert (status, set(result)) == (0, {"out", "jax", "jaxlib", "readable_until", "description"})
    told = json.loads(Path(result["description"]).read_text())
    assert told["readable_until"] == result["readable_until"]
    assert f"written by JAX {result['jax']}, readable by a JAX built until {result['readable_until']}" in err


def test_recipes_and_models_are_listed(capsys, monkeypatch):
    two = {name: models.MODELS[name] for name in ("resnet18", "vit_tiny_patch16")}
    monkeypatch.setattr(models, "MODELS", two)  # tests/models describes them all
    status, recipes, _ = run(capsys, "recipes", "--json")
    assert status == 0
    assert "demo" in {recipe["name"] for recipe in recipes}
    status, described, _ = run(capsys, "models", "--json")
    assert status == 0
    assert [model["name"] for model in described] == list(two)
    assert all(set(model) >= {"name", "params", "gmacs_224", "feature_width", "source"} for model in described)
    for command, names in (("models", list(two)), ("recipes", [recipe["name"] for recipe in recipes])):
        assert main([command]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names, "one line each"


@pytest.mark.parametrize("command", [("recipes", "vit_small_scratch"), ("train", "vit_small_scratch", "--set", "help")])
def test_every_setting_is_explained(capsys, command):
    assert main(list(command)) == 0
    lines = capsys.readouterr().out.splitlines()
    keys = [line.partition("=")[0] for line in lines]
    assert keys == [key for key in flatten(to_dict(get_recipe("demo"))) if key not in ("name", "summary")]
    for line in lines:
        assert re.fullmatch(r"\S+ +[^ \[].*\. \[.+; default .+\]", line), line
    (crop,) = [line for line in lines if line.startswith("data.crop_padding=16 ")]
    assert crop.endswith("[integer; must be 0 or more and at most 16,384; must be below data.image_size; default 0]")


def test_a_trained_run_explains_what_can_still_be_set(demo_run, capsys):
    assert main(["evaluate", str(demo_run[0]), "--set", "help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(EVALUATION_KEYS) for line in lines)
    assert "evaluation.resamples=50 " in "\n".join(lines)
    assert main(["evaluate", str(demo_run[0]), "--set", "help", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert list(values) == [line.partition("=")[0] for line in lines]
    assert values["evaluation.resamples"] == 50


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        *(("optim.lr", "'optim.learning_rate'"), ("lr", "'optim.learning_rate'"), ("bs", "'engine.batch_size'")),
        *(("epochs", "'engine.epochs'"), ("wd", "'optim.weight_decay'"), ("arch", "'model.name'")),
        *(("model.backbone", "'model.name'"), ("name", "'model.name' or 'optim.name'"), ("BS", "'engine.batch_size'")),
        *(("engine.epoch", "'engine.epochs'"), ("learning_rat", "'optim.learning_rate'")),
        ("change.objectiv", "'change.objective'"),
    ],
)
def test_other_words_for_a_setting_are_understood(capsys, key, hint):
    line = refused(capsys, "train", "demo", "--set", f"{key}=1")
    assert f"unknown recipe key '{key}'. Did you mean {hint}?" in line


@pytest.mark.parametrize(
    ("part", "recipes"),
    [
        ("sscd_resnet50", ["mtsccd_sscd_resnet50"]),
        ("SSCD_vgg16", ["mtsccd_sscd_vgg16"]),
        ("resnet18", ["mtsccd_resnet18"]),
        ("resnet50", ["mtsccd_resnet50", "mtsccd_sscd_resnet50"]),  # the name of a network: all that have it
        ("sscd_dense", ["mtsccd_sscd_densenet201"]),
        ("seres", ["mtsccd_seresnet50"]),
        ("vit", ["mtsccd_vit_base_patch16"]),
        ("sscd", "could be mtsccd_sscd_vgg16, mtsccd_sscd_resnet50, "),
        ("resnet500", "no network or recipe of all. Did you mean 'resnet50'?"),
    ],
)
def test_only_takes_a_part_of_a_name(capsys, part, recipes):
    with mock.patch("mtsccd_jax.tasks.reproduce.reproduce", side_effect=RunError("seen")) as reproduce:
        status, _, err = run(capsys, "reproduce", "all", "--only", part)
    if isinstance(recipes, str):
        assert (status, reproduce.called) == (2, False)
        assert recipes in err
    else:
        assert [experiment.recipe.name for experiment in reproduce.call_args.args[0]] == recipes


@pytest.mark.parametrize("command", ["recipes --json", "--help", "audit"])
def test_a_reader_that_goes_away_is_no_error(command):
    """As in `mtsccd-jax recipes --json | head -1`, and with `2>&1` before the pipe."""
    for merged in ("", "2>&1"):
        line = f"{sys.executable} -m mtsccd_jax {command} {merged} | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr


@pytest.mark.parametrize(
    ("command", "status"), [("", 2), ("recipes > /dev/full", 3), ("recipes >&-", 0), ("recipes x 2>&-", 2)]
)
def test_the_module_is_the_command(command, status):
    line = f"exec {sys.executable} -m mtsccd_jax {command}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert ("usage: mtsccd-jax" in done.stderr) == (command == "")
    assert not done.stdout


@pytest.mark.parametrize(("rates", "status"), [((None, None), 3), ((None, 5.0), 0)])
def test_a_bench_that_measured_nothing_has_failed(capsys, tmp_path, rates, status):
    rows = [Measurement(name="one", conditions={}, unit="pairs/s", rate=rate) for rate in rates]
    with mock.patch("mtsccd_jax.perf.bench.threshold.run", return_value=rows):
        found, result, err = run(capsys, "bench", "threshold", "--out", tmp_path)
    assert found == status
    assert [row["rate"] for row in result["rows"]] == list(rates)
    assert ("nothing could be measured" in err) == (status == 3)


SMALLER_THAN_A_PATCH = ["--set", "data.image_size=12", "--set", "data.crop_padding=0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian", "demo"], "Did you mean 'train'?"),
        (["train", "demoo"], "unknown recipe 'demoo'. Did you mean 'demo'?"),
        (["train", "demo", "--set", "model.nam=x"], "Did you mean 'model.name'?"),
        (["train", "demo", "--set", "model.name=resnet81", "--folder", "{scenes}"], "Did you mean 'resnet18'?"),
        (["train", "demo", "--set", "engine.epochs=two"], "engine.epochs=two: expected integer"),
        (["train", "demo", "--data-dir", "{empty}", "--workdir", "{empty}/w"], "mtsccd-jax data build mtsccd_lusc"),
        (["train", "demo", "--folder", "{empty}", "--pairs", "{empty}"], "give one input"),
        (["train", "demo", "--folder", "{empty}"], "no class folders"),
        (["evaluate", "{empty}"], "no trained run here"),
        (["reproduce", "table6", "--only", "resnet81"], "no network or recipe of table6. Did you mean 'resnet18'?"),
        (["reproduce", "all", "--data-dir", "{empty}", "--workdir", "{empty}/w"], "data build mtsccd_lusc"),
        (["reproduce", "all", "--init-dir", "{empty}/nothing"], "no such folder"),
        (["reproduce", "all", "--split", "paired", "--pairs", "{empty}"], "leave out --folder and --pairs"),
        (["reproduce", "all", "--stand-ins", "--init-dir", "{empty}"], "--stand-ins begin with random weights"),
        (["data", "synth", "--out", "{empty}/a", "--scale", "2"], "must be above 0 and at most 1"),
        (["data", "check", "{empty}/nothing"], "nothing"),
        (["data", "build", "mtsccd_lusc", "--archive", "{empty}", "--data-dir", "{empty}/t"], "{empty}"),
        (["data", "build", "mtsccd_luscc", "--archive", "{empty}", "--data-dir", "{empty}/t"], "mtsccd_lusc"),
        (["data", "synth", "--dataset", "mlrsnet", "--out", "{empty}/a", "--layout", "1"], "--layout: archives"),
        (["data", "synth", "--dataset", "bigearthnet_v1", "--out", "{empty}/a", "--image-size", "64"], "--image-size:"),
        (["data", "synth", "--dataset", "mlrsnet", "--out", "{empty}/a", "--image-size", "8"], "16 pixels or more"),
        (["data", "synth", "--dataset", "eurosat", "--out", "{empty}/a"], "--dataset"),
        (["data", "check", "{empty}", "--dataset", "mlrsnet"], "holds no label file"),
        (["data", "build", "mlrsnet", "--archive", "{empty}", "--data-dir", "{empty}/t"], "holds no label file"),
        (["report", "{empty}"], "rows"),
        (["data"], "synth"),
        (["data", "synth", "--out", "{scenes}/train/a/0.png", "--scale", "0.002", "--image-size", "8"], "is a file"),
        (["frobnicate"], "unknown command 'frobnicate';"),
        (["train", "scenes_64", "--workdir", "{empty}/w"], "--folder DIR"),
        (["embed", "{empty}"], "--out"),
        (["train", "demo", "--folder", "{scenes}", "--init", "absent.pth"], "absent.pth: no such weight file"),
        (
            ["train", "demo", "--folder", "{scenes}", "--set", "model.name=vit_base_patch16", *SMALLER_THAN_A_PATCH],
            "16 pixels or more, not 12x12",
        ),
        (["export", "{empty}", "--format", "safetensors"], "no trained run here"),
        (["export", "{empty}", "--format", "tflite"], "--format"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    places = {"empty": tmp_path / "empty", "scenes": tmp_path / "scenes"}
    places["empty"].mkdir()
    for split in ("train", "validation"):
        for name in ("a", "b"):
            (places["scenes"] / split / name).mkdir(parents=True)
            for index in range(32):
                cv2.imwrite(str(places["scenes"] / split / name / f"{index}.png"), np.zeros((32, 32, 3), np.uint8))
    line = refused(capsys, *(argument.format(**places) for argument in arguments))
    assert message.format(**places) in line


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RunError("step 3: loss is nan"), 3, "step 3: loss is nan"),
        (OSError(28, "No space left on device", "/x/rows.jsonl"), 3, "no space left"),
        (OSError(30, "Read-only file system", "/x/rows.jsonl"), 2, "/x/rows.jsonl: read-only file system"),
        (PermissionError(13, "Permission denied", "/x"), 2, "permission denied"),
        (OSError(24, "Too many open files", "/x"), 3, "/x: too many open files; allow more (`ulimit -n 4096`)"),
        (
            OSError(116, "Stale file handle", "/x"),
            3,
            "/x: the disk or the network failed (stale file handle)",
        ),
        (OSError(5, "Input/output error"), 3, "input/output error"),
        (ConnectionError("no route to the hub"), 3, "no route to the hub"),
        (MemoryError(), 3, "out of memory"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 5 GiB"), 3, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_exit_statuses(capsys, error, status, words):
    with mock.patch("mtsccd_jax.report.page.write", side_effect=error):
        found, result, err = run(capsys, "report", "anything")
    assert (found, result) == (status, None)
    assert words in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("huggingface_hub", "'mtsccd-jax[hub]'"),
        ("flatbuffers", "'mtsccd-jax[export]'"),
        ("onnx", "'mtsccd-jax[onnx]'"),
        ("apart", "apart"),
    ],
)
def test_a_missing_module_names_its_extra(capsys, module, package):
    error = ModuleNotFoundError(f"No module named '{module}'", name=module)
    with mock.patch("mtsccd_jax.report.page.write", side_effect=error):
        line = refused(capsys, "report", "anything")
    assert line.endswith(f"{module} is not installed and this command needs it: pip install {package}")


def test_a_bug_is_not_reported_as_wrong_input():
    with mock.patch("mtsccd_jax.report.page.write", side_effect=ZeroDivisionError), pytest.raises(ZeroDivisionError):
        main(["report", "anything"])


@pytest.mark.parametrize(("given", "batch_size", "largest"), [([], 32, False), (["8"], 8, False), (["auto"], 32, True)])
def test_the_batch_option_sets_the_batch_or_searches_for_it(capsys, given, batch_size, largest):
    with mock.patch("mtsccd_jax.tasks.train.train", side_effect=RunError("seen")) as train:
        assert run(capsys, "train", "demo", *(f"--batch={value}" for value in given))[0] == 3
    assert train.call_args.args[0].engine.batch_size == batch_size
    assert train.call_args.kwargs == {"largest_batch": largest}


def test_a_signal_saves_and_ends_with_its_status(demo_run, tiny, tmp_path):
    workdir, _ = demo_run
    command = [sys.executable, "-m", "mtsccd_jax", "train", "demo", "--data-dir", str(workdir / "tfds")]
    command += ["--workdir", str(tmp_path / "run"), *tiny, "--set", "engine.epochs=200", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    history = tmp_path / "run" / "training.jsonl"
    deadline = time.monotonic() + 120
    while not (history.exists() and history.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert out == ""
    assert "the same command continues" in err
    assert len(err.strip().splitlines()) == 1
    assert [entry for entry in (tmp_path / "run" / "checkpoints").iterdir() if entry.name.isdigit()]


def test_importing_the_package_is_free():
    heavy = "{'jax', 'tensorflow', 'torch', 'matplotlib'}"
    code = f"import sys, mtsccd_jax, mtsccd_jax.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
