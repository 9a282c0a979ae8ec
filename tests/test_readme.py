"""The README's Python examples run, and its commands exist."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from mtsccd_jax.cli import main, make_parser
from mtsccd_jax.engine.workdir import load

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def example(section):
    """The first Python example of a section."""
    return compile(re.search(rf"## {section}\n.*?```python\n(.*?)```", README, re.DOTALL).group(1), "README.md", "exec")


def test_the_python_example_runs(demo_run, monkeypatch, tmp_path):
    workdir, _ = demo_run
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(workdir)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(example("In Python"), names)
    assert names["distance"].shape == (len(names["pairs"]),)
    assert np.isfinite(names["distance"]).all()
    assert sum(names["best"].confusion) == len(names["pairs"])


def test_the_example_of_other_runtimes_runs(demo_run, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime", reason="the example runs in ONNX Runtime")
    workdir, _ = demo_run
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(workdir), "--format", "onnx", "--out", "scenes.onnx", "-q"]) == 0
    size = load(workdir).recipe.data.image_size
    names = {"images": np.zeros((2, size, size, 3), np.uint8)}
    exec(example("Other runtimes"), names)
    assert len(names["logits"]) == len(names["features"]) == 2


def test_every_command_parses():
    lines = [line.strip() for line in README.splitlines() if line.startswith("    mtsccd-jax ")]
    assert len(lines) >= 8
    for line in lines:
        arguments = shlex.split(line.partition(" && ")[0].partition("#")[0])[1:]
        make_parser().parse_args(arguments)


def test_the_set_up_is_two_commands():
    assert "pip install -e . && mtsccd-jax demo" in README
    assert "pip install -e '.[test]' && pytest" in README
