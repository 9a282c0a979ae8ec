"""The README's Python example runs, and its commands exist."""

import re
import shlex
from pathlib import Path

import numpy as np

from mtsccd_jax.cli import make_parser

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(demo_run, monkeypatch, tmp_path):
    workdir, _ = demo_run
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(workdir)
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["distance"].shape == (len(names["pairs"]),)
    assert np.isfinite(names["distance"]).all()
    assert sum(names["best"].confusion) == len(names["pairs"])


def test_every_command_parses():
    lines = [line.strip() for line in README.splitlines() if line.startswith("    mtsccd-jax ")]
    assert len(lines) >= 8
    for line in lines:
        arguments = shlex.split(line.partition(" && ")[0].partition("#")[0])[1:]
        make_parser().parse_args(arguments)


def test_the_set_up_is_two_commands():
    assert "pip install -e . && mtsccd-jax demo" in README
    assert "pip install -e '.[test]' && pytest" in README
