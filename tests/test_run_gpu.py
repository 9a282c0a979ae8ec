"""The script that measures an accelerator: what it runs, leaves out, and goes on with."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "run_gpu.sh"
PARTS = ("device", "torch", "search", "verdicts", "numerics", "models", "tests")


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the script with a Python that only writes down its arguments."""
    calls, python = tmp_path / "calls.txt", tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {calls}\n'
        'case "$*" in *"$FAIL"*) exit 4;; *"$SLOW"*) sleep 60;; esac\n'
        'echo \'{"benchmark": "none"}\'\n'
    )
    python.chmod(0o755)

    def script(*arguments: str, fail: str = "nothing", slow: str = "nothing", seconds: int = 60):
        calls.write_text("")
        settings = {"MTSCCD_PYTHON": str(python), "MTSCCD_SECONDS": str(seconds), "TMPDIR": str(tmp_path)}
        settings |= {"FAIL": fail, "SLOW": slow}
        done = subprocess.run([SCRIPT, *arguments], env=os.environ | settings, capture_output=True, text=True)
        return done, calls.read_text().splitlines()

    return script


def test_every_part_runs_once(run, tmp_path):
    out = tmp_path / "out"
    done, calls = run(str(out))
    assert done.returncode == 0, done.stderr
    for text in ("device_facts", "compare_torch.py", "torch_search", "three_verdicts", "bench models", "pytest"):
        assert any(text in call for call in calls), text
    assert (out / "results.jsonl").read_text().count("\n") == 4
    again, calls = run(str(out))
    assert again.returncode == 0
    assert calls == []


def test_a_part_that_fails_is_tried_again_and_does_not_stop_the_others(run, tmp_path):
    done, calls = run(str(tmp_path), "search", "numerics", fail="compare_torch_search")
    assert done.returncode == 1
    assert len(calls) == 2
    done, calls = run(str(tmp_path), "search", "numerics")
    assert done.returncode == 0
    assert len(calls) == 1
    assert "compare_torch_search" in calls[0]


def test_a_part_that_takes_too_long_is_cut_off_and_can_go_on(run, tmp_path):
    done, _ = run(str(tmp_path), "torch", "numerics", slow="compare_torch.py", seconds=1)
    assert done.returncode == 3
    assert "goes on" in done.stderr
    done, calls = run(str(tmp_path), "torch", "numerics")
    assert "compare_torch.py" in calls[0]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"), [([], PARTS), (["--help"], PARTS), (["out", "everything"], ["no part everything"])]
)
def test_it_says_how_it_is_used(run, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    done, calls = run(*arguments)
    assert done.returncode == 2
    assert all(words in done.stderr for words in said)
    assert not calls
