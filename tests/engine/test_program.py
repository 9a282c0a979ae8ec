"""Several steps a dispatch give the same training: the same history and parameters, whole, stopped or resumed."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from training import assert_close, result, stopped_after

from mtsccd_jax.engine import loop
from mtsccd_jax.engine.evaluate import embed, load_trained
from mtsccd_jax.engine.feed import Feed
from mtsccd_jax.engine.loop import MetricsLog
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.prepare import prepare
from mtsccd_jax.engine.program import MOST_STEPS, make_program, steps_of_dispatch
from mtsccd_jax.engine.workdir import History, read_history
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.recipes.config import Engine, Model
from mtsccd_jax.tasks.table import open_task
from mtsccd_jax.tasks.train import train


@pytest.fixture(scope="module")
def small(recipe):
    """Return a recipe on resident scenes with a network that is quick to compile: one epoch of eight steps.

    Runs of it take 1, 3 and 2 steps a dispatch, so that all share three compiled programs.
    """
    engine = replace(recipe.engine, batch_size=8, epochs=1, validate=False)
    data = replace(recipe.data, input="resident", turn=False, crop_padding=0, color_jitter=0.0)
    return replace(recipe, model=Model("scnn", width=0.0625), data=data, engine=engine)


def with_steps(recipe, steps):
    return replace(recipe, engine=replace(recipe.engine, steps_per_dispatch=steps))


@pytest.fixture(scope="module")
def one_by_one(small, tmp_path_factory):
    """Return the run of one step a dispatch, not to be written to: (its work directory, its result)."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    return workdir, train(with_steps(small, 1), workdir)


def assert_same_training(one, other):
    first, second = read_history(one), read_history(other)
    assert [(record.step, record.epoch) for record in first] == [(record.step, record.epoch) for record in second]
    for name in ("loss", "accuracy", "gradient_norm", "learning_rate"):
        values = [[getattr(record, name) for record in history] for history in (first, second)]
        np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-6, err_msg=name)
    assert_close(result(one), result(other), 1e-5)


def test_steps_a_dispatch_do_not_change_the_training(small, one_by_one, tmp_path, monkeypatch):
    workdir, done = one_by_one
    assert done.step % 3, "the last dispatch of an epoch must be a shorter one"
    programs = []

    def prepared(*arguments):
        plan = prepare(*arguments)
        programs.append(plan.program)
        return plan

    monkeypatch.setattr(loop, "prepare", prepared)
    assert train(with_steps(small, 3), tmp_path).step == done.step
    assert_same_training(workdir, tmp_path)
    assert programs[0].compiled_sizes == (3, done.step % 3), "one more program for the shorter dispatch, and no other"
    rates = [record.images_per_s for record in read_history(tmp_path)]
    assert rates == [None] * done.step, "every dispatch was one of the first after a program was compiled"
    known = [record.images_per_s is not None for record in read_history(workdir)]
    assert known == [False] * 3 + [True] * (done.step - 3), "the first three wait for the compiler and the data"


def test_a_run_stopped_between_dispatches_continues(small, one_by_one, tmp_path):
    with stopped_after(2):
        train(with_steps(small, 2), tmp_path)
    assert [record.step for record in read_history(tmp_path)] == [1, 2]
    assert one_by_one[1].step == 8, "dispatches of steps 3 to 5 and 6 to 8"
    assert train(with_steps(small, 3), tmp_path).step == 8
    assert_same_training(one_by_one[0], tmp_path)


def test_metrics_of_several_steps_are_read_late_and_are_of_one_step_each(tmp_path):
    history = History(tmp_path, 0)
    log = MetricsLog(history, images_per_step=8)
    fine = {name: np.arange(4.0) for name in ("loss", "accuracy", "gradient_norm", "learning_rate")}
    for last in (4, 8):
        log.add(last, 0, fine, ())
    assert history.records == []
    log.add(12, 0, fine | {"loss": np.array([1, 1, np.nan, 1])}, ())
    assert [(record.step, record.loss) for record in history.records] == [(1, 0), (2, 1), (3, 2), (4, 3)]
    (rate,) = {record.images_per_s for record in history.records}
    assert rate > 0
    with pytest.raises(RunError, match="step 11: loss is nan"):
        log.write_all()
    history.close()
    assert [record.step for record in read_history(tmp_path)] == list(range(1, 11))


