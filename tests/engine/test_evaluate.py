"""What evaluation refuses of a network."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine.evaluate import embed, load_trained
from mtsccd_jax.errors import RunError
from mtsccd_jax.recipes.config import Model
from mtsccd_jax.tasks.train import train


def test_outputs_that_are_not_finite_end_with_one_line_and_not_in_a_row(recipe, tmp_path):
    train(replace(recipe, model=Model("scnn", width=0.125), engine=replace(recipe.engine, epochs=1)), tmp_path)
    trained = load_trained(tmp_path)
    params = jax.tree.map(lambda values: values * jnp.nan, trained.state.params)
    broken = replace(trained, state=replace(trained.state, params=params))
    with pytest.raises(RunError, match=r"are not finite; lower optim\.learning_rate and train in a new --workdir"):
        embed(broken, open_source(recipe.data, "test"))
