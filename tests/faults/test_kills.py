"""Commands killed once each and run again end as those that nothing disturbed; `survey.py` kills many more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SURVEY = Path(__file__).parent / "survey.py"
STEPS = ("synth", "build", "train", "evaluate", "export", "report")


@pytest.mark.fault
def test_commands_that_were_killed_end_with_the_same_files_rows_and_parameters(tmp_path):
    asked = [part for step in STEPS for part in ("--step", step)]
    place = tmp_path / "faults.json"
    place.write_text(json.dumps({"kills": {"synth": {"trials": 1, "same": 1}}}))  # of a survey that was stopped
    command = [sys.executable, SURVEY, "--kills", str(len(STEPS) + 1), *asked, "--out", place]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    kills = json.loads(place.read_text())["kills"]
    assert {step: counts["trials"] for step, counts in kills.items()} == dict.fromkeys(STEPS, 1) | {"synth": 2}
    for counts in kills.values():
        assert counts["trials"] == counts.get("same", 0) + counts.get("leftovers removed", 0)
