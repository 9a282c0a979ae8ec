"""Training and commands under settings of JAX, and on numbers of devices, that nobody chose for them."""

import csv
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from training import assert_close, result

from mtsccd_jax.recipes.config import Model
from mtsccd_jax.tasks.train import train

# By the number of devices; the demonstration is trained on eight, at JAX's defaults.
SETTINGS = {
    3: {
        "jax_enable_x64": "1",
        "jax_default_prng_impl": "rbg",
        "jax_numpy_dtype_promotion": "strict",
        "jax_transfer_guard": "disallow",
    },
    5: {
        "jax_disable_jit": "1",
        "jax_default_prng_impl": "unsafe_rbg",
        "jax_threefry_partitionable": "0",
        "jax_numpy_rank_promotion": "raise",
        "jax_debug_nans": "1",
    },
}
EACH = "import json, sys; from mtsccd_jax.cli import main; print([main(each) for each in json.loads(sys.argv[1])])"


def commands(workdir: Path, archive: Path, out: Path) -> list[list[str]]:
    """Return a command of every kind that uses a trained network."""
    images = archive / "MtSCCD" / "hefei" / "T1"
    query = str(min(images.rglob("*.jpg")))
    given = [
        ["evaluate", workdir, "--split", "test_a"],
        ["change", workdir, "--split", "test_a"],
        ["predict", workdir, images, "--out", out / "labels.csv"],
        ["embed", workdir, "--dataset", "mtsccd_lucd", "--out", out / "features.npz"],
        ["retrieve", workdir, "--query", query, "-k", "3"],
    ]
    return [[*map(str, words), "--json"] for words in given]


def outcome(workdir: Path, archive: Path, out: Path, devices: int, settings: dict[str, str]) -> tuple:
    """Run the commands in a process; return their JSON, and what they wrote."""
    out.mkdir()
    given = {name.upper(): value for name, value in settings.items()}
    environment = {**os.environ, **given, "JAX_NUM_CPU_DEVICES": str(devices)}
    words = [sys.executable, "-c", EACH, json.dumps(commands(workdir, archive, out))]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    *said, statuses = done.stdout.splitlines()
    assert statuses == "[0, 0, 0, 0, 0]", done.stderr
    with np.load(out / "features.npz") as arrays:
        features = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    with (out / "labels.csv").open(newline="") as file:
        _, *table = csv.reader(file)
    predicted = [row[:2] for row in table], np.array([row[2:] for row in table], float)
    return [json.loads(line) for line in said], features, predicted


def test_commands_do_as_by_default(run_copy, demo_run, tmp_path):
    workdir, demo = demo_run
    of_three, of_five = (
        outcome(run_copy, workdir / "archive", tmp_path / str(devices), devices, settings)
        for devices, settings in SETTINGS.items()
    )
    evaluated, change, *_ = of_three[0]
    assert figures(evaluated["test_a"]) == pytest.approx(figures(demo["scene"]["test_a"]), rel=1e-4)
    for method in ("cfsm", "cdc_1"):
        expected = figures(demo["change"][method]["test_a"])
        assert figures(change[method]["test_a"]) == pytest.approx(expected, rel=1e-4)
    for one, other in zip(*(said for said, *_ in (of_three, of_five)), strict=True):
        assert figures(one) == pytest.approx(figures(other), rel=1e-4)
    assert_close(of_three[1], of_five[1], 1e-4)
    (names, numbers), (others, expected) = of_three[2], of_five[2]
    assert names == others
    np.testing.assert_allclose(numbers, expected, atol=1e-4)


def figures(value, name=()):
    """Return the figures of a JSON object by their place, but for times and places of files."""
    if isinstance(value, dict):
        return {place: one for key, each in value.items() for place, one in figures(each, (*name, key)).items()}
    if isinstance(value, list):
        return figures(dict(enumerate(value)), name)
    is_figure = isinstance(value, int | float) and not str(name[-1]).endswith("_s") and "seconds" not in name
    return {name: value} if is_figure else {}


@contextmanager
def ambient(settings):
    """Set the settings of this process until the block ends."""
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_training_does_as_by_default_and_is_read_under_any_setting(recipe, with_engine, tmp_path):
    quick = replace(with_engine(recipe, epochs=1), model=Model("scnn", width=0.125))
    train(quick, tmp_path / "default")
    settings = {
        "jax_enable_x64": True,
        "jax_default_prng_impl": "rbg",
        "jax_threefry_partitionable": False,
        "jax_numpy_dtype_promotion": "strict",
    }
    with ambient(settings):
        train(quick, tmp_path / "ambient")
        default, other = (result(tmp_path / name) for name in ("default", "ambient"))
    assert_close(default, result(tmp_path / "default"))
    assert_close(default, other, 1e-6)
