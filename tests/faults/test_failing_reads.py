"""A disk fails in the middle of any file that a run reads: told in one line as such, never as damage, never skipped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import failing_reads
import pytest

# What is read again by its library after one error, and then whole.
READ_AGAIN = ("checkpoint: _CHECKPOINT_METADATA", "label.labels.txt")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Exit status and line of every reader, for each read that fails."""
    place = tmp_path_factory.mktemp("failing")
    try:
        library = failing_reads.compiled(place)
    except FileNotFoundError:
        pytest.skip("there is no C compiler here, and reads fail below Python")
    environment = {**os.environ, "LD_PRELOAD": str(library), "JAX_NUM_CPU_DEVICES": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, failing_reads.__file__, place]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.fault
@pytest.mark.parametrize("name", failing_reads.READERS)
def test_a_disk_that_fails_in_the_middle_of_a_file_is_told_as_such(said, name):
    for when, (status, line) in said[name].items():
        if not (name in READ_AGAIN and when in failing_reads.ONCE and status == 0):
            assert status == 3, (when, line)
            assert ": the disk or the network failed (input/output error); run the same command again" in line
            assert Path(line.removeprefix("mtsccd-jax: ").partition(": the disk")[0]).is_absolute(), "it names the file"
            assert len(line.splitlines()) == 1
