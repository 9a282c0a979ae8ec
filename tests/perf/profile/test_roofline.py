"""Verdicts from made-up measurements: nothing here depends on the speed of the machine."""

from dataclasses import replace

import pytest

from mtsccd_jax.perf.profile.roofline import (
    STALL_SHARE,
    TRY_NEXT,
    Measurements,
    attainable_flops_per_s,
    input_stall_fraction,
    place,
    verdict,
)

COMPUTE = Measurements(1.0, 0.0, None, None, dispatch_s=0.01, launch_s=0.02, compute_s=0.7, memory_s=0.3)
WAITING = {"input_stall_fraction": 0.6, "read_s": 2.0, "transfer_s": 0.1}


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        # The longest of what a step needs is its limit.
        ({}, "compute", "takes 70% of a step of 1e+03 ms (dispatch 3%, memory 30%)"),
        ({"memory_s": 0.8}, "memory", ""),
        ({"dispatch_s": 0.5, "launch_s": 0.25}, "dispatch", ""),
        ({"dispatch_s": 0.0, "launch_s": 0.9}, "dispatch", ""),
        # Waiting for input comes before everything.
        (WAITING, "input", "60% of the time with real data is spent waiting (reading and decoding alone takes 2e+03"),
        (WAITING | {"transfer_s": 3.0}, "transfer", ""),
        (WAITING | {"input_stall_fraction": STALL_SHARE}, "input", ""),
        (WAITING | {"input_stall_fraction": STALL_SHARE - 0.01}, "compute", ""),
        # A step cannot wait longer than it takes to supply its batch: the rest is other work on the machine.
        ({"input_stall_fraction": 0.5, "read_s": 0.1, "transfer_s": 0.0}, "compute", ""),
        ({"input_stall_fraction": 0.5, "read_s": 0.9, "transfer_s": 0.1}, "input", ""),
        # A resident split waits for the host alone: as much again as the step.
        ({"input_stall_fraction": 0.3}, "compute", ""),
        ({"input_stall_fraction": 0.5}, "dispatch", "starting operations alone would take 103%"),
        # Other work makes the step slower, but not what the device reached at best.
        ({"step_s": 1.5}, "compute", ""),
        # Less than half of a step is explained by all causes together.
        ({"step_s": 2.05}, "compute", ""),
        ({"step_s": 2.08}, "unexplained", "dispatch 1%, memory 14%, compute 34%: together 50% of a step of 2.08e+03"),
        ({"compute_s": 0.001, "memory_s": 0.002}, "unexplained", "together 3% of"),
    ],
)
def test_the_limit_of_a_step(changes, kind, reason):
    found = verdict(replace(COMPUTE, **changes))
    assert found.kind == kind
    assert reason in found.reason


def test_the_remedy_is_one_that_is_left():
    assert verdict(COMPUTE).try_next == TRY_NEXT["compute"]
    assert "bfloat16" in verdict(COMPUTE).try_next
    assert "bfloat16" not in verdict(COMPUTE, bfloat16=True).try_next
    far = replace(COMPUTE, compute_s=0.25, memory_s=0.24)
    assert verdict(far).kind == "compute"
    assert "layers.csv" in verdict(far).try_next
    assert "bfloat16" not in verdict(replace(COMPUTE, memory_s=0.9), bfloat16=True).try_next


def test_what_is_not_explained_is_not_called_bound():
    assert str(verdict(replace(COMPUTE, step_s=9.0))).startswith("unexplained: dispatch 0%, memory 3%, compute 8%: ")
    assert str(verdict(COMPUTE)).startswith("compute-bound: ")


def test_the_stall_is_never_negative():
    assert input_stall_fraction(75.0, 100.0) == pytest.approx(0.25)
    assert input_stall_fraction(101.0, 100.0) == 0.0


def test_the_roof_and_a_place_below_it():
    assert attainable_flops_per_s(1.0, 100.0, 10.0) == 10.0
    assert attainable_flops_per_s(50.0, 100.0, 10.0) == 100.0
    found = place(flops=400.0, moved_bytes=100.0, step_s=20.0, flops_per_s=100.0, bytes_per_s=10.0)
    assert (found.intensity, found.ridge, found.flops_per_s) == (4.0, 10.0, 20.0)
    assert found.attainable_flops_per_s == 40.0
    assert found.share == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: verdict(replace(COMPUTE, step_s=0.0)), "is none"),
        (lambda: verdict(replace(COMPUTE, input_stall_fraction=1.5)), "is none"),
        (lambda: input_stall_fraction(0, 1), "rates must be positive, got 0 and 1"),
        (lambda: attainable_flops_per_s(0.0, 1.0, 1.0), "must all be positive"),
        (lambda: place(1.0, 1.0, 0.0, 1.0, 1.0), "needs work and time"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
