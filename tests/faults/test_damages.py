"""A damaged file of a run is told, made again, or changes nothing; `survey.py` tries many more."""

import damages
import pytest


@pytest.mark.fault
@pytest.mark.parametrize("number", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_no_damage_is_used_without_a_word_or_ends_in_a_traceback(tmp_path, number):
    run = damages.TinyRun(tmp_path / "tiny").make()
    found = list(damages.trials(run, range(number), seed=6))  # one of each kind, and no page
    assert [trial for trial in found if trial.outcome in damages.FAULTS] == []
    assert sum(trial.outcome == "told" for trial in found) > number / 4
