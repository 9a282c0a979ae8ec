"""A damaged file of a run is told, made again, or changes nothing; `survey.py` tries many more."""

import damages
import pytest

TRIALS = 36


@pytest.mark.fault
def test_no_damage_is_used_without_a_word_or_ends_in_a_traceback(tmp_path):
    run = damages.TinyRun(tmp_path / "tiny").make()
    found = list(damages.trials(run, TRIALS))
    assert [trial for trial in found if trial.outcome in damages.FAULTS] == []
    assert sum(trial.outcome == "told" for trial in found) > TRIALS / 4
