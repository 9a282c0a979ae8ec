"""Distances, neighbours and thresholds of arrays that lie on the devices of two processes."""

import many_processes
import pytest
import spread_arrays


@pytest.fixture(scope="module")
def answers():
    ended = many_processes.wait(many_processes.start_script(spread_arrays.__file__, [[], []], 2))
    assert [one.status for one in ended] == [0, 0], ended
    return [one.answers()[0] for one in ended]


@pytest.mark.parametrize("name", ["paired", "pairwise"])
def test_distances_are_those_of_one_process(answers, name):
    for answer in answers:
        assert answer["apart"][name] <= 1e-6


@pytest.mark.parametrize("name", ["neighbors", "against the host's", "threshold", "histogram", "confusion"])
def test_neighbours_and_thresholds_are_exactly_those_of_one_process(answers, name):
    for answer in answers:
        assert answer["apart"][name] == 0


def test_values_that_are_not_finite_are_refused_in_all(answers):
    for answer in answers:
        assert "NaN, infinite or larger than float32 values, first in row 7" in answer["refused"]["distance"]
        assert "distances must be finite" in answer["refused"]["threshold"]
