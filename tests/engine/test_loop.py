"""Training whole: it learns, it resumes to the same bits, and it says what went wrong."""

import os
import signal
from dataclasses import replace

import jax
import numpy as np
import pytest

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine import loop
from mtsccd_jax.engine.evaluate import embed, load_trained
from mtsccd_jax.engine.loop import Stopped
from mtsccd_jax.engine.workdir import read_history
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.recipes.config import Model
from mtsccd_jax.tasks.train import train


def parameters(workdir):
    state = load_trained(workdir).state
    return jax.device_get((state.params, state.statistics, state.optimizer))


def assert_identical(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    """An uninterrupted run, made once: (its work directory, what it came to). Not to be written to."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return workdir, train(recipe, workdir)


def test_a_run_learns_and_a_stopped_one_ends_with_the_same_bits(tmp_path, recipe, finished, monkeypatch):
    whole, done = finished
    assert done.step == 2 * (len(open_source(recipe.data, "train")) // 16)
    assert done.checkpoint.is_dir()
    history = read_history(whole)
    assert [record.step for record in history] == list(range(1, done.step + 1))
    assert history[-1].loss < history[0].loss

    stopped, stop_at = tmp_path / "stopped", 3
    original = loop.Trainer.note

    def note(self, step, epoch, metrics):
        original(self, step, epoch, metrics)
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Trainer, "note", note)
    with pytest.raises(Stopped, match="SIGTERM") as caught:
        train(recipe, stopped)
    assert caught.value.signum == signal.SIGTERM
    assert [record.step for record in read_history(stopped)] == [1, 2, 3]
    monkeypatch.setattr(loop.Trainer, "note", original)
    resumed = train(recipe, stopped)
    assert resumed.step == done.step
    assert_identical(parameters(whole), parameters(stopped))
    assert [record.loss for record in read_history(stopped)] == [record.loss for record in history]

    again = train(recipe, stopped)
    assert again.step == done.step
    assert again.compile_s is None, "a finished run must not train again"


def test_embedding_covers_every_row_in_order(recipe, finished):
    trained = load_trained(finished[0])
    source = open_source(recipe.data, "all")
    embeddings, _ = embed(trained, source)
    result = embeddings["image"]
    assert result.features.shape == (len(source), 32)
    assert result.logits.shape == (len(source), 3)
    np.testing.assert_allclose(result.probability.sum(1), 1, rtol=1e-5)
    few = open_source(recipe.data, "validation")
    rows = [list(source.column("filename")).index(name) for name in few.column("filename")]
    part, _ = embed(trained, few)
    np.testing.assert_allclose(part["image"].features, result.features[rows], rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_names_step_and_quantity(tmp_path, recipe):
    optim = replace(recipe.optim, learning_rate=1e30, warmup_epochs=0)
    wild = replace(recipe, optim=optim, model=Model("scnn", width=0.0625))  # quick to compile
    with pytest.raises(RunError, match=r"step \d+: (loss|gradient_norm) is (nan|inf)"):
        train(wild, tmp_path / "run")


def test_a_batch_larger_than_the_data_is_refused(tmp_path, recipe, with_engine):
    with pytest.raises(InputError, match=r"engine\.batch_size=160: more than the \d+ training scenes"):
        train(with_engine(recipe, batch_size=160), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_network_is_refused(finished):
    with pytest.raises(InputError, match=r"only these can be set now: scene\.\*, labels"):
        load_trained(finished[0], ["model.name=resnet34"])
