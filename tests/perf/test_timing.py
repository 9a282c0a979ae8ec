"""The timing protocol, with a clock of its own: nothing here depends on how fast the machine is."""

import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.perf import timing


@pytest.fixture
def clock(monkeypatch):
    """Install a clock that moves only when told, in seconds."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def test_entries_take_turns_and_the_order_turns_round(clock):
    calls = []

    def entry(name: str, seconds: float):
        def call():
            calls.append(name)
            clock[0] += seconds

        return call

    result = timing.measure({"a": entry("a", 1.0), "b": entry("b", 0.25)}, warmup=1, rounds=2)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert result["a"].samples_s == (1.0, 1.0)
    assert result["b"].median_s == 0.25
    assert timing.ratio(result["a"], result["b"]) == (4.0, 4.0, 4.0)


def test_a_call_ends_when_its_arrays_are_ready(monkeypatch):
    waited = []
    monkeypatch.setattr(timing.jax, "block_until_ready", waited.append)
    value = jnp.ones(3)
    timing.measure({"one": lambda: value}, warmup=1, rounds=3)
    assert len(waited) == 4
    assert all(item is value for item in waited)


def test_results_that_are_no_arrays_pass():
    result = timing.measure({"text": lambda: ("done", None, np.ones(2))}, warmup=0, rounds=1)
    assert len(result["text"].samples_s) == 1


def test_percentiles_and_paired_ratios():
    slow, fast = timing.Timing((2.0, 4.0, 6.0)), timing.Timing((1.0, 1.0, 2.0))
    assert (slow.median_s, slow.p10_s, slow.p90_s) == pytest.approx((4.0, 2.4, 5.6))
    assert timing.ratio(slow, fast) == pytest.approx((3.0, 2.2, 3.8))


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="nothing to measure"):
        timing.measure({})
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        timing.measure({"a": int}, rounds=0)
    with pytest.raises(ValueError, match="3 and 1 rounds: measure them together"):
        timing.ratio(timing.Timing((1.0, 1.0, 1.0)), timing.Timing((1.0,)))
