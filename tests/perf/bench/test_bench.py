"""`bench` on sizes of seconds: the content of rows, and that a row of the record is not measured again."""

import csv
import logging
from dataclasses import replace

import numpy as np
import pytest
from commands import refused, run

from mtsccd_jax.engine.batch_size import BatchChoice
from mtsccd_jax.errors import InputError
from mtsccd_jax.models import describe_models
from mtsccd_jax.perf.bench import build, distance, feed, input, models, rows, threshold
from mtsccd_jax.perf.bench.settings import (
    DistanceSettings,
    InputSettings,
    ModelSettings,
    ThresholdSettings,
    TimedWindows,
)
from mtsccd_jax.perf.records import Measurement, RecordFile, load
from mtsccd_jax.perf.timing import Timing
from mtsccd_jax.provenance import environment
from mtsccd_jax.recipes.config import Data

SHORT = TimedWindows(windows=2, window_s=0.0)
QUICK = ("--windows", "2", "--window-s", "0")
# The smallest network that `bench models` can measure.
TINY = ModelSettings(("scnn",), tasks=("infer",), batch=(8,), image_size=(16,))


@pytest.fixture
def record(tmp_path):
    return RecordFile(tmp_path, "rows", benchmark="test", command="test", environment=environment())


def forbidden(*arguments):
    raise AssertionError("it must not run")