def test_the_first_loss_of_a_new_program_is_written_at_once(tmp_path):
    history = History(tmp_path, 0)
    log = MetricsLog(history, images_per_step=8)
    one_step = {name: np.ones(1) for name in ("loss", "accuracy", "gradient_norm", "learning_rate")}
    written = []
    for step, compiled in enumerate([(1,), (1,), (1,), (1,), (1, 3)], start=1):
        log.add(step, 0, one_step, compiled)
        written.append(len(history.records))
    history.close()
    assert written == [1, 1, 1, 2, 5]
    assert {record.images_per_s for record in history.records} == {None}, "each waited for a compiler, or just after"


@pytest.mark.parametrize(
    ("platform", "mode", "resident", "steps_per_epoch", "asked", "expected"),
    [
        ("cpu", "jit", True, 100, None, 1),
        ("cpu", "jit", True, 100, 7, 7),
        ("gpu", "jit", True, 160, None, MOST_STEPS),
        ("gpu", "jit", True, 100, None, 10),  # a divisor: no shorter dispatch
        ("gpu", "jit", True, 101, None, MOST_STEPS),  # no divisor is long enough
        ("tpu", "jit", True, 5, None, 5),
        ("gpu", "jit", True, 5, 50, 5),
        ("gpu", "pmap", True, 100, None, 1),
        ("gpu", "jit", False, 100, None, 1),
        ("gpu", "jit", False, 100, 4, 1),  # "auto" found that the split does not fit
    ],
)
def test_steps_of_a_dispatch_suit_the_devices(platform, mode, resident, steps_per_epoch, asked, expected):
    feed = SimpleNamespace(mode="auto", resident=resident, parallel=SimpleNamespace(platform=platform, mode=mode))
    assert steps_of_dispatch(Engine(steps_per_dispatch=asked), feed, steps_per_epoch) == expected


@pytest.mark.parametrize(("mode", "parallel", "asked"), [("stream", "jit", 2), ("resident", "pmap", 2)])
def test_impossible_steps_of_a_dispatch_are_refused(mode, parallel, asked):
    feed = SimpleNamespace(mode=mode, resident=True, parallel=SimpleNamespace(platform="cpu", mode=parallel))
    with pytest.raises(InputError, match=f"engine.steps_per_dispatch={asked}: "):
        steps_of_dispatch(Engine(steps_per_dispatch=asked), feed, 10)


def test_several_steps_lower_for_cuda_and_tpu(small):
    small = with_steps(replace(small, engine=replace(small.engine, dtype="bfloat16")), 4)
    task = open_task(small)
    program = make_program(small, task, Feed(task.train, make_parallel("jit"), "resident"))
    state, rows = program.network.abstract(), jax.ShapeDtypeStruct((4, 8), np.int32)
    platforms = ["cpu", "cuda", "tpu"]
    exported = jax.export.export(program._jitted, platforms=platforms)(state, program.feed.shapes, rows)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert "stablehlo.while" in exported.mlir_module()
    assert exported.nr_devices == 8


def test_bfloat16_trains_resumes_and_evaluates(small, tmp_path):
    half = replace(small, engine=replace(small.engine, dtype="bfloat16", eval_batch_size=8, validate=True))
    with stopped_after(5):
        train(half, tmp_path)
    done = train(half, tmp_path)
    history = read_history(tmp_path)
    assert [record.step for record in history] == list(range(1, done.step + 1))
    assert done.best is not None
    trained = load_trained(tmp_path)
    assert {leaf.dtype for leaf in jax.tree.leaves(trained.state.params)} == {np.dtype("float32")}
    task = open_task(half)
    embedded = embed(trained, task.validation)[0]["image"]
    assert embedded.logits.dtype == np.float32
    assert np.isfinite(embedded.logits).all()
    right = np.mean(embedded.prediction == task.validation.column("label"))
    np.testing.assert_allclose(right, done.best.score, atol=1e-6)
