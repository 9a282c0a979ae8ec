"""A whole training: it learns, it resumes to the same bits, and it names what went wrong."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from training import assert_close, result, stopped_after

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine.evaluate import embed, load_trained
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.prepare import check_batch
from mtsccd_jax.engine.workdir import HISTORY_FILE, read_history
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.recipes.config import Model
from mtsccd_jax.tasks.train import train


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    """Return an uninterrupted run, made once and not to be written to: (its work directory, its result)."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return workdir, train(recipe, workdir)


def test_a_run_learns_and_a_stopped_one_ends_with_the_same_bits(tmp_path, recipe, finished):
    whole, done = finished
    assert done.step == 2 * (len(open_source(recipe.data, "train")) // 16)
    assert done.checkpoint.is_dir()
    history = read_history(whole)
    assert [record.step for record in history] == list(range(1, done.step + 1))
    assert history[-1].loss < history[0].loss

    with stopped_after(3):
        train(recipe, tmp_path)
    assert [record.step for record in read_history(tmp_path)] == [1, 2, 3]
    assert train(recipe, tmp_path).step == done.step
    assert_close(result(whole), result(tmp_path))
    assert [record.loss for record in read_history(tmp_path)] == [record.loss for record in history]

    again = train(recipe, tmp_path)
    assert again.step == done.step
    assert again.compile_s is None, "a finished run must not train again"


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff[1]"])
def test_a_run_whose_history_is_lost_ends_as_it_did(tmp_path, recipe, finished, content):
    whole, done = finished
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / HISTORY_FILE).write_bytes(content)
    again = train(recipe, tmp_path)
    assert (again.step, again.loss) == (done.step, None)


def test_embedding_covers_every_row_in_order(recipe, finished):
    trained = load_trained(finished[0])
    source = open_source(recipe.data, "all")
    embeddings, _ = embed(trained, source)
    embedded = embeddings["image"]
    assert embedded.features.shape == (len(source), 32)
    assert embedded.logits.shape == (len(source), 3)
    np.testing.assert_allclose(embedded.probability.sum(1), 1, rtol=1e-5)
    few = open_source(recipe.data, "validation")
    rows = [list(source.column("filename")).index(name) for name in few.column("filename")]
    part, _ = embed(trained, few)
    np.testing.assert_allclose(part["image"].features, embedded.features[rows], rtol=1e-4, atol=1e-5)


def test_outputs_that_are_not_finite_end_with_one_line(recipe, finished):
    trained = load_trained(finished[0])
    params = jax.tree.map(lambda values: values * np.nan, trained.state.params)
    broken = replace(trained, state=replace(trained.state, params=params))
    with pytest.raises(RunError, match=r"are not finite; lower optim\.learning_rate and train in a new --workdir"):
        embed(broken, open_source(recipe.data, "test"))


def test_a_loss_that_is_not_finite_names_step_and_metric(tmp_path, recipe):
    optim = replace(recipe.optim, learning_rate=1e30, warmup_epochs=0)
    wild = replace(recipe, optim=optim, model=Model("scnn", width=0.0625))  # quick to compile
    with pytest.raises(RunError, match=r"step \d+: (loss|gradient_norm) is (nan|inf)"):
        train(wild, tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 160}, r"engine\.batch_size=160: more than the \d+ training scenes"),
        ({"batch_size": 12}, r"engine\.batch_size=12: must be a positive multiple of the 8 devices; take 8 or 16"),
        ({"patience": 0}, r"engine\.patience=0: must be 1 or more"),
    ],
)
def test_wrong_settings_are_refused_before_there_is_a_work_directory(tmp_path, recipe, with_engine, settings, message):
    with pytest.raises(InputError, match=message):
        train(with_engine(recipe, **settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_more_steps_than_int32_counts_are_refused(recipe, with_engine):
    task = SimpleNamespace(train=range(16 * 3000), examples="scenes")
    with pytest.raises(InputError, match=r"engine\.epochs=1000000: 3,000,000,000 steps, more than int32 counts"):
        check_batch(with_engine(recipe, epochs=10**6), task, make_parallel("jit"))


def test_a_checkpoint_of_another_network_is_refused(finished):
    with pytest.raises(InputError, match=r"only these can be set now: scene\.\*, labels"):
        load_trained(finished[0], ["model.name=resnet34"])
