"""A matrix killed again and again ends with the rows of one that was never killed."""

import random
import subprocess
import sys

import pytest
from made_up_rows import results

import tfds_builders
from mtsccd_jax.report import rows, workdirs
from tfds_builders.synthetic import write_archive

KILLS = 12


def rows_below(root):
    """Return every row below a folder by its id."""
    return {row.id: row for workdir in workdirs.work_directories(root) for row in rows.load(workdir)}


@pytest.mark.fault
@pytest.mark.slow
def test_a_matrix_killed_again_and_again_ends_with_the_same_rows(tmp_path):
    """With one network that fills rows of both tables and one that learns similarity."""
    write_archive(tmp_path / "archive", scale=0.02, image_size=64, workers=1)
    for name in ("mtsccd_lusc", "mtsccd_lucd"):
        tfds_builders.build(name, archive=tmp_path / "archive", data_dir=tmp_path / "tfds", workers=1)
    command = [sys.executable, "-m", "mtsccd_jax", "reproduce", "all", "--stand-ins", "-q"]
    command += ["--data-dir", str(tmp_path / "tfds"), "--only", "vgg19", "--only", "vgg16"]
    command += ["--set", "data.image_size=64", "--set", "engine.epochs=2", "--set", "engine.checkpoint_every_s=1"]
    subprocess.run([*command, "--workdir", str(tmp_path / "whole")], check=True, capture_output=True)
    moments, kills = random.Random(0), 0
    for _ in range(KILLS):
        killed = subprocess.Popen([*command, "--workdir", str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
        try:
            killed.wait(moments.uniform(5, 25))
        except subprocess.TimeoutExpired:
            killed.kill()
            killed.wait()
            kills += 1
    assert kills
    subprocess.run([*command, "--workdir", str(tmp_path / "killed")], check=True, capture_output=True)
    expected, found = rows_below(tmp_path / "whole"), rows_below(tmp_path / "killed")
    assert len(expected) == 14
    assert results(found.values()) == results(expected.values())
