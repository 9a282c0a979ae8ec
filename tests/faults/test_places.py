"""A work directory that is moved, copied, or cannot be written to."""

import shutil
import subprocess

import pytest
from commands import refused, run

from mtsccd_jax.engine.workdir import only_training
from mtsccd_jax.files import locked

pytestmark = pytest.mark.fault


@pytest.fixture
def read_only(demo_run, tmp_path):
    """The demonstration's work directory on a file system that nobody can write to, or a skip where none is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    try:
        shutil.copytree(demo_run[0], place / "run", ignore=shutil.ignore_patterns("archive", "report"))
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        yield place / "run"
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_run_that_cannot_be_written_to_is_read(capsys, read_only, tmp_path):
    assert run(capsys, "verify", read_only, "-q")[0] == 0
    assert run(capsys, "report", read_only, "--out", tmp_path / "page", "-q")[0] == 0
    weights = tmp_path / "weights.safetensors"
    assert run(capsys, "export", read_only, "--format", "safetensors", "--out", weights, "-q")[0] == 0
    line = refused(capsys, "evaluate", read_only, "--split", "test_a", "-q")
    assert line.endswith(": read-only file system; choose another path")


def test_a_copy_of_a_run_in_training_is_free(tmp_path):
    (tmp_path / "run").mkdir()
    with only_training(tmp_path / "run"), locked(tmp_path / "run" / "rows.lock"):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        with only_training(tmp_path / "copy"), locked(tmp_path / "copy" / "rows.lock"):
            pass


def test_a_run_that_is_moved_keeps_its_lock(tmp_path):
    (tmp_path / "run").mkdir()
    with only_training(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(ValueError, match="another training is running here"), only_training(tmp_path / "moved"):
            pass
