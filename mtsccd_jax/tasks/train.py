"""Train a recipe: open its task and hand it to the training loop."""

from mtsccd_jax import processes
from mtsccd_jax.engine.batch_size import with_largest_batch
from mtsccd_jax.engine.loop import Fit, fit
from mtsccd_jax.files import AnyPath
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.tasks.table import open_task


def train(recipe: Recipe, workdir: AnyPath, *, largest_batch: bool = False) -> Fit:
    """Train the network of a recipe, or continue where its work directory stopped.

    With `largest_batch` the batch is the largest that fits, or the one that the run began with.

    Raises:
        InputError: the recipe, its data, its batch or the work directory cannot be used.
        RunError: a loss or gradient is not finite.
        Stopped: SIGINT, SIGTERM or SIGUSR1 arrived; the state is saved.
    """
    with processes.together():
        recipe.check()
        task = open_task(recipe)
    if largest_batch:
        recipe = with_largest_batch(recipe, task, workdir)
    return fit(recipe, task, workdir)
