"""What evaluation refuses of a network."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from mtsccd_jax.data.sources import open_pairs, open_source
from mtsccd_jax.engine.evaluate import compare, embed, load_trained
from mtsccd_jax.errors import RunError
from mtsccd_jax.recipes.config import Model
from mtsccd_jax.tasks.train import train


@pytest.mark.parametrize("task", ["scenes", "similarity"])
def test_what_is_not_finite_ends_with_one_line_and_not_in_a_row(recipe, pair_recipe, tmp_path, task):
    chosen = replace(recipe, model=Model("scnn", width=0.125)) if task == "scenes" else pair_recipe
    train(replace(chosen, engine=replace(chosen.engine, epochs=1)), tmp_path)
    trained = load_trained(tmp_path)
    params = jax.tree.map(lambda values: values * jnp.nan, trained.state.params)
    broken = replace(trained, state=replace(trained.state, params=params))
    call, source = (embed, open_source) if task == "scenes" else (compare, open_pairs)
    with pytest.raises(RunError, match=r"are not finite; lower optim\.learning_rate and train in a new --workdir"):
        call(broken, source(chosen.data, "test"))
