"""All recipes and experiments by name: those of the papers, and those that need no published weights."""

from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.recipes import bigearthnet, mlrsnet, mtsccd, scratch
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.recipes.experiment import Experiment

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for part in (scratch, mtsccd, bigearthnet, mlrsnet) for recipe in part.RECIPES
}

# The matrices of rows that `reproduce` takes by name.
EXPERIMENTS: dict[str, tuple[Experiment, ...]] = {
    **mtsccd.EXPERIMENTS,
    **bigearthnet.EXPERIMENTS,
    **mlrsnet.EXPERIMENTS,
}


def get_recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        InputError: There is none; the message names the nearest.
    """
    if name not in RECIPES:
        raise InputError(f"unknown recipe '{name}'.{nearest(name, RECIPES)} `mtsccd-jax recipes` lists them")
    return RECIPES[name]
