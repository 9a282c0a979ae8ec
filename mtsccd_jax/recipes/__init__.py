"""The experiments by name: one literal entry each, the papers' rows and those that need no published weights."""

from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.recipes import bigearthnet, mlrsnet, mtsccd, scratch
from mtsccd_jax.recipes.config import Recipe
from mtsccd_jax.recipes.experiment import Experiment

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for part in (scratch, mtsccd, bigearthnet, mlrsnet) for recipe in part.RECIPES
}

# Every matrix of rows that `reproduce` knows by name.
EXPERIMENTS: dict[str, tuple[Experiment, ...]] = {
    **mtsccd.EXPERIMENTS,
    **bigearthnet.EXPERIMENTS,
    **mlrsnet.EXPERIMENTS,
}


def get_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        InputError: there is none; the nearest name is given.
    """
    if name not in RECIPES:
        raise InputError(f"unknown recipe '{name}'.{nearest(name, RECIPES)} `mtsccd-jax recipes` lists them")
    return RECIPES[name]
