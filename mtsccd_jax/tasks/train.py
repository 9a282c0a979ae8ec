"""Training of a recipe: its task is opened here and handed to the engine."""

from pathlib import Path

from mtsccd_jax.engine.loop import Fit, fit
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.table import open_task


def train(recipe: Recipe, workdir: Path, *, largest_batch: bool = False) -> Fit:
    """Train the network of a recipe, or continue where its work directory stopped.

    Args:
        recipe: the recipe.
        workdir: the work directory.
        largest_batch: take the largest batch that fits, or the one that the run began with, and not the recipe's.

    Raises:
        InputError: the recipe, its data, its batch or the work directory cannot be used.
        RunError: a loss or gradient is not finite.
        Stopped: SIGINT or SIGTERM arrived; the state is saved.
    """
    return fit(recipe, open_task(recipe), workdir, largest_batch=largest_batch)
