"""`recipes` and `models`: list what can be chosen, one line each on standard output."""

import argparse
from typing import Any

from mtsccd_jax.cli import output
from mtsccd_jax.cli.options import Json, command
from mtsccd_jax.recipes import get_recipe
from mtsccd_jax.recipes.config import EVALUATION_KEYS, Recipe, flatten, to_dict

EVERY_KEY: tuple[str, ...] = ("",)


def add(commands: Any) -> None:
    """Declare the commands of this file."""
    recipes = command(
        commands,
        "recipes",
        run_recipes,
        "list the recipes, or every setting of one with its meaning, range and default",
        "mtsccd-jax recipes | grep sscd",
        "mtsccd-jax recipes resnet50_scratch",
    )
    recipes.add_argument("name", nargs="?", default=None, metavar="NAME", help="explain the settings of this recipe")
    command(commands, "models", run_models, "list the networks", "mtsccd-jax models | grep vit")


def run_recipes(options: argparse.Namespace) -> Json | None:
    """List the recipes, or the settings of one."""
    from mtsccd_jax.recipes import RECIPES

    if options.name is not None:
        recipe = get_recipe(options.name)
        if options.json:
            return to_dict(recipe)
        show_settings(recipe)
        return None
    if options.json:
        return [to_dict(recipe) for recipe in RECIPES.values()]
    width = max(map(len, RECIPES))
    output.write("\n".join(f"{recipe.name:<{width}}  {recipe.summary}" for recipe in RECIPES.values()))
    return None


def run_models(options: argparse.Namespace) -> Json | None:
    """List the networks; standard error has the titles of the columns."""
    from mtsccd_jax.models import describe_models
    from mtsccd_jax.progress import console

    described = describe_models()
    if options.json:
        return described
    width = max(len(model["name"]) for model in described)
    console.print(f"{'name':<{width}}  parameters, M  GMAC at 224  features  source", style="bold")
    lines = [
        f"{model['name']:<{width}}  {model['params'] / 1e6:>13.1f}  {model['gmacs_224']:>11.2f}  "
        f"{model['feature_width']:>8}  {model['source']}"
        for model in described
    ]
    output.write("\n".join(lines))
    return None


def explain_set(options: argparse.Namespace) -> Json | None:
    """Show what --set can change for a command: the settings of its recipe, or of the run that it evaluates."""
    recipe, keys = Recipe("", ""), EVERY_KEY
    if "recipe" in options:
        recipe = get_recipe(options.recipe)
    elif options.command == "demo":
        recipe = get_recipe("demo")
    elif options.command != "reproduce":
        from mtsccd_jax.engine.workdir import load

        recipe, keys = load(options.workdir).recipe, EVALUATION_KEYS  # of a network that is trained already
    if options.json:
        return {key: value for key, value in flatten(to_dict(recipe)).items() if key.startswith(keys)}
    show_settings(recipe, keys)
    return None


def show_settings(recipe: Recipe, beginnings: tuple[str, ...] = EVERY_KEY) -> None:
    """Write the settings of a recipe whose keys begin so, one line each."""
    from mtsccd_jax.recipes.settings import settings

    output.write("\n".join(str(setting) for setting in settings(recipe) if setting.key.startswith(beginnings)))
