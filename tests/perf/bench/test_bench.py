"""`bench` on sizes of seconds: what rows say, and that what is there is not measured again. No speed is judged."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from mtsccd_jax.cli import main
from mtsccd_jax.engine.batch_size import BatchChoice
from mtsccd_jax.errors import InputError
from mtsccd_jax.models import describe_models
from mtsccd_jax.perf.bench import build, distance, input, models, rows, threshold, windows
from mtsccd_jax.perf.records import Measurement, RecordFile, load
from mtsccd_jax.perf.timing import Timing
from mtsccd_jax.provenance import environment

SHORT = windows.Protocol(windows=2, window_s=0.0)
QUICK = ("--windows", "2", "--window-s", "0")


@pytest.fixture
def record(tmp_path):
    return RecordFile(tmp_path, "rows", benchmark="test", command="test", environment=environment())


def unheard(line: str) -> None:
    """Takes what is said to people."""


def silent_run(capsys, *arguments):
    """Exit status, the JSON of the last line, and standard error."""
    try:
        status = main(["bench", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    return status, json.loads(said.out.splitlines()[-1]) if said.out.strip() else None, said.err


def test_a_window_is_many_calls_that_are_waited_for_together(monkeypatch):
    now, waited, calls = [0.0], [], []
    monkeypatch.setattr(windows.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(windows.jax, "block_until_ready", waited.append)

    def call():
        now[0] += 0.25
        calls.append(len(calls))
        return len(calls)

    timing = windows.time_calls({"a": call}, windows.Protocol(windows=3, window_s=1.0))["a"]
    assert timing == Timing((0.25, 0.25, 0.25)), "seconds of a call, whatever the window"
    # Two single calls to find out how long one takes, a window that warms up, and three that count.
    assert [len(results) if isinstance(results, list) else 1 for results in waited] == [1, 1, 4, 4, 4, 4]
    assert len(calls) == 18


@pytest.mark.parametrize(("parallel", "tasks"), [("jit", ("train", "infer")), ("pmap", ("infer",))])
def test_networks_are_trained_and_infer(record, parallel, tasks):
    settings = models.Settings(
        ("scnn",), tasks=tasks, batches=(8,), image_sizes=(16,), parallels=(parallel,), protocol=SHORT
    )
    made = models.run(settings, record, unheard)
    assert tuple(row.conditions["task"] for row in made) == tasks
    for row in made:
        assert row.rate_p10 <= row.rate <= row.rate_p90
        assert row.details["images_per_s_per_device"] == pytest.approx(row.rate / 8)
        assert row.details["step_ms"] == pytest.approx(8e3 / row.rate)
        assert row.details["peak_bytes"] > 0
        assert row.details["compile_s"] > 0
    described = next(entry for entry in describe_models() if entry["name"] == "scnn")
    assert made[0].details["params"] == described["params"]

    def again(*arguments):
        raise AssertionError("what is in the record is not measured again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "time_calls", again)
        assert models.run(settings, record, unheard) == made


def test_macs_and_activations_are_those_of_the_network_at_its_size():
    recipe = models._recipe("resnet18", 224, "float32", "jit")
    workload = models.scene_workload(models.with_batch(recipe, 8), models.make_parallel("jit"), models.CLASSES)
    size = models._size(workload)
    # timm's table has 1.82 GMACs (1.81 without what it counts for pooling) and 2.48 million activations.
    assert size["macs"] / 1e9 == pytest.approx(1.814, abs=0.001)
    assert size["activations"] / 1e6 == pytest.approx(2.484, abs=0.001)


def test_what_cannot_be_is_a_row_with_its_reason(record):
    settings = models.Settings(
        ("resnet18", "scnn"), tasks=("infer",), batches=(8, 9), image_sizes=(17,), protocol=SHORT
    )
    made = models.run(settings, record, unheard)
    assert [row.rate is None for row in made] == [True, True, False, True]
    assert "17" in made[0].reason
    assert made[3].reason == "--batch=9: must be a positive multiple of the 8 devices"
    assert load(record.json).rows == tuple(made)


def test_auto_takes_the_largest_batch_that_fits_and_a_larger_one_is_refused(record, monkeypatch):
    limit = 2_500_000
    monkeypatch.setattr(models, "free_bytes", lambda parallel: limit)
    said = []
    settings = models.Settings(("scnn",), tasks=("infer",), batches=("auto",), image_sizes=(16,), protocol=SHORT)
    (row,) = models.run(settings, record, said.append)
    largest = row.details["batch_size"]
    assert row.conditions["batch"] == "auto"
    assert row.details["peak_bytes"] <= limit
    assert f"batch {largest}: " in said[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_largest", lambda *arguments: BatchChoice(2 * largest, 1, limit, 3))
        workload, _ = models._prepared(models._recipe("scnn", 16, "float32", "jit"), "auto", "infer", said.append)
    assert workload.recipe.engine.batch_size == largest, "what runs takes more than what was looked at"

    def no_run(*arguments):
        raise AssertionError("it does not run")

    monkeypatch.setattr(models, "time_calls", no_run)
    (refused,) = models.run(replace(settings, batches=(2 * largest,)), record, said.append)
    assert refused.reason.startswith(f"--batch={2 * largest}: a step takes ")
    assert refused.reason.endswith(f"the largest that fits is {largest}")


def test_what_fills_the_memory_is_measured_alone(record, monkeypatch):
    asked = []

    def measured(recipe, batch, conditions, protocol, say):
        asked.append((batch, *conditions))
        return (Measurement(name="scnn", conditions=case, unit=models.UNIT) for case in conditions.values())

    monkeypatch.setattr(models, "_measured", measured)
    made = models.run(models.Settings(("scnn",), batches=("auto", 8)), record, unheard)
    assert asked == [("auto", "train"), ("auto", "infer"), (8, "train", "infer")]
    assert len(made) == len(record.record.rows) == 4


def test_scenes_that_do_not_fit_are_not_even_made(record, monkeypatch):
    batch, limit = 1 << 30, 95_000_000

    def found(recipe, parallel, task, limit_bytes, most):
        assert (limit_bytes, most) == (limit, batch - 1)
        return BatchChoice(64, 1, limit_bytes, 3)

    monkeypatch.setattr(models, "free_bytes", lambda parallel: 100_000_000)
    monkeypatch.setattr(models, "_largest", found)
    settings = models.Settings(("scnn",), tasks=("infer",), batches=(batch,), image_sizes=(16,), protocol=SHORT)
    (row,) = models.run(settings, record, unheard)
    # 3 x 16 x 16 bytes of each scene, an eighth of them on each device.
    expected = "a step takes 103.08 GB of each device, 0.10 GB can be used; the largest that fits is 64"
    assert row.reason == f"--batch={batch}: {expected}"


def test_the_table_of_networks_begins_as_timms(capsys, tmp_path):
    trained = Measurement(name="a", conditions={"task": "train", "batch": 8, "image_size": 16}, unit=models.UNIT)
    timm = "model,train_samples_per_sec,train_step_time,train_batch_size,train_img_size,param_count"
    assert list(models.table([trained])[0])[:6] == timm.split(",")
    command = ("models", "--models", "scnn", "--image-size", 16, "--batch", 8, "--tasks", "infer", *QUICK)
    status, said, _ = silent_run(capsys, *command, "--out", tmp_path, "-q")
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
    data = input.Data(dataset=None, folder=str(scenes), image_size=24, crop_padding=2)
    settings = input.Settings(data=data, split="all", images=40, batch=16, threads=2, protocol=SHORT)
    made = input.run(settings, record, unheard)
    assert [row.name for row in made] == list(input.STAGES)
    for row in made:
        assert row.rate > 0
        assert row.conditions == {"source": "folder:tree", "image_size": 24, "batch": 16, "threads": 2}
    by_name = {row.name: row for row in made}
    # An image is 24 x 24 x 3 bytes behind the decoder, and a PNG of another size before it.
    for name in ("decode", "transfer", "all"):
        assert by_name[name].details["megabytes_per_s"] == pytest.approx(by_name[name].rate * 24 * 24 * 3 / 1e6)
    files = [path.stat().st_size for path in scenes.rglob("*.png")]
    assert min(files) < 1e6 * by_name["read"].details["megabytes_per_s"] / by_name["read"].rate < max(files)


def test_input_that_cannot_be_measured_is_refused(record, scenes):
    data = input.Data(dataset=None, folder=str(scenes), image_size=24)
    with pytest.raises(InputError, match="--batch 400: more than the 120 rows"):
        input.run(input.Settings(data=data, split="all", batch=400), record, unheard)


def test_jpegs_are_made_where_no_input_is_named(capsys, tmp_path):
    command = ("input", "--images", 8, "--batch", 8, "--image-size", 32, "--stages", "decode", *QUICK)
    status, said, err = silent_run(capsys, *command, "--out", tmp_path)
    assert status == 0
    assert [(row["name"], row["source"]) for row in said["rows"]] == [("decode", "jpeg300")]
    assert "made 8 JPEGs of 300 x 300 pixels, 37 kB each" in err


def test_distances_say_pairs_and_flops(record):
    settings = distance.Settings(rows=(32,), gallery=48, widths=(8,), ks=(3, 64), protocol=SHORT)
    paired, pairwise, nearest, too_many = distance.run(settings, record, unheard)
    for row, pairs, flop in ((paired, 32, 3 * 32 * 8), (pairwise, 32 * 48, 2 * 32 * 48 * 8)):
        assert row.details["gflop_per_s"] * 1e9 / row.rate == pytest.approx(flop / pairs)
        assert row.details["ms"] == pytest.approx(1e3 * pairs / row.rate)
    assert nearest.conditions == {"n": 32, "d": 8, "metric": "euclidean", "m": 48, "k": 3}
    assert "more than the gallery's 48 rows" in too_many.reason


def test_thresholds_are_searched_by_every_form(record):
    settings = threshold.Settings(pairs=(500,), protocol=SHORT)
    made = {row.name: row for row in threshold.run(settings, record, unheard)}
    assert made["host"].rate > 0
    assert made["histogram"].rate > 0
    assert "no accelerator" in made["device"].reason
    distance_n, changed_n = threshold.made_up_pairs(20_000)
    assert distance_n.dtype == np.float32
    assert changed_n.mean() == pytest.approx(threshold.CHANGED_SHARE, abs=0.01)


def test_builds_take_turns_and_give_their_memory(capsys, tmp_path, monkeypatch):
    measured, figures, order = build.measured, [], []

    def once(name, archive, place, workers):
        order.append(workers)
        if not figures:
            figures.append(measured(name, archive, place, workers))
        return figures[0]

    monkeypatch.setattr(build, "measured", once)
    command = ("build", "--images", 200, "--workers", 1, 2, "--windows", 2, "--out", tmp_path)
    status, said, _ = silent_run(capsys, *command)
    assert status == 0
    assert order == [1, 2, 2, 1, 1, 2], "the first turn does not count"
    row, other = load(tmp_path / said["record"]).rows
    assert row.conditions == {"images": 200, "image_size": 300, "workers": 1}
    assert (other.conditions["workers"], other.windows) == (2, 2)
    assert row.details["main_mib"] > 10
    assert row.details["image_kb"] == pytest.approx(37, abs=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("models", "--models", "resnt18"), "unknown model 'resnt18'. Did you mean 'resnet18'?"),
        (("models", "--batch", "0"), "argument --batch: 0 is less than 1"),
        (("models", "--models", "scnn", "--device", "gpu"), "--device gpu: none here"),
        (("models", "--models", "scnn", "--out", "/dev/null/below"), "choose another --out"),
        (("input", "--folder", "/nothing/here"), "/nothing/here is not a folder"),
        ((), "name one of models, input, distance, threshold, build"),
    ],
)
def test_wrong_input_is_one_line(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jax.config.update", lambda name, value: None)  # the platform of this process stays
    status, said, err = silent_run(capsys, *arguments)
    assert (status, said) == (2, None)
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_row_that_is_there_is_not_made_ready_again(record):
    def prepare():
        return rows.Ready(lambda: np.ones(3), 6)

    (first,) = rows.run_cases([rows.Case("a", {"n": 6}, "pairs/s", prepare)], SHORT, record, unheard)
    assert first.rate > 0

    def again():
        raise AssertionError("it is there")

    assert rows.run_cases([rows.Case("a", {"n": 6}, "pairs/s", again)], SHORT, record, unheard) == [first]
