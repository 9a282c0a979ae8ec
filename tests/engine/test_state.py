"""Schedules agree with their formulas; frozen parts do not change; a seed decides the first state."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.engine.state import create, make_schedule
from mtsccd_jax.engine.steps import make_train_step
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Optim
from mtsccd_jax.tasks.scenes.train import cross_entropy


def test_the_cosine_goes_from_the_learning_rate_to_zero():
    schedule = make_schedule(Optim(learning_rate=0.4), epochs=5, steps_per_epoch=20)
    for step in (0, 1, 50, 99, 100):
        assert float(schedule(step)) == pytest.approx(0.4 * 0.5 * (1 + np.cos(np.pi * step / 100)), abs=1e-7)


def test_the_warm_up_is_linear_and_a_constant_follows():
    optim = Optim(learning_rate=0.4, schedule="constant", warmup_epochs=0.5)
    schedule = make_schedule(optim, epochs=2, steps_per_epoch=20)
    assert [round(float(schedule(step)), 6) for step in (0, 5, 10, 39)] == [0.0, 0.2, 0.4, 0.4]


def flat(tree):
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize(("hidden", "arrays"), [(None, 2), (8, 4)])
def test_a_frozen_backbone_keeps_parameters_and_statistics(recipe, hidden, arrays):
    optim = replace(recipe.optim, freeze=("backbone",), weight_decay=0.1, warmup_epochs=0)
    recipe = replace(recipe, optim=optim, model=replace(recipe.model, hidden=hidden, dropout=0.1))
    parallel = make_parallel("jit")
    network = create(recipe, ("a", "b", "c"), 4, parallel)
    update = parallel.compile_update(make_train_step(network, cross_entropy(0.0), recipe.data, None))
    generator = np.random.default_rng(0)
    batch = {
        "image": generator.integers(0, 255, (16, 32, 32, 3), dtype=np.uint8),
        "label": generator.integers(0, 3, 16).astype(np.int32),
        "row": np.arange(16, dtype=np.int32),
    }
    state = network.initial(recipe.seed)
    before = flat((state.params, state.statistics))
    state, _ = update(state, parallel.place(batch))
    after = flat((state.params, state.statistics))
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert len(moved) == arrays
    assert all("head" in name for name in moved), moved


def test_an_unknown_frozen_part_is_named(recipe):
    recipe = replace(recipe, optim=replace(recipe.optim, freeze=("stages.9",)))
    with pytest.raises(InputError, match=r"optim\.freeze=stages\.9: no such part; this network has: backbone, .*head"):
        create(recipe, ("a", "b"), 4, make_parallel("jit"))


def test_the_same_seed_gives_the_same_state_and_another_does_not(recipe):
    parallel = make_parallel("jit")
    network = create(recipe, ("a", "b"), 4, parallel)
    first, other = (flat(network.initial(seed).params) for seed in (3, 4))
    again = flat(create(recipe, ("a", "b"), 4, parallel).initial(3).params)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)
