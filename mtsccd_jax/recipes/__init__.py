"""The experiments by name: one literal entry each, the papers' rows and those that need no published weights."""

from mtsccd_jax.config import Recipe
from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.recipes import mtsccd, scratch

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*scratch.RECIPES, *mtsccd.RECIPES)}


def get_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        InputError: there is none; the nearest name is given.
    """
    if name not in RECIPES:
        raise InputError(f"unknown recipe '{name}'.{nearest(name, RECIPES)} `mtsccd-jax recipes` lists them")
    return RECIPES[name]
