"""Early stopping and the best epoch; a run killed at any moment ends as one that was never killed."""

import signal
from dataclasses import replace

import pytest
from training import assert_close, result

from mtsccd_jax.engine import loop
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.engine.loop import stop_requested
from mtsccd_jax.engine.workdir import HISTORY_FILE, History, read_history, read_validations
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Model
from mtsccd_jax.tasks.table import open_task
from mtsccd_jax.tasks.train import train

# The validation score of each epoch: the second is the best at first, the third equals it.
SCORES = (0.5, 0.8, 0.8, 0.7, 0.9, 0.6)
MOMENTS = ("before validation", "after validation", "after saving")


class Killed(BaseException):
    """Stands for a killed process: no handler of errors catches it."""


@pytest.fixture
def small(recipe, monkeypatch):
    """Return a recipe of six epochs whose very small network scores SCORES, and its steps an epoch."""
    settings = replace(recipe.engine, epochs=6, batch_size=32, keep="best", patience=2, checkpoint_every_s=1e9)
    optim = replace(recipe.optim, schedule="constant", warmup_epochs=0, learning_rate=0.01)
    small = replace(recipe, model=Model("scnn", width=0.0625), optim=optim, engine=settings)
    steps = len(open_task(small).train) // 32

    def scripted(recipe, network, feed):
        return lambda state: SCORES[int(state.step) // steps - 1]

    monkeypatch.setattr("mtsccd_jax.tasks.scenes.train.scene_score", scripted)
    return small, steps


def everything(workdir):
    """Return the results of a run: the state that is evaluated, the losses, and all validations."""
    return result(workdir), [record.loss for record in read_history(workdir)], read_validations(workdir, 10**9)


def assert_same(one, other):
    assert_close(one[0], other[0])
    assert one[1:] == other[1:]


def test_training_stops_and_the_best_epoch_is_the_result(small, tmp_path, with_engine):
    recipe, steps = small
    done = train(recipe, tmp_path / "best")
    assert done.step == 4 * steps, "the best epoch is the second, and two more were not better"
    assert done.stopped_early
    assert (done.best.step, done.best.epoch, done.best.score_name, done.best.score) == (2 * steps, 1, "oa", 0.8)
    assert done.checkpoint.name == str(2 * steps)
    assert done.checkpoint.is_dir()
    assert len(list(done.checkpoint.parent.iterdir())) <= 3

    train(with_engine(recipe, epochs=2, keep="last", patience=None), tmp_path / "two")
    kept = result(tmp_path / "best")
    assert kept.step == 2 * steps
    assert_close(kept, result(tmp_path / "two"))

    before = everything(tmp_path / "best")
    again = train(recipe, tmp_path / "best")
    assert (again.step, again.compile_s, again.best) == (done.step, None, done.best)
    assert_same(before, everything(tmp_path / "best"))


def test_patience_alone_keeps_the_last_parameters(small, tmp_path, with_engine):
    recipe, steps = small
    done = train(with_engine(recipe, keep="last", patience=1), tmp_path)
    assert done.step == result(tmp_path).step == 3 * steps
    assert done.checkpoint.name == str(3 * steps)
    assert not (tmp_path / "checkpoints" / str(2 * steps)).exists(), "nothing but the last is saved"


def test_without_patience_a_late_best_is_found(small, tmp_path, with_engine):
    recipe, steps = small
    done = train(with_engine(recipe, patience=None), tmp_path)
    assert (done.step, done.best.step, done.stopped_early) == (6 * steps, 5 * steps, False)
    assert result(tmp_path).step == 5 * steps


@pytest.mark.parametrize("every_s", [0.0, 1e9], ids=["checkpoint-every-step", "checkpoint-of-best-only"])
def test_killed_around_every_epoch_the_run_ends_as_if_never_killed(small, tmp_path, with_engine, monkeypatch, every_s):
    """Kill every epoch before its validation, between the validation and its checkpoint, and after the checkpoint."""
    recipe, steps = small
    recipe = with_engine(recipe, patience=3, epochs=4, checkpoint_every_s=every_s)
    train(recipe, tmp_path / "whole")
    to_come = {(moment, epoch * steps) for moment in MOMENTS for epoch in range(1, 5)}

    def killing(moment, function):
        def call(self, subject, *arguments, **settings):
            here = (moment, step_of(subject))
            if moment.startswith("before") and here in to_come:
                to_come.remove(here)
                raise Killed
            result = function(self, subject, *arguments, **settings)
            if moment.startswith("after") and here in to_come:
                to_come.remove(here)
                raise Killed
            return result

        return call

    def step_of(subject):  # of a state, of a validation, or the step itself
        return int(getattr(subject, "step", subject))

    monkeypatch.setattr(History, "is_validated", killing(MOMENTS[0], History.is_validated))
    monkeypatch.setattr(History, "add_validation", killing(MOMENTS[1], History.add_validation))
    monkeypatch.setattr(loop.Checkpoints, "save", killing(MOMENTS[2], loop.Checkpoints.save))
    kills, done = 0, None
    while done is None:
        try:
            done = train(recipe, tmp_path / "killed")
        except Killed:
            kills += 1
    assert kills >= 9, "most of these moments must occur"
    assert done.step == 4 * steps
    assert_same(everything(tmp_path / "whole"), everything(tmp_path / "killed"))


def test_a_signal_after_the_last_step_is_told_once_all_is_saved(small, tmp_path, monkeypatch):
    recipe, steps = small

    def signalled(recipe, network, feed):
        def score(state):
            if int(state.step) == 4 * steps:
                signal.raise_signal(signal.SIGTERM)
            return SCORES[int(state.step) // steps - 1]

        return score

    monkeypatch.setattr("mtsccd_jax.tasks.scenes.train.scene_score", signalled)
    with pytest.raises(loop.Stopped, match="stopped by SIGTERM after saving"):
        train(recipe, tmp_path)
    done = train(recipe, tmp_path)
    assert (done.step, done.compile_s, done.best.step) == (4 * steps, None, 2 * steps)


def test_a_run_without_a_validated_epoch_has_no_best(small, tmp_path, with_engine, monkeypatch):
    recipe, _ = small

    def stop(self, *arguments):
        raise Killed

    monkeypatch.setattr(History, "is_validated", stop)
    with pytest.raises(Killed):
        train(with_engine(recipe, checkpoint_every_s=0.0), tmp_path)
    with pytest.raises(InputError, match="no epoch has been validated yet"):
        load_trained(tmp_path)


def test_a_lost_history_is_refused(small, tmp_path):
    recipe, _ = small
    train(recipe, tmp_path)
    (tmp_path / HISTORY_FILE).unlink()
    with pytest.raises(InputError, match="holds 0 validations, but 3 epochs have been trained"):
        train(recipe, tmp_path)


def test_the_first_signal_restores_both_handlers():
    signums = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(signum) for signum in signums]
    with stop_requested() as arrived:
        assert arrived() is None
        assert signal.getsignal(signal.SIGINT) != before[0]
        signal.raise_signal(signal.SIGTERM)
        assert arrived() == signal.SIGTERM
        assert [signal.getsignal(signum) for signum in signums] == before
    assert [signal.getsignal(signum) for signum in signums] == before
