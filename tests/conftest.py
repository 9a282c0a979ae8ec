"""One test session: eight fake CPU devices, no display, temporary files and compiled programs of its own."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtsccd_jax.config import Data, Engine, Model, Optim, Recipe

# Before anything imports JAX, matplotlib or TFDS (which leaves empty folders in TMPDIR).
os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="mtsccd-jax-tests-")
tempfile.tempdir = None
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(os.environ["TMPDIR"], "compiled")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
# Tests wait for the compiler far longer than for what it makes.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, or a skip where MTSCCD_REAL_DATA names none."""
    place = os.environ.get("MTSCCD_REAL_DATA")
    if not place:
        pytest.skip("MTSCCD_REAL_DATA is not set: no real images here")
    return Path(place)


CLASSES = ("dark", "plain", "stripes")


def write_scenes(root: Path, per_class: int = 40, size: int = 32) -> Path:
    """Three classes of noise: dark, plain and striped."""
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for index in range(per_class):
            image = generator.integers(90, 160, (size, size, 3))
            if name == "dark":
                image //= 2
            if name == "stripes":
                image[:, ::4] += 90
            cv2.imwrite(str(root / name / f"{index}.png"), image.astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "tree")


@pytest.fixture(scope="session")
def recipe(scenes: Path) -> Recipe:
    """A recipe of seconds on the scenes."""
    return Recipe(
        name="tiny",
        summary="for tests",
        data=Data(folder=str(scenes), image_size=32, crop_padding=2, color_jitter=0.1),
        model=Model("resnet18", width=0.0625),
        optim=Optim(learning_rate=0.05, weight_decay=1e-4, warmup_epochs=0.5, label_smoothing=0.1),
        engine=Engine(batch_size=16, epochs=2, eval_batch_size=16),
        seed=3,
    )


@pytest.fixture
def with_engine():
    """The recipe with other engine settings."""

    def change(recipe: Recipe, **settings) -> Recipe:
        return replace(recipe, engine=replace(recipe.engine, **settings))

    return change


# Overrides that make any recipe a matter of seconds.
TINY = ["--set", "model.width=0.0625", "--set", "data.image_size=32", "--set", "data.crop_padding=2"]
TINY += ["--set", "engine.epochs=1", "--set", "engine.batch_size=32", "--set", "change.resamples=50"]


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory):
    """A tiny demonstration, run once as a user runs it: (work directory, its JSON)."""
    workdir = tmp_path_factory.mktemp("demo") / "run"
    command = [sys.executable, "-m", "mtsccd_jax.cli", "demo", "--workdir", str(workdir), "--scale", "0.01", *TINY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, "standard output holds only the JSON line"
    assert "Traceback" not in done.stderr
    return workdir, json.loads(lines[0])


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides on the command line that make any recipe a matter of seconds."""
    return TINY
