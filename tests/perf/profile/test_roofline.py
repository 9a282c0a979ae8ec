"""Verdicts from measurements that are made up: nothing here depends on how fast the machine is."""

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

COMPUTE = Measurements(
    step_s=1.0,
    input_stall_fraction=0.0,
    read_s=None,
    transfer_s=None,
    dispatch_s=0.01,
    launch_s=0.02,
    compute_s=0.7,
    memory_s=0.3,
)


def test_the_longest_of_what_a_step_needs_is_its_limit():
    found = verdict(COMPUTE)
    assert found.kind == "compute"
    assert "70% of a step of 1e+03 ms" in found.reason
    assert "dispatch 3%, memory 30%" in found.reason
    assert found.try_next == TRY_NEXT["compute"]
    assert verdict(replace(COMPUTE, memory_s=0.8)).kind == "memory"
    assert verdict(replace(COMPUTE, dispatch_s=0.5, launch_s=0.25)).kind == "dispatch"
    assert verdict(replace(COMPUTE, dispatch_s=0.0, launch_s=0.9)).kind == "dispatch"


def test_waiting_for_input_comes_before_everything():
    waiting = replace(COMPUTE, input_stall_fraction=0.6, read_s=2.0, transfer_s=0.1)
    assert verdict(waiting).kind == "input"
    assert "60% of the time" in verdict(waiting).reason
    assert "2e+03 ms a batch" in verdict(waiting).reason
    assert verdict(replace(waiting, transfer_s=3.0)).kind == "transfer"
    assert verdict(replace(waiting, input_stall_fraction=STALL_SHARE)).kind == "input"
    assert verdict(replace(waiting, input_stall_fraction=STALL_SHARE - 0.01)).kind == "compute"


def test_what_supplying_a_batch_does_not_explain_is_no_waiting_for_input():
    # Of a batch that is read in a tenth of a step, a step cannot wait longer than that.
    assert verdict(replace(COMPUTE, input_stall_fraction=0.5, read_s=0.1, transfer_s=0.0)).kind == "compute"
    assert verdict(replace(COMPUTE, input_stall_fraction=0.5, read_s=0.9, transfer_s=0.1)).kind == "input"


def test_a_resident_split_waits_for_the_host_alone():
    assert verdict(replace(COMPUTE, input_stall_fraction=0.3)).kind == "compute"
    waiting = verdict(replace(COMPUTE, input_stall_fraction=0.5))
    assert waiting.kind == "dispatch", "as much again as the step"
    assert waiting.reason.startswith("starting operations alone would take 103%")


def test_other_work_on_the_machine_does_not_change_a_verdict():
    for slower in (1.5, 4.0):
        # The step is slower; what the device was seen to do at best is not.
        assert verdict(replace(COMPUTE, step_s=slower)).kind == "compute"


def test_operations_that_are_too_small_are_said_to_be():
    small = verdict(replace(COMPUTE, compute_s=0.001, memory_s=0.002))
    assert small.kind == "dispatch"
    assert "too small to keep the device at work; starting them takes 3% or more" in small.reason


def test_the_remedy_is_one_that_is_left():
    assert "bfloat16" in verdict(COMPUTE).try_next
    assert "bfloat16" not in verdict(COMPUTE, bfloat16=True).try_next
    far = replace(COMPUTE, compute_s=0.1, memory_s=0.05)
    assert verdict(far).kind == "compute"
    assert "layers.csv" in verdict(far).try_next
    assert "bfloat16" not in verdict(replace(COMPUTE, memory_s=0.9), bfloat16=True).try_next


def test_the_stall_is_never_negative():
    assert input_stall_fraction(75.0, 100.0) == pytest.approx(0.25)
    assert input_stall_fraction(101.0, 100.0) == 0.0
    with pytest.raises(ValueError, match="rates must be positive, got 0 and 1"):
        input_stall_fraction(0, 1)


def test_the_roof_and_a_place_below_it():
    assert attainable_flops_per_s(1.0, 100.0, 10.0) == 10.0
    assert attainable_flops_per_s(50.0, 100.0, 10.0) == 100.0
    found = place(flops=400.0, moved_bytes=100.0, step_s=20.0, flops_per_s=100.0, bytes_per_s=10.0)
    assert (found.intensity, found.ridge, found.flops_per_s) == (4.0, 10.0, 20.0)
    assert found.attainable_flops_per_s == 40.0
    assert found.share == 0.5


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="is none"):
        verdict(replace(COMPUTE, step_s=0.0))
    with pytest.raises(ValueError, match="is none"):
        verdict(replace(COMPUTE, input_stall_fraction=1.5))
    with pytest.raises(ValueError, match="must all be positive"):
        attainable_flops_per_s(0.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="needs work and time"):
        place(1.0, 1.0, 0.0, 1.0, 1.0)
