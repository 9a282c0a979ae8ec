"""Two processes under Slurm's script, stopped for time and started again, leave what one process leaves."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_up_rows import results

from mtsccd_jax.engine.workdir import HISTORY_FILE, read_history
from mtsccd_jax.report.rows import load
from tfds_builders import build
from tfds_builders.synthetic.mtsccd import write_archive

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "launch" / "slurm.sh"
SLURM = Path(__file__).parent / "helpers" / "slurm"
SETTINGS = "model.name=scnn model.width=0.0625 data.image_size=32 data.crop_padding=2 optim.warmup_epochs=0"
SETTINGS += " engine.batch_size=16 engine.eval_batch_size=16 engine.epochs=30 evaluation.resamples=20 change.words=8"
TRAIN = " ".join(f"--set {setting}" for setting in SETTINGS.split())
DEADLINE_S = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The TFDS folder of a generated archive."""
    place = tmp_path_factory.mktemp("data")
    write_archive(place / "archive", scale=0.004, image_size=32, workers=1)
    for name in ("mtsccd_lusc", "mtsccd_lucd"):
        build(name, archive=place / "archive", data_dir=place / "tfds", workers=1)
    return place / "tfds"


def free_job() -> int:
    """Return the number of a job whose port nobody uses; JAX takes 61440 + the number modulo 4096."""
    for job in random.sample(range(4096), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", 61440 + job)):
                return job
    raise AssertionError("no port is free")


@pytest.fixture
def start(tmp_path, data):
    """Return a function that starts the script, as Slurm does, with the programs of this environment."""
    program = tmp_path / "bin" / "mtsccd-jax"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mtsccd_jax "$@"\n')
    program.chmod(0o755)
    job = {"SLURM_JOB_ID": str(free_job()), "SLURM_NTASKS": "2", "SCONTROL_CALLS": str(tmp_path / "scontrol")}
    run = {"RECIPE": "demo", "DATA": str(data), "WORKDIR": str(tmp_path / "two"), "SETTINGS": TRAIN}
    path = {"PATH": f"{SLURM}:{program.parent}:{os.environ['PATH']}", "JAX_NUM_CPU_DEVICES": "1"}

    def script(**variables: str) -> subprocess.Popen:
        environment = os.environ | job | run | path | variables
        return subprocess.Popen(["bash", str(SCRIPT)], env=environment, cwd=tmp_path, text=True, stderr=subprocess.PIPE)

    return script


def alone(*words: str) -> None:
    """Run a command in one process with as many devices as the two have."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
    done = subprocess.run([sys.executable, "-m", "mtsccd_jax", *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def wait_for_training(workdir: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not (workdir / HISTORY_FILE).exists():
        assert time.monotonic() < deadline, "no training began"
        time.sleep(0.005)


@pytest.mark.fault
def test_a_job_that_is_put_back_ends_as_one_process_does(start, data, tmp_path):
    workdir = tmp_path / "two"
    job = start()
    wait_for_training(workdir)
    (srun,) = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    os.kill(int(srun), signal.SIGUSR1)
    said = job.communicate(timeout=DEADLINE_S)[1]
    assert "status 138, its time is over" in said
    assert job.returncode == 0
    steps = len(read_history(workdir))

    job = start(SLURM_RESTART_COUNT="1")
    said = job.communicate(timeout=DEADLINE_S)[1]
    assert job.returncode == 0, said
    assert (tmp_path / "scontrol").read_text().count("requeue") == 1
    assert (workdir / "report" / "index.html").exists()

    one = tmp_path / "one"
    alone("train", "demo", "--data-dir", str(data), "--workdir", str(one), *TRAIN.split())
    alone("evaluate", str(one))
    alone("change", str(one))
    losses = [[record.loss for record in read_history(place)] for place in (workdir, one)]
    assert 0 < steps < len(losses[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    rows = [results(load(place)) for place in (workdir, one)]
    assert len(rows[0]) == 9
    assert rows[0] == rows[1]
