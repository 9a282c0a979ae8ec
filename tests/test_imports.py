"""Modules can be imported, and accelerators measured, without the packages that read data sets."""

import json
import subprocess
import sys

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


def test_a_process_without_them_imports_all_names_what_a_command_lacks_and_measures(tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["builders"] == [], "no module needs the builders"
    assert (found["status"], found["bench"]) == (2, 0)
    assert found["train"].splitlines()[-1] == (
        "mtsccd-jax: tensorflow_datasets is not installed and this command needs it: pip install tensorflow_datasets"
    )
