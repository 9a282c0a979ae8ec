"""`recipes` and `models`: list what can be chosen."""

import argparse
from typing import Any

from mtsccd_jax.cli.options import Json, command
from mtsccd_jax.recipes.config import to_dict


def add(commands: Any) -> None:
    """Declare the commands of this file."""
    command(commands, "recipes", run_recipes, "list the recipes", "mtsccd-jax recipes")
    command(commands, "models", run_models, "list the networks", "mtsccd-jax models --json")


def run_recipes(options: argparse.Namespace) -> Json | None:
    """List the recipes."""
    from rich.table import Table

    from mtsccd_jax.progress import console
    from mtsccd_jax.recipes import RECIPES

    if options.json:
        return [to_dict(recipe) for recipe in RECIPES.values()]
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for recipe in RECIPES.values():
        table.add_row(recipe.name, recipe.summary)
    console.print(table)
    return None


def run_models(options: argparse.Namespace) -> Json | None:
    """List the networks."""
    from rich.table import Table

    from mtsccd_jax.models import describe_models
    from mtsccd_jax.progress import console

    described = describe_models()
    if options.json:
        return described
    table = Table(box=None)
    table.add_column("name", no_wrap=True)
    for title in ("parameters M", "GMAC at 224", "features"):
        table.add_column(title, justify="right")
    table.add_column("source", no_wrap=True)
    for model in described:
        numbers = (f"{model['params'] / 1e6:.1f}", f"{model['gmacs_224']:.2f}", str(model["feature_width"]))
        table.add_row(model["name"], *numbers, model["source"])
    console.print(table)
    return None
