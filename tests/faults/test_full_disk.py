"""A training on a full disk ends in one line."""

import os
import subprocess
import sys

import pytest

SETTINGS = ["data.image_size=32", "data.crop_padding=2", "model.width=0.0625", "optim.warmup_epochs=0"]
SETTINGS += ["engine.batch_size=16", "engine.eval_batch_size=16", "engine.epochs=6", "engine.checkpoint_every_s=0.3"]


def command(scenes, workdir):
    arguments = ["train", "demo", "--folder", str(scenes), "--workdir", str(workdir), "-q"]
    return [sys.executable, "-m", "mtsccd_jax", *arguments, *(f"--set={setting}" for setting in SETTINGS)]


# Two devices: sharded, and quick to compile in each new process.
ENVIRONMENT = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB, less than a checkpoint takes, or a skip where none may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.fault
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(scenes, small_disk):
    done = subprocess.run(
        command(scenes, small_disk / "run"),
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "no space left" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
