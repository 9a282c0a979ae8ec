"""One test session: eight fake CPU devices, no display, temporary files and compiled programs of its own."""

import atexit
import csv
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock

from mtsccd_jax.progress import console
from mtsccd_jax.recipes.config import Data, Engine, Evaluation, Model, Optim, Recipe, Similarity

# Before anything imports JAX, matplotlib or TFDS (which leaves empty folders in TMPDIR).
os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="mtsccd-jax-tests-")
tempfile.tempdir = None
os.environ["JAX_PLATFORMS"] = os.environ.get("MTSCCD_TEST_PLATFORM", "cpu")  # benchmarks/run_gpu.sh names another
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers share what one of them compiled
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(os.environ["TMPDIR"], "compiled")
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(4 << 30)  # a limit makes JAX lock the files while it writes one
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
# Tests wait for the compiler far longer than for what it makes.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# A worker has a core: threads of torch's and scikit-learn's own spin while they wait for one another's.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# So does the older code generator of jaxlib 0.10, in a third of the time; later versions lack it and run in CI too.
if version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()
os.environ["MPLBACKEND"] = "Agg"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


# A part of every folder that takes no training: `pytest -m quick`.
QUICK = (
    *("test_house.py", "test_provenance.py", "recipes", "data/test_order.py", "data/test_augment.py"),
    *("engine/test_workdir.py", "engine/test_feed.py", "models/layers/test_pooling.py", "ops/test_metrics.py"),
    *("ops/test_threshold.py", "ops/test_bootstrap.py", "ops/test_retrieval.py", "perf/test_records.py"),
    *("report/test_rows.py", "report/test_text.py", "report/test_unique_names.py", "report/published"),
    *("tasks/change/test_decisions.py", "tfds_builders/mtsccd", "tfds_builders/mlrsnet/test_labels.py"),
    *("tfds_builders/reading", "tfds_builders/bigearthnet"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick tests."""
    here = Path(__file__).parent
    for item in items:
        if any(item.path.is_relative_to(here / place) for place in QUICK):
            item.add_marker(pytest.mark.quick)


def pytest_sessionfinish(exitstatus: int) -> None:
    """Removes the temporary files once this process is done with them; they stay where a test failed."""
    if exitstatus == 0:
        atexit.register(shutil.rmtree, os.environ["TMPDIR"], ignore_errors=True)


@pytest.fixture(autouse=True)
def unheard() -> None:
    """Log as a fresh process does: every command sets anew where its log goes."""
    for name in ("mtsccd_jax", "tfds_builders"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)
    console.quiet = False


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


def write_pair_list(root: Path, per_split: dict[str, int], size: int = 32, seed: int = 0) -> Path:
    """Pairs of dark or plain noise: changed where one date is dark and the other plain, as every third pair is."""
    generator = np.random.default_rng(seed)
    for side in "AB":
        (root / side).mkdir(parents=True)
    lines = []
    for split, count in per_split.items():
        for index in range(count):
            dark = int(generator.integers(2))
            changed = int(index % 3 == 0)
            name = f"{split}_{index}.png"
            for side, is_dark in (("A", dark), ("B", dark ^ changed)):
                image = generator.integers(90, 160, (size, size, 3)) // (1 + is_dark)
                cv2.imwrite(str(root / side / name), image.astype(np.uint8))
            lines.append({"A": name, "B": name, "changed": changed, "split": split})
    with (root / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["A", "B", "changed", "split"])
        writer.writeheader()
        writer.writerows(lines)
    return root


@pytest.fixture(scope="session")
def pair_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"train": 48, "validation": 18, "test": 18}
    return write_pair_list(tmp_path_factory.mktemp("pairs") / "list", splits)


@pytest.fixture(scope="session")
def pair_recipe(recipe: Recipe, pair_list: Path) -> Recipe:
    """A recipe of seconds that learns the similarity of the pairs."""
    return replace(
        recipe,
        data=Data(dataset=None, pair_dataset=None, pairs=str(pair_list), image_size=32),
        model=Model("scnn", width=0.125, task="similarity"),
        optim=Optim("adamw", learning_rate=2e-3),
        engine=Engine(batch_size=16, epochs=2, eval_batch_size=16),
        evaluation=Evaluation(resamples=50),
        similarity=Similarity(width=16),
    )


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
TINY += ["--set", "engine.epochs=1", "--set", "engine.batch_size=32", "--set", "evaluation.resamples=50"]


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory):
    """A tiny demonstration, run once as a user runs it: (work directory, its JSON).

    Whichever process of a parallel run comes first runs it; each has a copy.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    first, said = place / "demo", place / "demo.json"
    with FileLock(place / "demo.lock"):
        if not said.exists():
            command = [sys.executable, "-m", "mtsccd_jax", "demo", "--workdir", str(first), "--scale", "0.01"]
            done = subprocess.run([*command, *TINY], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert "Traceback" not in done.stderr
            said.write_text(done.stdout)
    lines = said.read_text().splitlines()
    assert len(lines) == 1, "standard output holds only the JSON line"
    return shutil.copytree(first, tmp_path_factory.mktemp("demo") / "run"), json.loads(lines[0])


@pytest.fixture(scope="module")
def run_copy(demo_run, tmp_path_factory):
    """A copy of the demonstration's work directory without its rows: adding to it disturbs no other file's tests."""
    workdir = tmp_path_factory.mktemp("copy") / "run"
    ignored = shutil.ignore_patterns("rows.jsonl", "artefacts", "archive", "tfds", "report")
    shutil.copytree(demo_run[0], workdir, ignore=ignored)
    return workdir


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides on the command line that make any recipe a matter of seconds."""
    return TINY
