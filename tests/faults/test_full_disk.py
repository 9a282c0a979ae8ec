"""A disk runs full under every command that writes: one line, the old files whole, and the command goes on later."""

import contextlib
import os
import shutil
import subprocess

import pytest
from commands import run

pytestmark = pytest.mark.fault
SETTINGS = ["data.image_size=32", "model.name=scnn", "model.width=0.25", "optim.warmup_epochs=0"]
SETTINGS += ["engine.batch_size=16", "engine.eval_batch_size=16", "engine.epochs=1", "engine.checkpoint_every_s=0"]
DISK_BYTES = 16 << 20

# Name -> command line, in which {disk} is the full disk and {demo} the demonstration's work directory on another one.
COMMANDS = {
    "synth": "data synth --out {disk}/archive --scale 0.004 --image-size 32",
    "build": "data build mtsccd_lusc --archive {demo}/archive --data-dir {disk}/tfds",
    "train": "train demo --folder {scenes} --workdir {disk}/trained" + "".join(f" --set={text}" for text in SETTINGS),
    "evaluate": "evaluate {disk}/run --split test_a",
    "change": "change {disk}/run --method cfsm --split test_a",
    "retrieve": "retrieve {disk}/run --split test_a",
    "embed": "embed {disk}/run --split test_a --out {disk}/features.npz",
    "report": "report {disk}/run",
    "export": "export {disk}/run --format safetensors",
}
IN_CI = ("build", "train", "evaluate", "change", "report")


@pytest.fixture
def small_disk(demo_run, tmp_path):
    """A file system of 16 MB with a run on it, or a skip where none may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if mounted.returncode:
        pytest.skip(f"no small file system may be mounted here ({mounted.stderr.decode().strip()})")
    try:
        others = shutil.ignore_patterns("archive", "tfds", "report", "compiled", "index", "*.safetensors")
        shutil.copytree(demo_run[0], place / "run", ignore=others)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def only(num_bytes, disk):
    """Leave so much of a disk free."""
    free = shutil.disk_usage(disk).free
    assert free > num_bytes
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, free - num_bytes)
    try:
        yield
    finally:
        (disk / "filler").unlink()


def contents(disk):
    """Return the files of a disk, except locks."""
    return {path: path.read_bytes() for path in disk.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize(
    "name", [*IN_CI, *(pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS.keys() - IN_CI)]
)
def test_a_full_disk_is_one_line_and_the_old_files_are_whole(capsys, demo_run, scenes, small_disk, name):
    command = COMMANDS[name].format(disk=small_disk, demo=demo_run[0], scenes=scenes).split()
    before = contents(small_disk)
    for num_bytes in (1 << 14,) if name in IN_CI else (0, 1 << 12, 1 << 14):
        with only(num_bytes, small_disk):
            status, result, err = run(capsys, *command, "-q")
        assert (status, result) == (3, None), err
        (line,) = err.splitlines()
        assert line.endswith(": no space left; free some and run the same command again")
        left = contents(small_disk)
        assert {path: left.get(path) for path in before} == before
    assert run(capsys, *command, "-q")[0] == 0
    assert [path for path in small_disk.rglob("*") if "unfinished" in path.name or "tmp" in path.name] == []
