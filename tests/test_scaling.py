"""The calculated scaling against a calculation by hand, and its limits."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def calculate(monkeypatch, capsys):
    """Return a function that runs the command and returns (rows by devices, the whole result)."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import scaling

    def run(*arguments):
        assert scaling.main([str(argument) for argument in arguments]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        return {row["devices"]: row for row in result["rows"]}, result

    run.main = scaling.main
    return run


def test_resnet50_on_h200_by_hand(calculate):
    """25,557,032 parameters in float32; 53 layers of batch norm with 3 exchanges; 256 images at 4,500 a second."""
    rows, result = calculate("--devices", 8, 1024, "--checkpoint-s", 0)
    assert result["gradient_bytes"] == 102_228_128
    assert result["norm_exchanges"] == 159
    # A ring of 14 hops of 1 us, with less traffic than a tree: 2 x 7/8 x 102.2 MB at 0.8 x 450 GB/s; 10 us to begin.
    assert rows[8]["gradients_ms"] == pytest.approx(0.010 + 0.014 + 0.496942, abs=1e-6)
    # Few bytes: a tree of 2 x 3 hops.
    assert rows[8]["statistics_ms"] == pytest.approx(159 * 0.016)
    # 128 islands: 12.78 MB on every 40 GB/s port in a tree of 2 x 7 hops of 5 us.
    assert rows[1024]["gradients_ms"] == pytest.approx(0.010 + 0.014 + 0.496942 + 0.638926 + 0.070, abs=1e-6)
    assert rows[1024]["statistics_ms"] == pytest.approx(159 * (0.010 + 0.006 + 0.070))
    step_ms = 256 / 4.5
    assert rows[8]["efficiency"] == pytest.approx(step_ms / (step_ms + 0.520942 + 2.544), abs=1e-6)
    assert rows[1024]["efficiency"] == pytest.approx(step_ms / (step_ms + 1.229868 + 13.674), abs=1e-6)
    assert {row["limit"] for row in rows.values()} == {"statistics"}


def test_a_torus_and_the_network_between_slices_by_hand(calculate):
    """86,567,656 parameters without batch norm in bfloat16 over links of 400 Gb/s at their full rate."""
    wanted = ["--network", "vit_base_patch16", "--cluster", "v5e", "--gradient-bytes", 2, "--link-share", 1]
    rows, _ = calculate(*wanted, "--devices", 64, 256, 512)
    size_mb = 86.567656 * 2
    # Sides of 8 are lines: two links of 50 MB/ms, 2 x (7 + 7) hops of 1 us. Sides of 16 are rings: four links, 2 x 30.
    assert rows[64]["gradients_ms"] == pytest.approx(0.005 + 2 * 63 / 64 * size_mb / 100 + 0.028)
    whole_slice = 0.005 + 2 * 255 / 256 * size_mb / 200 + 0.060
    assert rows[256]["gradients_ms"] == pytest.approx(whole_slice)
    # Two slices: each chip exchanges a 256th part at 3.125 MB/ms, 2 x 1/2 of it, and 2 hops of 25 us.
    assert rows[512]["gradients_ms"] == pytest.approx(whole_slice + size_mb / 256 / 3.125 + 0.050)
    assert rows[512]["statistics_ms"] == 0


def test_one_device_loses_only_to_its_checkpoints(calculate):
    rows, _ = calculate("--devices", 1, "--checkpoint-s", 1, "--checkpoint-every-s", 99)
    assert rows[1]["efficiency"] == pytest.approx(0.99)
    assert rows[1]["limit"] == "checkpoints"


def test_an_exchange_hides_behind_the_backward_pass_and_no_longer(calculate):
    slow = ["--devices", 16, "--norm-exchanges", 0, "--between-gbit", 1, "--images-per-s", 4500, "--overlap"]
    (alone, _), (hidden, _) = calculate(*slow, 0), calculate(*slow, 1)
    assert alone[16]["gradients_ms"] - hidden[16]["gradients_ms"] == pytest.approx(2 / 3 * 256 / 4.5)
    (quick, _) = calculate("--devices", 16, "--overlap", 1)
    assert quick[16]["gradients_ms"] == 0


def test_a_host_that_feeds_too_little_limits(calculate):
    rows, _ = calculate("--devices", 8, 1024, "--input-images-per-s", 8000, "--checkpoint-s", 0)
    assert rows[8]["host_images_per_s"] == rows[1024]["host_images_per_s"] == pytest.approx(8000)
    assert rows[8]["step_ms"] == pytest.approx(256)
    assert rows[8]["limit"] == rows[1024]["limit"] == "input"


def test_a_given_rate_is_no_expected_one(calculate):
    rows, result = calculate("--network", "vit_tiny_patch16", "--images-per-s", 10_000, "--devices", 8)
    assert result["rate"] == "given"
    assert rows[8]["images_per_s"] < 80_000
    assert calculate("--devices", 8)[1]["rate"] == "expected, not measured"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--devices", "12"], "--devices 12"),
        (["--cluster", "v5e", "--devices", "384"], "--devices 384"),
        (["--network", "vit_tiny_patch16"], "--images-per-s"),
        (["--images-per-s", "nan"], "--images-per-s"),
        (["--overlap", "2"], "--overlap"),
        (["--batch", "0"], "--batch"),
    ],
)
def test_what_cannot_be_calculated_is_said(calculate, capsys, arguments, said):
    try:
        status = calculate.main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