def test_a_window_is_many_calls_that_are_waited_for_together(monkeypatch):
    now, waited, calls = [0.0], [], []
    monkeypatch.setattr(rows.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(rows.jax, "block_until_ready", waited.append)

    def call():
        now[0] += 0.25
        calls.append(len(calls))
        return len(calls)

    timing = rows.time_calls({"a": call}, TimedWindows(windows=3, window_s=1.0))["a"]
    assert timing == Timing((0.25, 0.25, 0.25)), "seconds of a call, whatever the window"
    # Two single calls to find out how long one takes, a window that warms up, and three that count.
    assert [len(results) if isinstance(results, list) else 1 for results in waited] == [1, 1, 4, 4, 4, 4]
    assert len(calls) == 18


@pytest.mark.parametrize(("parallel", "tasks"), [("jit", ("train", "infer")), ("pmap", ("infer",))])
def test_networks_are_trained_and_infer(record, monkeypatch, parallel, tasks):
    settings = replace(TINY, tasks=tasks, parallel=(parallel,))
    made = models.run(settings, record, SHORT)
    assert tuple(row.conditions["task"] for row in made) == tasks
    for row in made:
        assert row.rate_p10 <= row.rate <= row.rate_p90
        assert row.details["images_per_s_per_device"] == pytest.approx(row.rate / 8)
        assert row.details["step_ms"] == pytest.approx(8e3 / row.rate)
        assert row.details["peak_bytes"] > 0
        assert row.details["compile_s"] > 0
    described = next(entry for entry in describe_models() if entry["name"] == "scnn")
    assert made[0].details["params"] == described["params"]
    monkeypatch.setattr(models, "time_calls", forbidden)
    assert models.run(settings, record, SHORT) == made, "what is in the record is not measured again"


def test_macs_and_activations_are_those_of_the_network_at_its_size():
    recipe = models._recipe("resnet18", 224, "float32", "jit")
    workload = models.scene_workload(models.with_batch(recipe, 8), models.make_parallel("jit"), models.CLASSES)
    size = models._size(workload)
    # timm's table has 1.82 GMACs (1.81 without what it counts for pooling) and 2.48 million activations.
    assert size["macs"] / 1e9 == pytest.approx(1.814, abs=0.001)
    assert size["activations"] / 1e6 == pytest.approx(2.484, abs=0.001)


def test_what_cannot_be_is_a_row_with_its_reason(record):
    settings = replace(TINY, models=("resnet18", "scnn"), batch=(8, 9), image_size=(17,))
    made = models.run(settings, record, SHORT)
    assert [row.rate is None for row in made] == [True, True, False, True]
    assert "17" in made[0].reason
    assert made[3].reason == "--batch=9: must be a positive multiple of the 8 devices; take 8 or 16, or fewer devices"
    assert load(record.json).rows == tuple(made)


def test_auto_takes_the_largest_batch_that_fits_and_a_larger_one_is_refused(record, monkeypatch, caplog):
    limit = 2_500_000
    monkeypatch.setattr(models, "usable_bytes", lambda parallel: limit)
    with caplog.at_level(logging.INFO):
        (row,) = models.run(replace(TINY, batch=("auto",)), record, SHORT)
    largest = row.details["batch_size"]
    assert row.conditions["batch"] == "auto"
    assert row.details["peak_bytes"] <= limit
    assert f"batch {largest}: " in caplog.text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_largest", lambda *arguments: BatchChoice(2 * largest, 1, limit, 3))
        workload, _ = models._prepared(models._recipe("scnn", 16, "float32", "jit"), "auto", "infer")
    assert workload.recipe.engine.batch_size == largest, "what runs takes more than what was looked at"

    monkeypatch.setattr(models, "time_calls", forbidden)
    (refused,) = models.run(replace(TINY, batch=(2 * largest,)), record, SHORT)
    assert refused.reason.startswith(f"--batch={2 * largest}: a step takes ")
    assert refused.reason.endswith(f"the largest that fits is {largest}")


def test_what_fills_the_memory_is_measured_alone(record, monkeypatch):
    asked = []

    def measured(recipe, batch, conditions, windows):
        asked.append((batch, *conditions))
        return (Measurement(name="scnn", conditions=case, unit=models.UNIT) for case in conditions.values())

    monkeypatch.setattr(models, "_measured", measured)
    made = models.run(ModelSettings(("scnn",), batch=("auto", 8)), record, SHORT)
    assert asked == [("auto", "train"), ("auto", "infer"), (8, "train", "infer")]
    assert len(made) == len(record.record.rows) == 4


def test_scenes_that_do_not_fit_are_not_even_made(record, monkeypatch):
    batch, limit = 1 << 30, 95_000_000

    def found(recipe, parallel, task, limit_bytes, most):
        assert (limit_bytes, most) == (limit, batch - 1)
        return BatchChoice(64, 1, limit_bytes, 3)

    monkeypatch.setattr(models, "usable_bytes", lambda parallel: limit)
    monkeypatch.setattr(models, "_largest", found)
    (row,) = models.run(replace(TINY, batch=(batch,)), record, SHORT)
    # 3 x 16 x 16 bytes of each scene, an eighth of them on each device.
    expected = "a step takes 103.08 GB of each device, 0.10 GB can be used; the largest that fits is 64"
    assert row.reason == f"--batch={batch}: {expected}"


def test_the_table_of_networks_begins_as_timms(capsys, tmp_path):
    trained = Measurement(name="a", conditions={"task": "train", "batch": 8, "image_size": 16}, unit=models.UNIT)
    timm = "model,train_samples_per_sec,train_step_time,train_batch_size,train_img_size,param_count"
    assert list(models.table([trained])[0])[:6] == timm.split(",")
    command = ("models", "--models", "scnn", "--image-size", 16, "--batch", 8, "--tasks", "infer", *QUICK)
    status, said, _ = run(capsys, "bench", *command, "--out", tmp_path, "-q")
    assert status == 0
    assert said["csv"].startswith(str(tmp_path / "benchmark-infer-jit-float32-jax"))
    timm = "model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size,param_count"
    timm += ",infer_gmacs,infer_macts"
    with open(said["csv"]) as stream:
        (line,) = csv.DictReader(stream)
    assert list(line)[:8] == timm.split(",")
    assert (line["model"], line["infer_batch_size"], line["infer_img_size"]) == ("scnn", "8", "16")
    assert float(line["infer_samples_per_sec"]) == pytest.approx(said["rows"][0]["rate"], abs=0.01)


def test_every_stage_of_the_input_is_a_row(record, scenes):
    data = Data(dataset=None, folder=str(scenes))
    settings = InputSettings(data=data, split="all", images=40, batch=16, image_size=24, threads=2)
    made = input.run(settings, record, SHORT)
    assert [row.name for row in made] == list(settings.stages)
    for row in made:
        assert row.rate > 0
        assert row.conditions == {"source": "folder:tree", "image_size": 24, "batch": 16, "threads": 2}
    by_name = {row.name: row for row in made}
    # An image is 24 x 24 x 3 bytes behind the decoder, and a PNG of another size before it.
    for name in ("decode", "transfer", "all"):
        assert by_name[name].details["megabytes_per_s"] == pytest.approx(by_name[name].rate * 24 * 24 * 3 / 1e6)
    files = [path.stat().st_size for path in scenes.rglob("*.png")]
    assert min(files) < 1e6 * by_name["read"].details["megabytes_per_s"] / by_name["read"].rate < max(files)
    with pytest.raises(InputError, match="--batch 400: more than the 120 rows"):
        input.run(InputSettings(data=data, split="all", batch=400), record, SHORT)


def test_accelerators_are_added_until_one_waits(record, scenes, monkeypatch):
    """Each has its own batch a step; what the machine at hand keeps busy is not for a test to say."""
    busy = iter([1.0, 0.91, 0.89])
    monkeypatch.setattr(feed, "utilisation", lambda row: next(busy))
    monkeypatch.setitem(feed.ACCELERATORS, "h100", feed.Accelerator(batch=3, step_s=0.002))
    settings = InputSettings(data=Data(folder=str(scenes)), split="all", image_size=16, feed="h100")
    made = input.run(settings, record, SHORT)
    assert [row.conditions["accelerators"] for row in made] == [1, 2, 3]
    for row in made:
        one = row.rate * 0.002 / (3 * row.conditions["accelerators"])  # images of a step that took no longer
        assert one == pytest.approx(row.details["utilisation"])
        assert 0 < row.details["utilisation"] < 1


def test_jpegs_are_made_where_no_input_is_named(capsys, tmp_path):
    command = ("input", "--images", 8, "--batch", 8, "--image-size", 32, "--stages", "decode", *QUICK)
    status, said, err = run(capsys, "bench", *command, "--out", tmp_path)
    assert status == 0
    assert [(row["name"], row["source"]) for row in said["rows"]] == [("decode", "jpeg300")]
    assert "made 8 JPEGs of 300 x 300 pixels, 37 kB each" in err


def test_distances_say_pairs_and_flops(record):
    settings = DistanceSettings(rows=(32,), gallery=48, width=(8,), k=(3, 64))
    paired, pairwise, nearest, too_many = distance.run(settings, record, SHORT)
    for row, pairs, flop in ((paired, 32, 3 * 32 * 8), (pairwise, 32 * 48, 2 * 32 * 48 * 8)):
        assert row.details["gflop_per_s"] * 1e9 / row.rate == pytest.approx(flop / pairs)
        assert row.details["ms"] == pytest.approx(1e3 * pairs / row.rate)
    assert nearest.conditions == {"n": 32, "d": 8, "metric": "euclidean", "m": 48, "k": 3}
    assert "more than the gallery's 48 rows" in too_many.reason


def test_thresholds_are_searched_by_every_form(record):
    made = {row.name: row for row in threshold.run(ThresholdSettings(pairs=(500,)), record, SHORT)}
    assert made["host"].rate > 0
    assert made["histogram"].rate > 0
    assert "no accelerator" in made["device"].reason
    distance_n, changed_n = threshold.made_up_pairs(20_000)
    assert distance_n.dtype == np.float32
    assert changed_n.mean() == pytest.approx(threshold.CHANGED_SHARE, abs=0.01)


def test_builds_take_turns_and_give_their_memory(capsys, tmp_path, monkeypatch):
    measured, builds, order = build.measured, [], []

    def once(name, archive, place, workers):
        order.append(workers)
        if not builds:
            builds.append(measured(name, archive, place, workers))
        return builds[0]

    monkeypatch.setattr(build, "measured", once)
    command = ("build", "--images", 200, "--workers", 1, 2, "--windows", 2)
    status, said, _ = run(capsys, "bench", *command, "--out", tmp_path)
    assert status == 0
    assert order == [1, 2, 2, 1, 1, 2], "the first turn does not count"
    row, other = load(tmp_path / said["record"]).rows
    assert row.name == "mtsccd_lusc"
    assert row.conditions == {"images": 200, "image_size": 300, "workers": 1}
    assert (other.conditions["workers"], other.windows) == (2, 2)
    assert row.details["main_mib"] > 10
    assert row.details["image_kb"] == pytest.approx(37, abs=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("models", "--models", "resnt18"), "unknown model 'resnt18'. Did you mean 'resnet18'?"),
        (("models", "--batch", "0"), "argument --batch: 0: must be 1 or more"),
        (("models", "--batch", "few"), "argument --batch: few: expected a number or auto"),
        (("distance", "--window-s", "-1"), "argument --window-s: -1: must be 0 or more"),
        (("threshold", "--forms", "disk"), "argument --forms: invalid choice: 'disk'"),
        (("build", "--images", "9"), "argument --images: 9: must be 10 or more"),
        (("models", "--models", "scnn", "--device", "gpu"), "--device gpu: none here"),
        (("models", "--models", "scnn", "--out", "/dev/null/below"), "choose another --out"),
        (("input", "--folder", "/nothing/here"), "/nothing/here is not a folder"),
        ((), "name one of models, input, distance, threshold, build"),
    ],
)
def test_wrong_input_is_one_line(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jax.config.update", lambda name, value: None)  # the platform of this process stays
    assert message in refused(capsys, "bench", *arguments)


def test_a_row_that_is_there_is_not_made_ready_again(record):
    case = rows.Case("a", {"n": 6}, "pairs/s", lambda: rows.Ready(lambda: np.ones(3), 6))
    (first,) = rows.run_cases([case], record, SHORT)
    assert first.rate > 0
    assert rows.run_cases([replace(case, prepare=forbidden)], record, SHORT) == [first]
