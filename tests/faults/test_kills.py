"""Commands killed once each and run again end as those that nothing disturbed; `survey.py` kills many more."""

import kills
import pytest

STEPS = ("synth", "build", "train", "evaluate", "export", "report")


@pytest.mark.fault
def test_commands_that_were_killed_end_with_the_same_files_rows_and_parameters(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    whole = kills.Undisturbed(tmp_path / "kills", STEPS)
    found = list(kills.trials(whole, len(STEPS)))
    assert [trial.kind for trial in found] == list(STEPS)
    assert [trial for trial in found if trial.outcome in kills.FAULTS] == []
