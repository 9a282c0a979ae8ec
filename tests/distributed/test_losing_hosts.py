"""A training of two processes that is stopped, and that loses one or the other, continues on as many or on fewer."""

import signal
import time

import many_processes
import pytest

from mtsccd_jax.engine.checkpoint import newest_step
from mtsccd_jax.engine.workdir import read_history

SETTINGS = [
    "data.image_size=32",
    "data.crop_padding=2",
    "model.width=0.0625",
    "model.name=scnn",
    "engine.batch_size=16",
]
SETTINGS += ["engine.eval_batch_size=16", "engine.checkpoint_every_s=0.2"]


def training(scenes, workdir, epochs):
    settings = [f"--set={setting}" for setting in (*SETTINGS, f"engine.epochs={epochs}")]
    return ["train", "demo", "--folder", scenes, "--workdir", workdir, *settings]


def steps_of(workdir):
    return [record.step for record in read_history(workdir)]


def hit(started, workdir, process, signum):
    """Send a signal to one of two processes once they have trained on, and return how both ended."""
    before, deadline = len(steps_of(workdir)), time.monotonic() + 120
    while len(steps_of(workdir)) < before + 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    started[process].send_signal(signum)
    return many_processes.wait(started, 90)


@pytest.mark.fault
def test_a_training_outlives_its_processes(scenes, tmp_path):
    workdir, endless = tmp_path / "run", training(scenes, tmp_path / "run", 5000)

    stopped = hit(many_processes.start(2, 1, [endless]), workdir, 1, signal.SIGTERM)
    assert [one.status for one in stopped] == [143, 143], stopped
    assert all("stopped by SIGTERM after saving" in one.complaint for one in stopped)
    assert newest_step(workdir) == steps_of(workdir)[-1]

    told = hit(many_processes.start(2, 1, [endless]), workdir, 0, signal.SIGUSR1)
    assert [one.status for one in told] == [138, 138], told

    lost = hit(many_processes.start(2, 1, [endless]), workdir, 1, signal.SIGKILL)
    assert [one.status for one in lost] == [3, -9], lost
    assert "process 1 on" in lost[0].complaint
    assert "is lost; run the same command again" in lost[0].complaint
    saved = newest_step(workdir)

    first_lost = hit(many_processes.start(2, 1, [endless]), workdir, 0, signal.SIGKILL)
    assert [one.status for one in first_lost] == [-9, 3], first_lost
    assert "another process is lost, probably the first" in first_lost[1].complaint
    assert newest_step(workdir) >= saved

    alone = hit(many_processes.start(1, 2, [endless]), workdir, 0, signal.SIGTERM)
    assert alone[0].status == 143, alone
    steps = steps_of(workdir)
    assert steps == list(range(1, len(steps) + 1))


def test_hosts_that_share_no_file_system_are_told(scenes, tmp_path):
    commands = [[training(scenes, tmp_path / name, 1)] for name in ("one", "other")]
    ended = many_processes.wait(many_processes.start_each(commands, 1))
    assert [one.status for one in ended] == [2, 2], ended
    assert "process 1: " in ended[0].complaint
    assert all("on a file system that all hosts share" in one.complaint for one in ended)


def test_wrong_input_of_one_is_that_of_all(scenes, tmp_path):
    good, missing = (training(place, tmp_path / "run", 1) for place in (scenes, tmp_path / "nowhere"))
    ended = many_processes.wait(many_processes.start_each([[good], [missing]], 1))
    assert [one.status for one in ended] == [2, 2], ended
    assert "process 1: " in ended[0].complaint
    assert "nowhere" in ended[0].complaint
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_other_options_of_one_are_told_to_all(scenes, tmp_path):
    """As where a launcher joins what were meant as trainings of their own."""
    commands = [[[*training(scenes, tmp_path / "run", 1), f"--seed={seed}"]] for seed in (0, 1)]
    ended = many_processes.wait(many_processes.start_each(commands, 1))
    assert [one.status for one in ended] == [2, 2], ended
    assert all("seed differs from the first process; start all of them alike" in one.complaint for one in ended)
    assert not (tmp_path / "run" / "recipe.json").exists()
