"""The comparison with PyTorch: its rows, the columns of its table, and what it says of a failure."""

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtsccd_jax.perf.hardware import Ceilings
from mtsccd_jax.perf.records import Measurement


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import compare_torch

    return compare_torch


@pytest.fixture
def conditions(compare):
    return compare.Conditions(4, 32, 10, "float32", 1, "none")


def rows(conditions, task: str) -> list[Measurement]:
    """Return our row and PyTorch's, at 100 and 50 images/s."""
    cases = {side: vars(conditions) | {"task": task, "side": side} for side in ("jax", "torch")}
    rates = {"jax": 100.0, "torch": 50.0}
    return [Measurement(name="resnet18", conditions=cases[side], unit="images/s", rate=rates[side]) for side in cases]


def test_the_csv_has_the_columns_of_timm(compare, conditions):
    failed = Measurement(name="resnet50", conditions={"task": "train"}, unit="images/s", reason="out of memory")
    lines = compare.timm_table([*rows(conditions, "train"), *rows(conditions, "infer"), failed])
    assert [(line["model"], line["framework"]) for line in lines] == [("resnet18", "jax"), ("resnet18", "torch")]
    assert lines[0]["train_samples_per_sec"] == lines[0]["infer_samples_per_sec"] == 100.0
    assert lines[0]["infer_step_time"] == 40.0
    assert lines[1]["train_img_size"] == 32
    assert lines[0]["param_count"] == 11.69


def test_what_limits_a_row_is_said_of_ours_alone(compare, conditions):
    ours, theirs = rows(conditions, "train")
    reached = Ceilings("float32", 1e12, 1e10, 1024, 1 << 20)
    # A step of 4 images takes 40 ms.
    details = {"macs": 10**9, "step_flops": 24 * 10**9, "step_bytes": 10**8, "step_operations": 100}
    ours = replace(ours, details=details | {"dispatch_s": 1e-3, "operation_s": 1e-6})
    found = compare.limits(ours, reached)
    assert found["verdict"] == "compute-bound"
    assert found["peak_share"] == pytest.approx(100 * 6e9 / 1e12)
    assert found["mfu"] is None, "nobody states the peak of this CPU"
    slow = replace(ours, details=details | {"dispatch_s": 3e-2, "operation_s": 1e-6})
    assert compare.limits(slow, reached)["verdict"] == "dispatch-bound"
    assert compare.limits(theirs, reached) == {}


@pytest.mark.parametrize(
    ("alone", "ours", "theirs"),
    [
        (False, "RuntimeError: RESOURCE_EXHAUSTED: too large and more", "no rival: jax failed"),
        (True, *["RuntimeError: RESOURCE_EXHAUSTED: too large and more"] * 2),  # each runs alone, but not in turns
    ],
)
def test_a_side_that_fails_is_a_row_with_the_reason(compare, conditions, monkeypatch, alone, ours, theirs):
    def make(name, conditions):
        calls = []

        def run():
            calls.append(name)
            if len(calls) > 2 or not alone:
                raise RuntimeError("RESOURCE_EXHAUSTED: too large\nand more")

        return compare.Side(run, 0.0, lambda: None)

    monkeypatch.setattr(compare, "SIDES", {"jax": {"train": make}, "torch": {"train": make}})
    monkeypatch.setattr(compare, "torch_device", lambda: SimpleNamespace(type="cpu"))
    monkeypatch.setattr(compare, "torch_version", lambda: "none")
    cases = {side: vars(conditions) | {"task": "train", "side": side} for side in ("jax", "torch")}
    failed = compare.compete("resnet18", "train", conditions, cases, rounds=2, measures_peak=False)
    assert [row.rate for row in failed] == [None, None]
    assert [row.reason for row in failed] == [ours, theirs]
    assert theirs in compare.sentence(failed[1])


def test_an_unknown_network_names_the_nearest(compare, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare_torch.py", "--models", "resnet5"])
    with pytest.raises(SystemExit):
        compare.parse()
    assert "resnet5: neither torchvision nor timm has it beside ours. Did you mean 'resnet" in capsys.readouterr().err


def test_every_network_of_the_peers_is_one_of_ours(compare):
    from mtsccd_jax.models import MODELS

    assert set(compare.TORCHVISION) | set(compare.TIMM) <= set(MODELS)


@pytest.mark.parity
def test_side_classifiers_count_as_ours_do(compare):
    from torch_sides import torch_loss

    torch = pytest.importorskip("torch", reason="torch is not installed: there is nothing to compare with")
    logits, truth = torch.zeros(2, 4), torch.tensor([0, 1])
    alone = float(torch_loss(logits, truth, 0.3))
    assert alone == pytest.approx(1.3862944)
    assert float(torch_loss((logits, logits, None), truth, 0.3)) == pytest.approx(1.3 * alone)


@pytest.mark.parity
@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed: there is no peer")
def test_both_sides_take_steps(compare):
    few = compare.Conditions(2, 32, 3, "bfloat16", 2, "none")
    cases = {side: vars(few) | {"task": "infer", "side": side} for side in ("jax", "torch")}
    ours, theirs = compare.compete("resnet18", "infer", few, cases, rounds=2, measures_peak=False)
    assert ours.rate
    assert theirs.rate
    assert ours.details["ratio_p10"] <= ours.details["ratio"] <= ours.details["ratio_p90"]
    assert ours.details["macs"] > 0
    assert ours.details["step_operations"] > 0
    verdict = compare.limits(ours, Ceilings("bfloat16", 1e12, 1e10, 1024, 1 << 20))["verdict"]
    assert verdict.endswith("-bound") or verdict == "unexplained"  # which of them, the speed of the machine says
