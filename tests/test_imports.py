"""Modules can be imported, and accelerators measured, without the packages that read data sets."""

import json
import subprocess
import sys

import pytest

# Machines with accelerators may lack these packages.
MISSING = (
    *("tensorflow", "tensorflow_datasets", "grain", "array_record", "google_crc32c", "importlib_resources"),
    *("simplejpeg", "adjustText"),
)
PROGRAM = f"""
import contextlib, importlib, io, json, pkgutil, sys
sys.modules.update(dict.fromkeys({MISSING!r}))

import mtsccd_jax
for module in pkgutil.walk_packages(mtsccd_jax.__path__, "mtsccd_jax."):
    if not module.name.endswith("__main__"):  # those run
        importlib.import_module(module.name)
builders = [name for name in sys.modules if name.startswith("tfds_builders.writing")]

from mtsccd_jax.cli import main
train = io.StringIO()
with contextlib.redirect_stderr(train), contextlib.redirect_stdout(train):
    status = main(["train", "demo", "--workdir", sys.argv[1], "--data-dir", sys.argv[1]])
search = ["--forms", "host", "--pairs", "64"]
with contextlib.redirect_stdout(io.StringIO()):
    bench = main(["bench", "threshold", *search, "--windows", "2", "--window-s", "0", "--out", sys.argv[1]])
print(json.dumps({{"builders": builders, "train": train.getvalue(), "status": status, "bench": bench}}))
"""


@pytest.fixture(scope="module")
def without_them(tmp_path_factory):
    """The report of a process that can import none of MISSING."""
    place = tmp_path_factory.mktemp("without")
    done = subprocess.run([sys.executable, "-c", PROGRAM, place], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_module_can_be_imported_without_the_builders(without_them):
    assert without_them["builders"] == []


def test_a_command_that_needs_one_names_it_in_one_line(without_them):
    assert without_them["status"] == 2
    assert without_them["train"].splitlines()[-1] == (
        "mtsccd-jax: tensorflow_datasets is not installed and this command needs it; install it with pip"
    )


def test_thresholds_are_measured_without_them(without_them):
    assert without_them["bench"] == 0
