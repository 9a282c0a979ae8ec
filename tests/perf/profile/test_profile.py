"""`profile` as a user runs it, on windows of a few steps: what it writes, not how fast anything was."""

import csv
import json
import math
from functools import partial

import pytest
from commands import refused, run

from mtsccd_jax.perf.hardware import Ceilings
from mtsccd_jax.perf.profile import run as profile_module
from mtsccd_jax.perf.profile import trace
from mtsccd_jax.perf.profile.roofline import TRY_NEXT
from mtsccd_jax.recipes import get_recipe
from mtsccd_jax.recipes.config import override

TINY = ["--set", "model.name=scnn", "--set", "model.width=0.0625", "--set", "data.image_size=32"]
TINY += ["--set", "data.crop_padding=0", "--steps", "2", "--batch", "16", "-q"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Make windows few and short, and ceilings fixed."""
    monkeypatch.setattr(profile_module, "ROUNDS", 2)
    monkeypatch.setattr(profile_module, "WINDOW_S", 0.01)
    monkeypatch.setattr(profile_module, "GENERATED_ROWS", 48)
    monkeypatch.setattr(profile_module, "measure_ceilings", lambda dtype, device: CEILINGS)


CEILINGS = Ceilings("float32", 1e11, 1e10, 64, 1024)


def test_a_profile_of_generated_scenes(capsys, tmp_path):
    status, result, err = run(capsys, "profile", "demo", "--generated", "--workdir", tmp_path, *TINY)
    assert status == 0, err
    assert result["verdict"] in (*TRY_NEXT,)
    assert 0 <= result["input_stall_fraction"] < 1
    assert result["images_per_s"] > 0
    assert result["mfu"] is None, "nobody knows the peak of a CPU"
    assert (result["peak"], result["energy"], result["transfer_gb_per_s"]) == (None, None, None)
    assert (result["input"], result["batch_size"], result["devices"]) == ("resident", 16, 8)
    assert result["step_ms_p50"] <= result["step_ms_p90"] <= result["step_ms_p99"]
    assert 0 < result["step_product_flops"] < result["step_flops"]
    assert result["intensity_flops_per_byte"] == pytest.approx(result["step_product_flops"] / result["step_bytes"])
    assert all(not isinstance(value, float) or math.isfinite(value) for value in result.values())

    written = json.loads((tmp_path / "profile.json").read_text())
    assert written["recipe"]["name"] == "demo"
    assert written["command"].startswith("mtsccd-jax")
    assert written["environment"]["platform"] == "cpu"
    assert {key: written[key] for key in ("verdict", "images_per_s", "step_bytes")} == {
        key: result[key] for key in ("verdict", "images_per_s", "step_bytes")
    }
    assert result["profile"] == str(tmp_path / "profile.json")
    with open(result["layers"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["macs"]) for row in rows) * 2 == result["step_product_flops"]
    assert sum(int(row["bytes"]) for row in rows) == result["step_bytes"]
    assert {row["stage"] for row in rows} == {"input", "forward", "backward", "update"}
    svg = (tmp_path / "roofline.svg").read_text()
    assert "scnn does" in svg, "the picture says in words what it shows"
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_streamed_split_says_how_fast_it_is_read(capsys, tmp_path, scenes):
    arguments = ["profile", "demo", "--folder", scenes, "--workdir", tmp_path, *TINY, "--set", "data.input=stream"]
    status, result, err = run(capsys, *arguments)
    assert status == 0, err
    assert result["input"] == "stream"
    assert result["read_images_per_s"] > 0
    assert result["source"] == str(scenes)


@pytest.mark.slow
def test_pairs_are_profiled_as_they_are_trained(capsys, tmp_path):
    status, result, err = run(
        capsys, "profile", "demo", "--generated", "--workdir", tmp_path, *TINY, "--set", "model.task=similarity"
    )
    assert status == 0, err
    assert result["source"] == "generated"
    assert result["images_per_s"] > 0


def test_what_cannot_be_profiled_is_said_in_one_line(capsys, tmp_path, scenes):
    demo, place = partial(refused, capsys, "profile", "demo"), ["--workdir", tmp_path / "run"]
    assert "more than the" in demo("--folder", scenes, "--batch", "800", "-q", *place)
    assert "--generated: takes the place" in demo("--generated", "--folder", scenes, *place)
    missing = demo("--data-dir", tmp_path / "nothing", "-q", *place)
    assert "data set 'mtsccd_lusc/official' is not in" in missing
    (tmp_path / "file").write_text("")
    for option in ("--trace", "--workdir"):
        line = demo("--generated", "-q", option, tmp_path / "file" / "below")
        assert str(tmp_path / "file") in line
        assert "choose another folder" in line


@pytest.mark.parametrize(("status", "error"), [(2, "InputError"), (1, "RunError")])
def test_a_trace_that_fails_says_why(monkeypatch, tmp_path, status, error):
    def fails(command, **settings):
        assert "--xla_gpu_enable_command_buffer=" in settings["env"]["XLA_FLAGS"]
        return trace.subprocess.CompletedProcess(command, status, "", "first\nthe reason\n")

    monkeypatch.setattr(trace.subprocess, "run", fails)
    with pytest.raises(getattr(trace, error), match="the reason"):
        trace.take_trace(get_recipe("demo"), tmp_path / "trace", generated=True)


@pytest.mark.slow
def test_a_trace_is_taken_in_another_process(tmp_path):
    recipe = override(get_recipe("demo"), [setting for setting in TINY if "=" in setting])
    place = trace.take_trace(recipe, tmp_path / "trace", generated=True, platform="cpu")
    assert list(place.rglob("*.xplane.pb"))
    assert list(place.rglob("perfetto_trace.json.gz"))
